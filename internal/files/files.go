// Package files opens files that others made. Only regular files are read: a
// pipe or a device may have no end, and opening one may wait for ever.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Sentinels of the package.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrTooLarge   = errors.New("file too large")
)

// readOnly does not wait should a pipe take the file's place after it was looked at.
const readOnly = os.O_RDONLY | syscall.O_NONBLOCK

// Open opens a regular file for reading and gives its size in bytes. The error
// of anything else wraps ErrNotRegular.
func Open(path string) (*os.File, int64, error) {
	return open(path, os.Stat, os.OpenFile)
}

// OpenIn is Open below a folder, which links do not leave.
func OpenIn(root *os.Root, name string) (*os.File, int64, error) {
	return open(name, root.Stat, root.OpenFile)
}

func open(path string, stat func(string) (fs.FileInfo, error), openFile func(string, int, fs.FileMode) (*os.File, error)) (*os.File, int64, error) {
	info, err := stat(path)
	if errors.Is(err, syscall.ELOOP) {
		return nil, 0, fmt.Errorf("%w: %w", ErrNotRegular, err)
	} else if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, ErrNotRegular
	}
	f, err := openFile(path, readOnly, 0)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Read reads a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, limit)
	}
	data := make([]byte, size)
	_, err = io.ReadFull(f, data)
	return data, err
}

// FS is a folder as a file system of regular files, which links do not leave.
type FS struct{ Root *os.Root }

var (
	_ fs.FS     = FS{}
	_ fs.StatFS = FS{}
)

// Open opens a regular file.
func (f FS) Open(name string) (fs.File, error) {
	file, _, err := OpenIn(f.Root, name)
	if err != nil { // not file: a nil *os.File is no nil fs.File
		return nil, err
	}
	return file, nil
}

// Stat looks at what a name stands for, links followed.
func (f FS) Stat(name string) (fs.FileInfo, error) { return f.Root.Stat(name) }
