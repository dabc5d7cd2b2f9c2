package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	f.Fuzz(func(t *testing.T, position, state []byte) {
		d := &faulty{root: "/", top: newDir()}
		g := generations{d, "/"}
		if err := d.Mkdir("/1-0"); err != nil {
			t.Fatal(err)
		}
		m := manifest{Format: CheckpointFormat}
		put := func(name string, data []byte) {
			file, err := d.Create("/1-0/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if err := writeAll(file, data); err != nil {
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
		if _, err := g.read("1-0", true); err != nil && !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%v", err)
		}
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
