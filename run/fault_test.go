package run

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"winnow/internal/atomicfile"
	"winnow/onnx"
)

// fault is what goes wrong at an operation.
type fault string

const (
	diskFull    fault = "disk full"              // nothing of a write is kept
	shortWrite  fault = "short write"            // half of it, without an error
	failed      fault = "input/output error"     // of any operation
	killed      fault = "killed"                 // all that was done is kept, nothing more is done
	powerCut    fault = "power cut"              // files and names as they were synced
	powerCutTwo fault = "power cut, names kept"  // files as they were synced, names as they were
	powerCutHow fault = "power cut, data behind" // the same, and half of what was not synced
)

var errDead = errors.New("nobody is there any more")

// inode is a file or a folder, as it is and as a power cut leaves it.
type inode struct {
	dir           bool
	data, synced  []byte
	names, lasted map[string]*inode
}

func newDir() *inode {
	return &inode{dir: true, names: map[string]*inode{}, lasted: map[string]*inode{}}
}

// faulty is a disk in memory on which the n-th operation goes wrong.
type faulty struct {
	root  string
	top   *inode
	ops   int
	at    int
	kind  fault
	dead  bool
	fired bool
}

var _ disk = (*faulty)(nil)

// op counts an operation, and says what goes wrong with it.
func (d *faulty) op(changes bool) (fault, error) {
	if d.dead {
		return "", errDead
	}
	if !changes {
		return "", nil
	}
	d.ops++
	if d.ops != d.at {
		return "", nil
	}
	d.fired = true
	switch d.kind {
	case failed:
		return d.kind, syscall.EIO
	case killed, powerCut, powerCutTwo, powerCutHow:
		d.dead = true
		return d.kind, errDead
	}
	return d.kind, nil
}

// restart is the disk after what happened, whole again.
func (d *faulty) restart() {
	if d.dead && d.kind != killed {
		d.lose(d.top)
	}
	d.dead, d.at = false, 0
}

func (d *faulty) lose(n *inode) {
	if !n.dir {
		kept := n.synced
		if d.kind == powerCutHow && len(n.data) > len(kept) {
			kept = n.data[:(len(kept)+len(n.data))/2]
		}
		n.data = bytes.Clone(kept)
		n.synced = n.data
		return
	}
	if d.kind == powerCut {
		n.names = maps.Clone(n.lasted)
	}
	for _, child := range n.names {
		d.lose(child)
	}
}

