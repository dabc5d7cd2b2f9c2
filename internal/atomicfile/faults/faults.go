// Package faults is a disk for tests on which a chosen operation goes wrong, as
// disks do: full, a short write, an error, a killed process, a power cut.
//
// It works in a real folder, and remembers beside it what was synced, so that a
// power cut can take the folder back to that.
package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"winnow/internal/atomicfile"
)

// Kind is what goes wrong at an operation.
type Kind string

// Kinds of faults.
const (
	DiskFull      Kind = "disk full"              // nothing of a write is kept
	ShortWrite    Kind = "short write"            // half of it, without an error
	Failed        Kind = "input/output error"     // of any operation
	Killed        Kind = "killed"                 // all that was done is kept, nothing more is done
	PowerCut      Kind = "power cut"              // files and names as they were synced
	PowerCutNames Kind = "power cut, names kept"  // files as they were synced, names as they were
	PowerCutHalf  Kind = "power cut, data behind" // the same, and half of what was not synced
)

// Kinds lists them.
func Kinds() []Kind {
	return []Kind{DiskFull, ShortWrite, Failed, Killed, PowerCut, PowerCutNames, PowerCutHalf}
}

// ErrDead is the error of everything that a dead process would do.
var ErrDead = errors.New("nobody is there any more")

// inode is a file or a folder, as it is and as a power cut leaves it.
type inode struct {
	dir           bool
	data, synced  []byte
	names, lasted map[string]*inode
}

func newDir() *inode {
	return &inode{dir: true, names: map[string]*inode{}, lasted: map[string]*inode{}}
}

// Disk is a folder on which the At-th operation, from 1, goes wrong; 0 is never.
type Disk struct {
	At    int
	Kind  Kind
	Ops   int  // operations so far
	Fired bool // whether it came to that

	root  string
	top   *inode
	dead  bool
	moved []move // between folders, and not synced yet
}

// move is a rename between two folders. Journals make it last in both at once.
type move struct {
	from, to *inode
	was, is  string
	what     *inode
}

var _ atomicfile.Disk = (*Disk)(nil)

// New is a disk in a folder, with what is there synced.
func New(root string) (*Disk, error) {
	d := &Disk{root: root}
	top, err := read(root)
	d.top = top
	return d, err
}

// read takes in a folder, but for locks, which a power cut does not keep.
func read(path string) (*inode, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		return &inode{data: data, synced: data}, err
	}
	n := newDir()
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if err == nil && e.Name() != atomicfile.LockFile {
			n.names[e.Name()], err = read(filepath.Join(path, e.Name()))
		}
	}
	n.lasted = maps.Clone(n.names)
	return n, err
}

// op counts an operation, and says what goes wrong with it.
func (d *Disk) op() (Kind, error) {
	if d.dead {
		return "", ErrDead
	}
	d.Ops++
	if d.Ops != d.At {
		return "", nil
	}
	d.Fired = true
	switch d.Kind {
	case Failed:
		return d.Kind, syscall.EIO
	case Killed, PowerCut, PowerCutNames, PowerCutHalf:
		d.dead = true
		return d.Kind, ErrDead
	}
	return d.Kind, nil
}

// full is op of what needs room.
func (d *Disk) full() error {
	kind, err := d.op()
	if kind == DiskFull {
		return syscall.ENOSPC
	}
	return err
}

// Restart is the disk after what happened, whole again.
func (d *Disk) Restart() error {
	lost := d.dead && d.Kind != Killed
	d.dead, d.At = false, 0
	if !lost {
		return nil
	}
	d.lose(d.top)
	entries, err := os.ReadDir(d.root)
	for _, e := range entries {
		if err == nil {
			err = os.RemoveAll(filepath.Join(d.root, e.Name()))
		}
	}
	if err != nil {
		return err
	}
	return d.lay(d.root, d.top)
}

func (d *Disk) lose(n *inode) {
	if !n.dir {
		kept := n.synced
		if d.Kind == PowerCutHalf && len(n.data) > len(kept) {
			kept = n.data[:(len(kept)+len(n.data))/2]
		}
		n.data = bytes.Clone(kept)
		n.synced = n.data
		return
	}
	if d.Kind == PowerCut {
		n.names = maps.Clone(n.lasted)
	}
	for _, child := range n.names {
		d.lose(child)
	}
	n.lasted = maps.Clone(n.names)
}

