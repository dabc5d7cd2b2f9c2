package datasets

import (
	"bytes"
	"os"
	"syscall"
	"testing"
)

// What stands where an unfinished cache file would is neither waited for nor
// changed: the cache file is made beside it.
func TestCachePlaces(t *testing.T) {
	c := shardCases(t)["train-000.tar"]
	part := c.at() + partEnding
	for name, place := range map[string]func() error{
		"a pipe":            func() error { return syscall.Mkfifo(part, 0o666) },
		"a folder":          func() error { return os.Mkdir(part, 0o777) },
		"a link to nothing": func() error { return os.Symlink("nothing", part) },
		"a link to itself":  func() error { return os.Symlink(part, part) },
		"a device":          func() error { return os.Symlink("/dev/zero", part) },
	} {
		if err := os.Remove(c.at()); err != nil {
			t.Fatal(err)
		}
		if err := place(); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(part)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.build(t.Context(), t); err != nil || !bytes.Equal(c.file(t), c.whole) {
			t.Errorf("%s: %v, or other bytes", name, err)
		}
		if after, err := os.Lstat(part); err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
			t.Errorf("%s: it is gone: %v", name, err)
		}
		if err := os.Remove(part); err != nil {
			t.Fatal(err)
		}
	}
}
