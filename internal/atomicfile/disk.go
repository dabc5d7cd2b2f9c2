package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// Disk is what changes files and folders, and makes the changes last. Tests put
// another in its place, which fails.
type Disk interface {
	Create(path string, mode fs.FileMode) (File, error) // a new file
	Mkdir(path string) error
	MkdirAll(path string) error
	Rename(from, to string) error
	Remove(path string) error // a file or an empty folder
	RemoveAll(path string) error
	Sync(dir string) error // makes what happened to the names in a folder last
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	Stat() (fs.FileInfo, error)
	Sync() error
}

// OS is the operating system's disk.
type OS struct{}

var _ Disk = OS{}

// Create makes a file that was not there.
func (OS) Create(path string, mode fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil { // not f: a nil *os.File is no nil File
		return nil, err
	}
	return f, nil
}

// Mkdir makes a folder.
func (OS) Mkdir(path string) error { return os.Mkdir(path, 0o777) }

// MkdirAll makes a folder with those that it lies in.
func (OS) MkdirAll(path string) error { return os.MkdirAll(path, 0o777) }

// Rename gives a file or a folder another name.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove removes a file or an empty folder.
func (OS) Remove(path string) error { return os.Remove(path) }

// RemoveAll removes a folder with what is in it.
func (OS) RemoveAll(path string) error { return os.RemoveAll(path) }

// Sync makes the names in a folder last. Where folders cannot be synced, there
// is nothing to do.
func (OS) Sync(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	} else if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
