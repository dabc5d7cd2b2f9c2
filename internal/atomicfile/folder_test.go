package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gofrs/flock"
)

var set = []string{"mark", "a", "b"}

// stateOf is the content of the set's files, in order.
func stateOf(t *testing.T, dir string) string {
	t.Helper()
	var parts []string
	for _, name := range set {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			parts = append(parts, name+"="+string(data))
		}
	}
	return strings.Join(parts, " ")
}

func take(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := Take(dir, set)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	oldSet = "mark=old a=old"
	newSet = "a=new b=new"
)

func stageNew(t *testing.T, f *Folder) {
	t.Helper()
	if err := f.Stage(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := WriteBytes(f.Path(name), []byte("new")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "mark"), "old")
	put(t, filepath.Join(dir, "a"), "old")
	put(t, filepath.Join(dir, "theirs"), "kept")
	for _, commit := range []bool{false, true} {
		f := take(t, dir)
		stageNew(t, f)
		if got := stateOf(t, dir); got != oldSet {
			t.Errorf("while the new set is written: %s", got)
		}
		want := oldSet
		if commit {
			want = newSet
			if err := f.Commit([]string{"a", "mark"}); err != nil {
				t.Fatal(err)
			}
			if f.Staged() || f.Path("a") != filepath.Join(dir, "a") {
				t.Error("what comes after a commit is still staged")
			}
		}
		f.Release()
		if got := stateOf(t, dir); got != want {
			t.Errorf("commit %v: %s, want %s", commit, got, want)
		}
	}
	if names := list(t, dir); !slices.Equal(names, []string{"a", "b", "theirs"}) {
		t.Errorf("the folder holds %v", names)
	}
}

// Wherever a commit is cut, the next owner finds one of the two sets, whole.
func TestCommitCut(t *testing.T) {
	for cut := range 8 {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "mark"), "old")
			put(t, filepath.Join(dir, "a"), "old")
			f := take(t, dir)
			stageNew(t, f)
			f.lock.release()
			move := func(from, to string) func() error {
				return func() error { return os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)) }
			}
			want := oldSet
			for i, step := range []func() error{ // the steps of Commit, one rename each
				func() error { return os.Mkdir(filepath.Join(dir, asideDir), 0o777) },
				move("mark", asideDir+"/mark"),
				move("a", asideDir+"/a"),
				move(stageDir, readyDir),
				move(readyDir+"/b", "b"),
				move(readyDir+"/a", "a"),
				func() error { return os.RemoveAll(filepath.Join(dir, asideDir)) },
			} {
				if i == cut {
					break
				}
				if err := step(); err != nil {
					t.Fatal(err)
				}
				if i == 3 {
					want = newSet
				}
			}
			take(t, dir).Release()
			if got := stateOf(t, dir); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A file that cannot be moved leaves the old set as it was.
func TestCommitFails(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "mark"), "old")
	put(t, filepath.Join(dir, "a"), "old")
	f := take(t, dir)
	stageNew(t, f)
	if err := os.Rename(filepath.Join(dir, stageDir), filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit([]string{"mark", "a"}); err == nil {
		t.Error("no error")
	}
	f.Release()
	if got := stateOf(t, dir); got != oldSet {
		t.Errorf("%s, want %s", got, oldSet)
	}
}

func TestTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "run")
	f := take(t, dir)
	_, err := Take(dir, set)
	if want := fmt.Sprintf("by process %d on ", os.Getpid()); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), want) {
		t.Errorf("the second owner: %v, want %q", err, want)
	}
	if err := os.Remove(filepath.Join(dir, LockFile)); err != nil { // as someone may who takes it for a left one
		t.Fatal(err)
	}
	if _, err := Take(dir, set); !errors.Is(err, ErrInUse) {
		t.Errorf("the second owner, without the lock file: %v", err)
	}
	if names := list(t, dir); len(names) > 0 {
		t.Errorf("it left %v", names)
	}
	f.Release()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that was made and stayed empty: %v", err)
	}
	put(t, filepath.Join(dir, LockFile), `{"pid":1,"host":"elsewhere"}`) // of a dead owner: nobody holds the lock
	put(t, filepath.Join(dir, ".a.tmp-123"), "of an earlier version")
	put(t, filepath.Join(dir, ".a.winnow-0123456789abcdef"), "of a dead owner")
	put(t, filepath.Join(dir, ".z.tmp-123"), "of others")
	take(t, dir).Release()
	if names := list(t, dir); !slices.Equal(names, []string{".z.tmp-123"}) {
		t.Errorf("the folder holds %v", names)
	}
	if err := os.Mkdir(filepath.Join(dir, LockFile), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(dir, set); err == nil {
		t.Error("a folder stands for a lock")
	}
}

func TestTakeKeepsLinks(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	f := take(t, link) // leads nowhere yet
	if err := WriteBytes(f.Path("a"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	f.Release()
	if got := text(t, filepath.Join(dir, "real", "a")); got != "new" {
		t.Errorf("holds %q", got)
	}
	if to, err := os.Readlink(link); err != nil || to != "real" {
		t.Errorf("the link is %q, %v", to, err)
	}
}

// Where the file system has no locks the file is one, as long as its process lives.
func TestTakeWithoutLocks(t *testing.T) {
	kept := tryLock
	defer func() { tryLock = kept }()
	for _, none := range []error{syscall.ENOSYS, syscall.ENOTSUP, syscall.ENOLCK} {
		tryLock = func(*flock.Flock) (bool, error) { return false, none }
		dir := t.TempDir()
		f := take(t, dir)
		if _, err := Take(dir, set); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), LockFile) {
			t.Errorf("%v: the second owner: %v", none, err)
		}
		f.Release()
		take(t, dir).Release()

		path := put(t, filepath.Join(dir, LockFile), "")
		if err := writeOwner(path); err != nil {
			t.Fatal(err)
		}
		dead := strings.Replace(text(t, path), fmt.Sprint(os.Getpid()), fmt.Sprint(1<<30), 1) // above any process's number
		put(t, path, dead)
		take(t, dir).Release()
		put(t, path, strings.Replace(dead, `"host":"`, `"host":"not-`, 1))
		if _, err := Take(dir, set); !errors.Is(err, ErrInUse) {
			t.Errorf("%v: an owner on another host: %v", none, err)
		}
	}
}

// A folder of the set may be there empty, left by a run that came to nothing:
// it is no part of the old set and gives way to the new one's; a commit that it
// once stopped is ended.
func TestCommitOverAnEmptyFolder(t *testing.T) {
	for _, killed := range []bool{false, true} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "a"), "old")
		f := take(t, dir)
		if err := f.Stage(); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(f.Path("b"), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(f.Path("b"), "1"), "new")
		if killed {
			if err := os.Rename(filepath.Join(dir, stageDir), filepath.Join(dir, readyDir)); err != nil {
				t.Fatal(err)
			}
			f.staged = false
		}
		if err := os.Mkdir(filepath.Join(dir, "b"), 0o755); err != nil {
			t.Fatal(err)
		}
		if !killed {
			if err := f.Commit([]string{"a"}); err != nil {
				t.Fatal(err)
			}
		}
		f.Release()
		f = take(t, dir)
		f.Release()
		if got, err := os.ReadFile(filepath.Join(dir, "b", "1")); err != nil || string(got) != "new" {
			t.Errorf("killed %v: %q, %v", killed, got, err)
		}
	}
}
