package run

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/atomicfile"
	"winnow/internal/atomicfile/faults"
	"winnow/onnx"
	"winnow/onnx/wire"
)

// faulty is a disk of which what changes things fails.
type faulty struct {
	*faults.Disk
	reading
}

var _ disk = faulty{}

// moments are the saves of a short run: in the middle of epochs and after them.
var moments = []Position{{Step: 3}, {Epoch: 1}, {Epoch: 1, Step: 3}, {Epoch: 2}}

const lastEpoch = 2

// content is a checkpoint of a moment.
func content(i int) *Checkpoint {
	c := &Checkpoint{Position: moments[i], Pruner: []byte(fmt.Sprint("pruner ", i)), State: map[string]*onnx.Tensor{
		"w": onnx.FromFloat32([]float32{float32(i), 2, 3}, 3)}}
	c.Format, c.Config.Epochs, c.Config.BatchSize, c.BestEpoch = CheckpointFormat, lastEpoch, 1, min(c.Epoch, 1)
	c.Result.Epochs = c.Epoch
	return c
}

// model is that of an epoch.
func model(t *testing.T, epoch int) []byte {
	t.Helper()
	data, err := wire.Encode(&onnx.Model{IRVersion: 8, Opset: 18, Producer: onnx.Producer, Graph: &onnx.Graph{Name: fmt.Sprint("after ", epoch)}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// course is a run: its seed, and the models of its epochs.
type course struct {
	seed   uint64
	models [lastEpoch + 1][]byte
}

func newCourse(t *testing.T, seed uint64) *course {
	c := &course{seed: seed}
	for e := range c.models {
		c.models[e] = model(t, e+100*int(seed))
	}
	return c
}

func (r *course) config() []byte { return fmt.Appendf(nil, "%s\nseed: %d\n", ConfigMark, r.seed) }

func (r *course) summary() *Summary {
	s := &Summary{Seed: r.seed}
	s.Config.Epochs, s.Config.BatchSize, s.Config.Prune.Method = lastEpoch, 1, "none"
	s.RuntimeVersion, s.Epochs, s.TrainSamplesUsed, s.TrainSamplesFull = "1", lastEpoch, 7*lastEpoch, 7*lastEpoch
	return s
}

// trainOn does what a run does from a moment on: for each finished epoch the
// model, a line and then a checkpoint, and at the end the summary. It ends at the
// first error, with the last moment that was saved and had the folder.
func (r *course) trainOn(f *Folder, from int) (saved int, err error) {
	saved = from - 1
	for i := from; i < len(moments); i++ {
		c := content(i)
		c.Config.Seed = r.seed
		if f.Staged() && c.Step > 0 { // an earlier run stays until an epoch is done
			continue
		}
		if c.Step == 0 {
			if err := f.WriteBytes(ModelFile, r.models[c.Epoch]); err != nil {
				return saved, err
			}
			if err := f.AppendEpoch(Epoch{Epoch: c.Epoch, SamplesUsed: 7}); err != nil {
				return saved, err
			}
		}
		if err := f.WriteBytes(ConfigFile, r.config()); err != nil {
			return saved, err
		}
		if c.Metrics, err = f.Metrics(c.Epoch); err != nil {
			return saved, err
		}
		if err := f.Save(c, 2); err != nil {
			return saved, err
		}
		if err := f.Commit(); err != nil {
			return saved, err
		}
		saved = i
	}
	return saved, f.WriteSummary(r.summary())
}

// run does one from its start in a folder.
func (r *course) run(d disk, dir string, overwrite bool) (saved int, err error) {
	f, err := openOn(d, dir, "", overwrite)
	if err != nil {
		return -1, err
	}
	defer f.Release()
	return r.trainOn(f, 0)
}

// Whatever goes wrong at whatever operation of the disk, under checkpoints,
// metrics, model, flags and summary alike, a checkpoint that was saved before
// stays, whole, nothing half-written is taken for whole, and the run goes on to
// the same end.
func TestFaults(t *testing.T) { testFaults(t, false) }

// The same where the run takes the place of an earlier one: either of the two is
// there, whole.
func TestFaultsOverwriting(t *testing.T) { testFaults(t, true) }

// inMemory is a folder for many small files, in memory where there is such a place.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "winnow-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// sound is the disk under a run folder, on which nothing goes wrong yet.
func sound(t *testing.T, dir string) faulty {
	t.Helper()
	d, err := faults.New(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	return faulty{Disk: d}
}

func testFaults(t *testing.T, overwriting bool) {
	before, now := newCourse(t, 1), newCourse(t, 2)
	base := inMemory(t)
	start := func(name string) (string, faulty) {
		dir := filepath.Join(base, name, "run")
		if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if overwriting {
			if _, err := before.run(sound(t, dir), dir, false); err != nil {
				t.Fatal(err)
			}
		}
		return dir, sound(t, dir)
	}
	dir, d := start("whole")
	old := allFiles(t, dir)
	if _, err := now.run(d, dir, overwriting); err != nil {
		t.Fatal(err)
	}
	ops, end := d.Ops, allFiles(t, dir)
	if ops < 120 {
		t.Fatalf("%d operations", ops)
	}
	points, kept := 0, 0
	for _, kind := range faults.Kinds() {
		for at := 1; at <= ops; at++ {
			if testing.Short() && at%7 != 0 {
				continue
			}
			what := fmt.Sprintf("%s at operation %d", kind, at)
			dir, d := start(fmt.Sprint(points))
			d.Kind, d.At = kind, at
			saved, _ := now.run(d, dir, overwriting)
			if !d.Fired {
				t.Fatalf("%s: it did not come to that", what)
			}
			points++
			if err := d.Restart(); err != nil {
				t.Fatal(err)
			}
			if overwriting && now.survives(t, what, dir, old, saved) {
				kept++
			}
			now.goesOn(t, what, dir, saved)
			got := allFiles(t, dir)
			for path, data := range end {
				if got[path] != data {
					t.Fatalf("%s: %s is %.60q at the end, want %.60q", what, path, got[path], data)
				}
				delete(got, path)
			}
			for path := range got { // of a generation that could not be removed
				if name, _, _ := strings.Cut(strings.TrimPrefix(path, "checkpoints/"), "/"); !generationName.MatchString(name) {
					t.Fatalf("%s: %s is left", what, path)
				}
			}
			if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d faults at %d operations; after %d of them the earlier run was there", points, ops, kept)
}

// survives is whether the earlier run is in its place, which then must be whole;
// else the new one must be there with all that it saved.
func (r *course) survives(t *testing.T, what, dir string, old map[string]string, saved int) bool {
	t.Helper()
	p, err := Last(dir) // which ends a commit that was begun
	if err != nil {
		t.Fatalf("%s: neither run is there: %v", what, err)
	}
	if p.Config.Seed == r.seed {
		return false
	}
	if saved >= 0 {
		t.Fatalf("%s: the earlier run is back, after the new one had saved %d times", what, saved+1)
	}
	if _, err := Read(dir); err != nil {
		t.Fatalf("%s: the earlier run is not whole: %v", what, err)
	}
	got := allFiles(t, dir)
	for path, data := range old {
		if got[path] != data {
			t.Fatalf("%s: %s of the earlier run is %.60q, was %.60q", what, path, got[path], data)
		}
	}
	return true
}

// goesOn holds what is there against what was saved, and ends the run.
func (r *course) goesOn(t *testing.T, what, dir string, saved int) {
	t.Helper()
	if s, err := Read(dir); err == nil && s.Summary.Seed == r.seed && s.Summary.Epochs != lastEpoch {
		t.Fatalf("%s: half a summary is read as whole: %+v", what, s.Summary)
	}
	f, c, _, err := resumeOn(sound(t, dir), dir)
	if err == nil && c.Config.Seed == r.seed {
		defer f.Release()
		next := slices.IndexFunc(moments, func(p Position) bool { return p.Epoch == c.Epoch && p.Step == c.Step })
		if next < saved {
			t.Fatalf("%s: back at save %d of %d", what, next, saved)
		}
		if want := content(next); !bytes.Equal(c.Pruner, want.Pruner) || !bytes.Equal(c.State["w"].Data, want.State["w"].Data) {
			t.Fatalf("%s: save %d is not what was saved", what, next)
		}
		if text, err := os.ReadFile(filepath.Join(dir, ConfigFile)); err != nil || !bytes.Equal(text, r.config()) {
			t.Fatalf("%s: %s is %q, %v", what, ConfigFile, text, err)
		}
		if m, err := os.ReadFile(filepath.Join(dir, ModelFile)); c.Epoch > 0 && (err != nil || !slices.ContainsFunc(r.models[:], func(x []byte) bool { return bytes.Equal(x, m) })) {
			t.Fatalf("%s: %s is none that was written: %v", what, ModelFile, err)
		}
		if err := f.Begin(c); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := r.trainOn(f, next+1); err != nil {
			t.Fatalf("%s: going on: %v", what, err)
		}
		return
	}
	if f != nil {
		f.Release()
	}
	if saved >= 0 {
		t.Fatalf("%s, %d saves done: %v", what, saved+1, err)
	}
	if err != nil && !errors.Is(err, ErrNothing) {
		t.Fatalf("%s: %v", what, err)
	}
	if _, err := r.run(sound(t, dir), dir, true); err != nil { // nothing was saved: it starts anew
		t.Fatalf("%s: starting anew: %v", what, err)
	}
}

// allFiles are all files of a folder by path, with their content.
func allFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() || e.Name() == atomicfile.LockFile {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(all, func(path, _ string) bool { return path == "" })
	return all
}
