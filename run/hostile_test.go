package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"winnow/internal/atomicfile"
)

// FuzzCheckpoint puts a hand-made position and manifest into a checkpoint whose
// checksums are right: it is read, or refused with the package's error.
func FuzzCheckpoint(f *testing.F) {
	good := content(1)
	text, err := json.Marshal(&good.Position)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, []byte("state"))
	f.Add([]byte(`{"format":"winnow.checkpoint/2","epoch":1,"config":{"epochs":1,"batch_size":1},"result":{"epochs":1}}`), []byte{})
	f.Add([]byte(`{"format":"winnow.checkpoint/2","epoch":1,"step":-1}`), bytes.Repeat([]byte{0xff}, 16))
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "1-0"), 0o777); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, position, state []byte) {
		m := manifest{Format: CheckpointFormat}
		put := func(name string, data []byte) {
			if err := os.WriteFile(filepath.Join(dir, "1-0", name), data, 0o666); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(data)
			m.Files = append(m.Files, fileEntry{name, int64(len(data)), hex.EncodeToString(sum[:])})
		}
		put(positionFile, position)
		put(stateFile, state)
		put(prunerFile, nil)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		put(manifestFile, text)
		if _, err := (generations{realDisk{}, dir}).read("1-0", true); err != nil && !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzManifest reads a manifest that nobody checked before.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":"winnow.checkpoint/2","files":[{"name":"state.safetensors","size":1,"sha256":""},{"name":"pruner"},{"name":"position.json","size":-1}]}`))
	f.Add([]byte(`{"format":"winnow.checkpoint/2","files":[{"name":"../x","size":9223372036854775807}]}`))
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "1-0"), 0o777); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{stateFile, prunerFile, positionFile} {
		if err := os.WriteFile(filepath.Join(dir, "1-0", name), []byte("{}"), 0o666); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "1-0", manifestFile), text, 0o666); err != nil {
			t.Fatal(err)
		}
		if c, err := (generations{realDisk{}, dir}).read("1-0", true); err == nil {
			t.Errorf("a checkpoint of nothing was read: %+v", c)
		} else if !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzRead reads a run folder's records: a run, or an error of the package. What
// is read can be written, and is read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"epochs":1,"config":{"epochs":1,"batch_size":1,"prune":{"method":"none"}},"onnxruntime_version":"1","train_samples_full":1}`),
		[]byte(`{"epoch":1,"test_accuracy":0.5,"samples_used":1,"samples_total":1,"saved_ratio":0,"prune_seconds":0}`+"\n"))
	f.Add([]byte(`{"epochs":0,"config":{"epochs":3}}`), []byte(nil))
	f.Add([]byte(`{"epochs":2,"interrupted":true,"config":{"epochs":3}}`), []byte("{\"epoch\":1}\n\n{\"epoch\":2}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, summary, metrics []byte) {
		for name, data := range map[string][]byte{SummaryFile: summary, MetricsFile: metrics} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Read(dir)
		if err != nil {
			if !errors.Is(err, ErrBadRun) && !errors.Is(err, ErrNoRun) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(r.Epochs) != r.Summary.Epochs {
			t.Errorf("%d lines for %d epochs", len(r.Epochs), r.Summary.Epochs)
		}
		if _, err := json.Marshal(&r.Summary); err != nil {
			t.Errorf("%v", err)
		}
		_, _ = earlierRun(dir)
	})
}

// A held folder's names do not leave it.
func TestCheckpointsAreOwnNames(t *testing.T) {
	for _, name := range []string{"../1-0", "1-0/..", "1--0", "-1-0", "1-0.winnow-new", "999999-0", "1-0000000000"} {
		if generationName.MatchString(name) {
			t.Errorf("%q is taken for a checkpoint", name)
		}
	}
	if atomicfile.IsOwn(CheckpointDir) {
		t.Error("the folder of checkpoints is taken for a temporary one")
	}
}