func (d *faulty) find(path string) (parent *inode, name string, n *inode) {
	rel, err := filepath.Rel(d.root, path)
	if err != nil {
		panic(err)
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

func (d *faulty) List(dir string) ([]string, error) {
	if _, err := d.op(false); err != nil {
		return nil, err
	}
	_, _, n := d.find(dir)
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Sorted(maps.Keys(n.names)), nil
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (d *faulty) Open(path string) (readFile, int64, error) {
	if _, err := d.op(false); err != nil {
		return nil, 0, err
	}
	_, _, n := d.find(path)
	if n == nil {
		return nil, 0, fs.ErrNotExist
	}
	return inMemory{bytes.NewReader(n.data)}, int64(len(n.data)), nil
}

func (d *faulty) Create(path string) (writeFile, error) { return d.create(path, true) }
func (d *faulty) Append(path string) (writeFile, error) { return d.create(path, false) }

func (d *faulty) create(path string, fresh bool) (writeFile, error) {
	kind, err := d.op(true)
	if kind == diskFull {
		err = syscall.ENOSPC
	}
	if err != nil {
		return nil, err
	}
	parent, name, n := d.find(path)
	switch {
	case parent == nil:
		return nil, fs.ErrNotExist
	case n != nil && fresh:
		return nil, fs.ErrExist
	case n == nil:
		n = &inode{}
		parent.names[name] = n
	}
	return &faultyFile{d, n}, nil
}

func (d *faulty) Truncate(path string, length int64) error {
	if _, err := d.op(true); err != nil {
		return err
	}
	_, _, n := d.find(path)
	n.data = bytes.Clone(n.data[:length])
	n.synced = n.data
	return nil
}

func (d *faulty) Mkdir(path string) error {
	kind, err := d.op(true)
	if kind == diskFull {
		err = syscall.ENOSPC
	}
	if err != nil {
		return err
	}
	parent, name, n := d.find(path)
	if parent == nil {
		return fs.ErrNotExist
	} else if n != nil {
		return fs.ErrExist
	}
	parent.names[name] = newDir()
	return nil
}

func (d *faulty) Rename(from, to string) error {
	if _, err := d.op(true); err != nil {
		return err
	}
	a, old, n := d.find(from)
	b, name, there := d.find(to)
	if n == nil {
		return fs.ErrNotExist
	}
	if there != nil && len(there.names) > 0 {
		return fs.ErrExist
	}
	delete(a.names, old)
	b.names[name] = n
	return nil
}

func (d *faulty) Remove(path string) error {
	if _, err := d.op(true); err != nil {
		return err
	}
	parent, name, n := d.find(path)
	if n == nil {
		return fs.ErrNotExist
	} else if n.dir && len(n.names) > 0 {
		return syscall.ENOTEMPTY
	}
	delete(parent.names, name)
	return nil
}

func (d *faulty) Sync(dir string) error {
	if _, err := d.op(true); err != nil {
		return err
	}
	_, _, n := d.find(dir)
	n.lasted = maps.Clone(n.names)
	return nil
}

type faultyFile struct {
	d *faulty
	n *inode
}

func (f *faultyFile) Write(p []byte) (int, error) {
	kind, err := f.d.op(true)
	switch {
	case kind == diskFull:
		return 0, syscall.ENOSPC
	case kind == shortWrite:
		p = p[:len(p)/2]
	case kind == killed || kind == powerCut || kind == powerCutTwo || kind == powerCutHow:
		f.n.data = append(f.n.data, p[:len(p)/2]...) // it was under way
		return 0, err
	case err != nil:
		return 0, err
	}
	f.n.data = append(f.n.data, p...)
	return len(p), nil
}

func (f *faultyFile) Sync() error {
	if _, err := f.d.op(true); err != nil {
		return err
	}
	f.n.synced = bytes.Clone(f.n.data)
	return nil
}

func (f *faultyFile) Close() error {
	_, err := f.d.op(false)
	return err
}

// moments are the saves of a short run: in the middle of epochs and after them.
var moments = []Position{{Step: 3}, {Epoch: 1}, {Epoch: 1, Step: 3}, {Epoch: 2}, {Epoch: 2, Step: 3}, {Epoch: 3}}

// content is a checkpoint of a moment.
func content(i int) *Checkpoint {
	c := &Checkpoint{Position: moments[i], Pruner: []byte(fmt.Sprint("pruner ", i)), State: map[string]*onnx.Tensor{
		"w": onnx.FromFloat32([]float32{float32(i), 2, 3}, 3)}}
	c.Format, c.Config.Epochs, c.Config.BatchSize, c.BestEpoch = CheckpointFormat, 3, 1, min(c.Epoch, 1)
	c.Result.Epochs = c.Epoch
	return c
}

// trainOn does what a run does from a moment on: a line for each finished
// epoch, then its checkpoint. It ends at the first error, with the last moment
// that was saved.
func trainOn(f *Folder, from int) (saved int, err error) {
	saved = from - 1
	for i := from; i < len(moments); i++ {
		c := content(i)
		if c.Step == 0 {
			if err := f.AppendEpoch(Epoch{Epoch: c.Epoch, SamplesUsed: 7}); err != nil {
				return saved, err
			}
		}
		if c.Metrics, err = f.Metrics(); err != nil {
			return saved, err
		}
		if err := f.Save(c, 2); err != nil {
			return saved, err
		}
		saved = i
	}
	return saved, nil
}

// Whatever goes wrong at whatever operation, a checkpoint that was saved before
// stays, whole, and the run goes on from there to the same end.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	held, err := atomicfile.Take(dir, runFiles)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	folder := func(at int, kind fault) (*Folder, *faulty) {
		d := &faulty{root: dir, top: newDir(), at: at, kind: kind}
		return &Folder{held: held, disk: d, dir: dir}, d
	}
	f, d := folder(0, "")
	if _, err := trainOn(f, 0); err != nil {
		t.Fatal(err)
	}
	ops, end := d.ops, allFiles(d.top, "")
	if ops < 100 {
		t.Fatalf("%d operations", ops)
	}
	points := 0
	for _, kind := range []fault{diskFull, shortWrite, failed, killed, powerCut, powerCutTwo, powerCutHow} {
		for at := 1; at <= ops; at++ {
			f, d := folder(at, kind)
			saved, _ := trainOn(f, 0)
			if !d.fired {
				t.Fatalf("%s at operation %d: it did not come to that", kind, at)
			}
			points++
			d.restart()
			next := 0
			c, err := f.Newest()
			switch {
			case err != nil && saved >= 0:
				t.Fatalf("%s at operation %d, %d saves done: %v", kind, at, saved+1, err)
			case err == nil:
				next = slices.IndexFunc(moments, func(p Position) bool { return p.Epoch == c.Epoch && p.Step == c.Step })
				if next < saved {
					t.Fatalf("%s at operation %d: back at save %d of %d", kind, at, next, saved)
				}
				if want := content(next); !bytes.Equal(c.Pruner, want.Pruner) || !bytes.Equal(c.State["w"].Data, want.State["w"].Data) {
					t.Fatalf("%s at operation %d: save %d is not what was saved", kind, at, next)
				}
				if err := f.Begin(c); err != nil {
					t.Fatalf("%s at operation %d: %v", kind, at, err)
				}
				next++
			default: // nothing was saved: the run starts anew, in place of what is there
				d.top = newDir()
			}
			if _, err := trainOn(f, next); err != nil {
				t.Fatalf("%s at operation %d: going on: %v", kind, at, err)
			}
			got := allFiles(d.top, "")
			for path, data := range end {
				if got[path] != data {
					t.Fatalf("%s at operation %d: %s is %.60q at the end, want %.60q", kind, at, path, got[path], data)
				}
				delete(got, path)
			}
			for path := range got { // of a generation that could not be removed
				if name, _, _ := strings.Cut(strings.TrimPrefix(path, "/checkpoints/"), "/"); !generationName.MatchString(name) {
					t.Fatalf("%s at operation %d: %s is left", kind, at, path)
				}
			}
		}
	}
	t.Logf("%d faults at %d operations", points, ops)
}

// allFiles are all files of a folder by path, with their content.
func allFiles(n *inode, path string) map[string]string {
	if !n.dir {
		return map[string]string{path: string(n.data)}
	}
	all := map[string]string{}
	for name, child := range n.names {
		maps.Copy(all, allFiles(child, path+"/"+name))
	}
	return all
}
