package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// maxLinks bounds a chain of symbolic links, as Linux does.
const maxLinks = 40

// Write replaces the file at path with what content writes. After an error the
// file is what it was before.
func Write(path string, content func(io.Writer) error) (err error) {
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
	sweepFile(dir, base)
	t, err := newTemp(dir, base, mode)
	if err != nil {
		return cause(err)
	}
	defer func() {
		if err != nil {
			os.Remove(t.file.Name())
		}
		t.unlock()
	}()
	if err := errors.Join(content(t.file), t.file.Sync(), t.file.Close()); err != nil {
		return cause(err)
	}
	if err := os.Rename(t.file.Name(), target); err != nil {
		return cause(err)
	}
	return syncDir(dir)
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

// syncDir makes a rename last. Where folders cannot be synced, there is nothing to do.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	} else if err != nil {
		return cause(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return cause(err)
	}
	return nil
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
