package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names inside a folder that is being written.
const (
	LockFile = ".winnow-lock"
	stageDir = ".winnow-new" // a set that is being written
	readyDir = ".winnow-now" // one that is whole, on its way into place
	asideDir = ".winnow-old" // the set that gives way
)

// IsOwn is whether a name is one that this package gives inside a folder.
func IsOwn(name string) bool {
	return slices.Contains([]string{LockFile, stageDir, readyDir, asideDir}, name) ||
		strings.HasPrefix(name, ".") && strings.Contains(name, tempMark)
}

// Folder is a folder whose set of files one process writes.
type Folder struct {
	disk   Disk
	dir    string
	names  []string
	made   string // the folder, links resolved, if Take made it: ours to remove if it stays empty
	staged bool
	lock   *lock
}

// Take makes the folder, or takes one that is there, and locks it; the error of
// one that another process holds wraps ErrInUse. names are the files of the set.
// The first of them says that the set is whole, so it is removed first and
// written last.
// What a dead owner left is cleared away, and a commit that it began is ended.
func Take(dir string, names []string) (*Folder, error) { return TakeOn(OS{}, dir, names) }

// TakeOn is Take with all changes made by disk, but for the lock's.
func TakeOn(disk Disk, dir string, names []string) (*Folder, error) {
	f := &Folder{disk: disk, dir: dir, names: names}
	target, err := Resolve(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		f.made = target
	}
	if err := makeAll(disk, target); err != nil {
		return nil, err
	}
	if f.lock, err = takeLock(filepath.Join(dir, LockFile)); err != nil {
		f.Release()
		return nil, err
	}
	if err := f.recover(); err != nil {
		f.Release()
		return nil, err
	}
	f.sweep()
	return f, nil
}

// makeAll makes a folder with those that it lies in, so that all of them last.
func makeAll(disk Disk, dir string) error {
	var fresh []string // folders whose names are new
	for at := filepath.Clean(dir); at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		fresh = append(fresh, at)
	}
	if err := disk.MkdirAll(dir); err != nil {
		return err
	}
	for _, at := range fresh {
		if err := disk.Sync(filepath.Dir(at)); err != nil {
			return cause(err)
		}
	}
	return nil
}

// Release gives the folder back. What is staged and not committed is removed,
// and the folder too if Take made it and nothing is in it.
func (f *Folder) Release() {
	if f.staged {
		f.drop(stageDir)
	}
	if f.lock != nil {
		f.lock.release()
	}
	if f.made != "" {
		_ = f.disk.Remove(f.made) // fails, as it should, on a folder with content
	}
}

// Path is where a file of the set is written now.
func (f *Folder) Path(name string) string {
	if f.staged {
		return filepath.Join(f.dir, stageDir, name)
	}
	return filepath.Join(f.dir, name)
}

// Write writes a file of the set.
func (f *Folder) Write(name string, content func(io.Writer) error) error {
	return writeOn(f.disk, f.Path(name), content)
}

// Staged is whether files are written beside those that are there.
func (f *Folder) Staged() bool { return f.staged }

// Stage lets all that is written from now on be a new set, beside the old one.
func (f *Folder) Stage() error {
	if err := f.disk.Mkdir(filepath.Join(f.dir, stageDir)); err != nil {
		return err
	}
	f.staged = true
	return nil
}

// Commit puts the staged set in the place of the old one, whose files are
// named. After an error the old set is still there, whole.
func (f *Folder) Commit(old []string) error {
	if !f.staged {
		return nil
	}
	aside := filepath.Join(f.dir, asideDir)
	if err := f.disk.Mkdir(aside); err != nil {
		return err
	}
	err := f.moveAside(old)
	if err == nil { // from here on the new set counts
		err = f.disk.Rename(filepath.Join(f.dir, stageDir), filepath.Join(f.dir, readyDir))
	}
	if err != nil {
		return errors.Join(err, f.restore())
	}
	f.staged = false
	return f.settle()
}

