//go:build unix

package spill

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// mapped is so many bytes of a new file, 0 each.
func mapped(size int64) (data []byte, unmap func(), err error) {
	if int64(int(size)) != size {
		return nil, nil, syscall.EFBIG
	}
	dir, err := folder()
	if err == nil {
		err = os.MkdirAll(dir, 0o777)
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := os.CreateTemp(dir, ".table-*")
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	// The blocks are written, since a write to the mapping of a hole kills the
	// program where the disk is full.
	_, err = io.CopyN(f, zeros{}, size)
	if err = errors.Join(os.Remove(f.Name()), err); err != nil {
		return nil, nil, err
	}
	data, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return data, func() { _ = syscall.Munmap(data) }, nil // of the mapping made above: it cannot fail
}

// zeros are zeros without end.
type zeros struct{}

// Read fills p.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
