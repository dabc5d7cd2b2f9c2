package atomicfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// ErrInUse marks a folder that another process holds.
var ErrInUse = errors.New("the folder is in use")

const maxOwner = 4096 // bytes of a lock file

// owner is what a lock file says of who holds it.
type owner struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// lock is a held lock file. Where the file system has no locks, the file itself is the lock.
type lock struct {
	path   string
	file   *flock.Flock // nil without locks
	folder *flock.Flock // the folder itself, so that a lock file that someone removes frees nothing
}

// tryLock is replaced in tests of file systems without locks.
var tryLock = (*flock.Flock).TryLock

// takeLock takes the lock file at path. The system frees a dead owner's; the
// file that it leaves is taken over.
func takeLock(path string) (*lock, error) {
	for {
		fresh, err := createLock(path)
		if err != nil {
			return nil, err
		}
		l := flock.New(path, flock.SetFlag(os.O_RDWR))
		ok, err := tryLock(l)
		switch {
		case errors.Is(err, fs.ErrNotExist): // its owner just left
			_ = l.Close()
			continue
		case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK):
			_ = l.Close()
			if fresh {
				return &lock{path: path}, writeOwner(path)
			}
			o, known := readOwner(path)
			if !known || !o.dead() {
				return nil, fmt.Errorf("%w%s; the file system has no locks: if that process is gone, remove %q", ErrInUse, o.text(known), path)
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			continue
		case err != nil:
			_ = l.Close()
			return nil, err
		case !ok:
			_ = l.Close()
			o, known := readOwner(path)
			return nil, fmt.Errorf("%w%s", ErrInUse, o.text(known))
		}
		if !sameFile(l, path) { // its owner removed it as it left
			_ = l.Close()
			continue
		}
		held := &lock{path: path, file: l, folder: flock.New(filepath.Dir(path), flock.SetFlag(os.O_RDONLY))}
		if ok, err := held.folder.TryLock(); err == nil && !ok {
			held.release()
			return nil, fmt.Errorf("%w by another process, whose lock file was removed", ErrInUse)
		} // without locks on folders the file's has to do
		_ = writeOwner(path) // the lock holds without it
		return held, nil
	}
}

// createLock makes the file if there is none, and says whether it did.
func createLock(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil {
		return true, f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return false, fmt.Errorf("%q is no regular file", path)
	}
	return false, nil
}

// release frees the lock and removes its file, which nobody else can have taken.
func (l *lock) release() {
	os.Remove(l.path)
	for _, f := range []*flock.Flock{l.folder, l.file} {
		if f != nil {
			_ = f.Close() // frees it, and cannot be mended if not
		}
	}
}

func writeOwner(path string) error {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	text, err := json.Marshal(owner{os.Getpid(), host, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

func readOwner(path string) (o owner, known bool) {
	f, err := os.Open(path)
	if err != nil {
		return o, false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOwner))
	return o, err == nil && json.Unmarshal(text, &o) == nil && o.PID > 0
}

func (o *owner) text(known bool) string {
	if !known {
		return " by another process"
	}
	return fmt.Sprintf(" by process %d on %q since %s", o.PID, o.Host, o.Since.Local().Format("2006-01-02 15:04:05"))
}

// dead is whether the owner was a process of this host that is gone.
func (o *owner) dead() bool {
	host, err := os.Hostname()
	if err != nil || host != o.Host {
		return false
	}
	p, err := os.FindProcess(o.PID)
	if err != nil {
		return true
	}
	err = p.Signal(syscall.Signal(0))
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}
