package files

import (
	"errors"
	"io"
	"os"
)

// Folder is a folder whose files are read again and again. Links in it do not
// leave it.
type Folder struct {
	*os.Root
	dir *os.File // the folder, for openBeneath; nil where the system has no such thing
}

// OpenFolder opens a folder.
func OpenFolder(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	f := &Folder{Root: root}
	if canOpenBeneath {
		if f.dir, err = root.Open("."); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return f, nil
}

// Close closes the folder.
func (f *Folder) Close() error {
	err := f.Root.Close()
	if f.dir != nil {
		err = errors.Join(err, f.dir.Close())
	}
	return err
}

// ReadInto reads a whole regular file into the memory that place gives for its
// size; io.ErrUnexpectedEOF says that it has become shorter meanwhile. On Linux
// it allocates nothing.
func (f *Folder) ReadInto(name []byte, place func(size int64) ([]byte, error)) error {
	if f.dir != nil {
		if fd, size, ok := openBeneath(f.dir, name); ok {
			dst, err := place(size)
			if err == nil {
				err = readFull(fd, dst)
			}
			closeBeneath(fd)
			return err
		}
	}
	file, size, err := OpenIn(f.Root, string(name)) // and what is wrong with it, if anything
	if err != nil {
		return err
	}
	defer file.Close()
	dst, err := place(size)
	if err != nil {
		return err
	}
	if _, err = io.ReadFull(file, dst); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
