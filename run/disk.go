package run

import (
	"errors"
	"io"
	"os"

	"winnow/internal/atomicfile"
	"winnow/internal/files"
)

// disk is the file system under a run folder. Tests put another in its place,
// which fails.
type disk interface {
	atomicfile.Disk
	List(dir string) ([]string, error)
	Open(path string) (readFile, int64, error)
	Append(path string) (atomicfile.File, error)
	Truncate(path string, length int64) error
}

type readFile interface {
	io.ReaderAt
	io.Closer
}

// reading is the operating system's, of which only what changes things fails.
type reading struct{}

func (reading) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (reading) Open(path string) (readFile, int64, error) { return files.Open(path) }

// realDisk is the operating system's.
type realDisk struct {
	atomicfile.OS
	reading
}

var _ disk = realDisk{}

func (realDisk) Append(path string) (atomicfile.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil { // not f: a nil *os.File is no nil File
		return nil, err
	}
	return f, nil
}

func (realDisk) Truncate(path string, length int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(length), f.Sync(), f.Close())
}
