package run

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"

	"winnow/internal/files"
)

// disk is the file system under checkpoints and metrics.jsonl. Tests put
// another in its place, which fails.
type disk interface {
	List(dir string) ([]string, error)
	Open(path string) (readFile, int64, error)
	Create(path string) (writeFile, error) // a new file
	Append(path string) (writeFile, error)
	Truncate(path string, length int64) error
	Mkdir(path string) error
	Rename(from, to string) error
	Remove(path string) error // a file or an empty folder
	Sync(dir string) error    // makes what happened to the names in a folder last
}

type readFile interface {
	io.ReaderAt
	io.Closer
}

type writeFile interface {
	io.WriteCloser
	Sync() error
}

// realDisk is the operating system's.
type realDisk struct{}

var _ disk = realDisk{}

func (realDisk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (realDisk) Open(path string) (readFile, int64, error) { return files.Open(path) }

func (realDisk) Create(path string) (writeFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func (realDisk) Append(path string) (writeFile, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
}

func (realDisk) Truncate(path string, length int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(length), f.Sync(), f.Close())
}

func (realDisk) Mkdir(path string) error      { return os.Mkdir(path, 0o777) }
func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) Remove(path string) error     { return os.Remove(path) }

func (realDisk) Sync(dir string) error {
	if runtime.GOOS == "windows" { // where folders cannot be synced
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
