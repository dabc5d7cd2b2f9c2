package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
)

const (
	tempMark = ".winnow-"
	tempLen  = 8   // random bytes of a temporary name
	maxBase  = 200 // bytes of a target's name that its temporary name repeats; a name ends at 255
)

// temp is a temporary file with the lock that says its owner lives.
type temp struct {
	file File
	name string
	lock *flock.Flock // nil where the system has none
}

func (t *temp) unlock() {
	_ = t.file.Close() // closed already, but for an error
	if t.lock != nil {
		_ = t.lock.Close()
	}
}

// tempPrefix begins the temporary names of a target.
func tempPrefix(base string) string {
	if len(base) > maxBase {
		base = base[:maxBase]
	}
	return "." + base + tempMark
}

// newTemp makes the temporary file of a target and locks it. A sweep that comes
// between the two may remove it; then another is made.
func newTemp(disk Disk, dir, base string, mode fs.FileMode) (*temp, error) {
	for {
		var id [tempLen]byte
		_, _ = rand.Read(id[:]) // never fails
		name := filepath.Join(dir, tempPrefix(base)+hex.EncodeToString(id[:]))
		f, err := disk.Create(name, mode)
		if err != nil {
			return nil, err
		}
		t := &temp{file: f, name: name}
		if runtime.GOOS == "windows" { // where a lock bars the owner's own writing
			return t, nil
		}
		l := flock.New(name, flock.SetFlag(os.O_RDONLY))
		if ok, err := l.TryLock(); err != nil || !ok { // no locks here, or a sweep holds it
			_ = l.Close()
		} else {
			t.lock = l
		}
		if sameFile(f, name) {
			return t, nil
		}
		t.unlock()
	}
}

// sameFile is whether name is still the open file.
func sameFile(f interface{ Stat() (fs.FileInfo, error) }, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Lstat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// earlier are the ends of the temporary names that took no locks.
var earlier = regexp.MustCompile(`^\.tmp-[0-9]+$`)

// sweepFile removes what dead processes left of writing base in dir.
func sweepFile(disk Disk, dir, base string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // writing will tell
	}
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), tempPrefix(base)); ok && isHex(id) {
			removeDead(disk, filepath.Join(dir, e.Name()))
		}
	}
}

func isHex(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == tempLen
}

// removeDead removes a temporary file that nobody holds. Where there are no
// locks none can be known to be dead, and all stay.
func removeDead(disk Disk, path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	l := flock.New(path, flock.SetFlag(os.O_RDONLY))
	defer l.Close()
	if ok, err := l.TryLock(); err == nil && ok {
		_ = disk.Remove(path) // writing goes on without
	}
}