// lay writes what is left into a folder.
func (d *Disk) lay(path string, n *inode) error {
	if !n.dir {
		return os.WriteFile(path, n.data, 0o666)
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	for name, child := range n.names {
		if err := d.lay(filepath.Join(path, name), child); err != nil {
			return err
		}
	}
	return nil
}

// find is what stands at a path, and the folder it stands in; nil for none.
func (d *Disk) find(path string) (parent *inode, name string, n *inode) {
	rel, err := filepath.Rel(d.root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		panic(fmt.Sprintf("faults: %q is outside %q", path, d.root))
	}
	n = d.top
	if rel == "." {
		return nil, "", n
	}
	for _, name = range strings.Split(rel, string(filepath.Separator)) {
		if n == nil || !n.dir {
			return nil, name, nil
		}
		parent, n = n, n.names[name]
	}
	return parent, name, n
}

// Create makes a file that was not there.
func (d *Disk) Create(path string, mode fs.FileMode) (atomicfile.File, error) {
	return d.open(path, os.O_CREATE|os.O_EXCL, mode)
}

// Append opens a file to write behind its end.
func (d *Disk) Append(path string) (atomicfile.File, error) {
	return d.open(path, os.O_CREATE|os.O_APPEND, 0o666)
}

func (d *Disk) open(path string, flags int, mode fs.FileMode) (atomicfile.File, error) {
	if err := d.full(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|flags, mode)
	if err != nil {
		return nil, err
	}
	parent, name, n := d.find(path)
	if n == nil {
		n = &inode{}
		parent.names[name] = n
	}
	return &file{f, d, n}, nil
}

// Truncate cuts a file, and syncs it.
func (d *Disk) Truncate(path string, length int64) error {
	if _, err := d.op(); err != nil {
		return err
	}
	_, _, n := d.find(path)
	n.data = bytes.Clone(n.data[:length])
	n.synced = n.data
	return os.Truncate(path, length)
}

// Mkdir makes a folder.
func (d *Disk) Mkdir(path string) error {
	if err := d.full(); err != nil {
		return err
	}
	return d.mkdir(path)
}

func (d *Disk) mkdir(path string) error {
	if err := os.Mkdir(path, 0o777); err != nil {
		return err
	}
	parent, name, _ := d.find(path)
	parent.names[name] = newDir()
	return nil
}

// MkdirAll makes a folder with those that it lies in.
func (d *Disk) MkdirAll(path string) error {
	if err := d.full(); err != nil {
		return err
	}
	if _, _, n := d.find(path); n != nil {
		return nil
	}
	if _, _, n := d.find(filepath.Dir(path)); n == nil {
		if err := d.MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return d.mkdir(path)
}

// Rename gives a file or a folder another name.
func (d *Disk) Rename(from, to string) error {
	if _, err := d.op(); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	a, old, n := d.find(from)
	b, name, _ := d.find(to)
	delete(a.names, old)
	b.names[name] = n
	if a != b {
		d.moved = append(d.moved, move{a, b, old, name, n})
	}
	return nil
}

// Remove removes a file or an empty folder.
func (d *Disk) Remove(path string) error {
	if _, err := d.op(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if parent, name, _ := d.find(path); parent != nil {
		delete(parent.names, name)
	}
	return nil
}

// RemoveAll removes what is in a folder, an operation each, and then the folder.
func (d *Disk) RemoveAll(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return d.Remove(path)
	}
	for _, e := range entries {
		if err := d.RemoveAll(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return d.Remove(path)
}

// Sync makes the names in a folder last.
func (d *Disk) Sync(dir string) error {
	if _, err := d.op(); err != nil {
		return err
	}
	_, _, n := d.find(dir)
	if n == nil {
		return nil
	}
	n.lasted = maps.Clone(n.names)
	d.moved = slices.DeleteFunc(d.moved, func(m move) bool {
		switch n {
		case m.from:
			m.to.lasted[m.is] = m.what
		case m.to:
			if m.from.lasted[m.was] == m.what {
				delete(m.from.lasted, m.was)
			}
		default:
			return false
		}
		return true
	})
	return nil
}

type file struct {
	*os.File
	d *Disk
	n *inode
}

// Write is an operation, of which a dead process did half.
func (f *file) Write(p []byte) (int, error) {
	kind, err := f.d.op()
	switch {
	case kind == DiskFull:
		return 0, syscall.ENOSPC
	case kind == ShortWrite:
		p = p[:len(p)/2]
	case kind != "" && kind != Failed:
		p = p[:len(p)/2]
	case err != nil:
		return 0, err
	}
	n, werr := f.File.Write(p)
	f.n.data = append(bytes.Clone(f.n.data), p[:n]...)
	return n, errors.Join(err, werr)
}

// Sync makes what was written last.
func (f *file) Sync() error {
	if _, err := f.d.op(); err != nil {
		return err
	}
	f.n.synced = bytes.Clone(f.n.data)
	return nil
}
