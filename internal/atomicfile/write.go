package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks bounds a chain of symbolic links, as Linux does.
const maxLinks = 40

// Write replaces the file at path with what content writes. After an error the
// file is what it was before.
func Write(path string, content func(io.Writer) error) error { return writeOn(OS{}, path, content) }

func writeOn(disk Disk, path string, content func(io.Writer) error) (err error) {
	target, err := Resolve(path)
	if err != nil {
		return cause(err)
	}
	mode, err := modeFor(target)
	if err != nil {
		return err
	}
	dir, base := filepath.Split(target)
	if dir == "" {
		dir = "."
	}
	sweepFile(disk, dir, base)
	t, err := newTemp(disk, dir, base, mode)
	if err != nil {
		return cause(err)
	}
	defer func() {
		if err != nil {
			_ = disk.Remove(t.name) // the first error counts
		}
		t.unlock()
	}()
	if err := errors.Join(content(whole{t.file}), t.file.Sync(), t.file.Close()); err != nil {
		return cause(err)
	}
	if err := disk.Rename(t.name, target); err != nil {
		return cause(err)
	}
	return cause(disk.Sync(dir))
}

// WriteBytes replaces the file at path with data.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Resolve follows the symbolic links at path's last element, whether or not
// they lead to something that exists.
func Resolve(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		} else if err != nil {
			return "", err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: errors.New("too many symbolic links")}
}

// modeFor refuses a target that is not to be replaced and returns the
// permissions, before the umask, of what takes its place.
func modeFor(target string) (fs.FileMode, error) {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0o666, nil
	case err != nil:
		return 0, cause(err)
	case !info.Mode().IsRegular():
		return 0, errors.New("it is there and is no regular file")
	case info.Mode().Perm()&0o200 == 0:
		return 0, fmt.Errorf("%w: the file is read-only", fs.ErrPermission)
	}
	return info.Mode().Perm() & 0o666, nil
}

// whole makes a write that ends early an error.
type whole struct{ io.Writer }

func (w whole) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// cause leaves out temporary names, which mean nothing to a user.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path) && strings.Contains(filepath.Base(path.Path), tempMark):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