// moveAside takes the old set out of its place, the mark of a whole set first.
func (f *Folder) moveAside(old []string) error {
	for _, name := range f.markFirst(old) {
		err := f.disk.Rename(filepath.Join(f.dir, name), filepath.Join(f.dir, asideDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", name, cause(err))
		}
	}
	return nil
}

func (f *Folder) markFirst(names []string) []string {
	first, rest := []string{}, []string{}
	for _, name := range names {
		if name == f.names[0] {
			first = append(first, name)
		} else {
			rest = append(rest, name)
		}
	}
	return append(first, rest...)
}

// settle moves a whole set into place and removes the one that gave way.
func (f *Folder) settle() error {
	if err := f.moveAll(readyDir); err != nil {
		return err
	}
	if err := f.disk.Sync(f.dir); err != nil { // before the old set goes
		return cause(err)
	}
	if f.drop(asideDir); isDir(filepath.Join(f.dir, asideDir)) {
		return nil // what is left of it goes the next time
	}
	f.drop(readyDir) // last: without it, recover brings the old set back
	return cause(f.disk.Sync(f.dir))
}

// restore brings the old set back.
func (f *Folder) restore() error {
	if err := f.moveAll(asideDir); err != nil {
		return err
	}
	f.drop(asideDir)
	return nil
}

// moveAll moves the files of a set from a folder within into place, its mark last.
func (f *Folder) moveAll(from string) error {
	entries, err := os.ReadDir(filepath.Join(f.dir, from))
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, name := range slices.Backward(f.markFirst(names)) {
		place := filepath.Join(f.dir, name)
		if isDir(place) {
			_ = f.disk.Remove(place) // fails unless it is empty, and then it is of no set
		}
		if err := f.disk.Rename(filepath.Join(f.dir, from, name), place); err != nil {
			return fmt.Errorf("%s: %w", name, cause(err))
		}
	}
	return nil
}

// recover ends what a dead owner began: a commit goes on where the new set is
// whole, and back where it is not.
func (f *Folder) recover() error {
	there := func(name string) bool { return isDir(filepath.Join(f.dir, name)) }
	if there(readyDir) {
		return f.settle()
	}
	if there(asideDir) {
		if err := f.restore(); err != nil {
			return err
		}
	}
	if there(stageDir) {
		f.drop(stageDir)
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// Settle ends a commit that its owner did not live to end, so that a reader finds
// the old set or the new one. Where it cannot, or another process is at it,
// reading tells.
func Settle(dir string, names []string) {
	if !isDir(filepath.Join(dir, readyDir)) && !isDir(filepath.Join(dir, asideDir)) {
		return
	}
	if f, err := Take(dir, names); err == nil {
		f.Release()
	}
}

// drop removes a folder within, which holds what we put there and nothing else.
func (f *Folder) drop(name string) { _ = f.disk.RemoveAll(filepath.Join(f.dir, name)) }

// sweep removes temporary files of the set: whoever wrote them is dead, as the
// folder is ours. Versions before this lock named theirs .NAME.tmp-DIGITS.
func (f *Folder) sweep() {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return // writing will tell
	}
	for _, e := range entries {
		for _, name := range f.names {
			id, ok := strings.CutPrefix(e.Name(), "."+name)
			if ok && e.Type().IsRegular() && (earlier.MatchString(id) || isHex(strings.TrimPrefix(id, tempMark))) {
				removeDead(f.disk, filepath.Join(f.dir, e.Name()))
			}
		}
	}
}

// Inside reports whether path is dir or lies in it, by whatever links.
func Inside(dir, path string) bool {
	places := []string{path, filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		places = append(places, filepath.Dir(real))
	}
	d, err := os.Stat(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(places, func(p string) bool {
		info, err := os.Stat(p)
		return err == nil && os.SameFile(info, d)
	})
}
