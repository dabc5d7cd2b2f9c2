package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/loader"
	"winnow/train/traintest"
)

func TestDataAgainstBundle(t *testing.T) {
	d := device(t)
	memory := func(c, h, w int, label int64, names []string) *loader.Source {
		m, err := loader.NewMemory("m", c, h, w, make([]byte, c*h*w*3), []int64{0, label, 0}, names)
		if err != nil {
			t.Fatal(err)
		}
		return traintest.Plain(t, m)
	}
	for name, c := range map[string]struct {
		src  *loader.Source
		text string
	}{
		"shape":   {memory(3, 4, 4, 0, nil), "3x4x4"},
		"label":   {memory(1, 4, 4, 3, nil), "label 3"},
		"below":   {memory(1, 4, 4, -1, nil), "label -1"},
		"classes": {memory(1, 4, 4, 3, []string{"a", "b", "c", "d"}), "4 classes"},
	} {
		o := testOptions(t, d, traintest.AllParts)
		o.Train = c.src
		if _, err := Run(context.Background(), o); !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(o.Out); err == nil {
			t.Errorf("%s: a run folder was left behind", name)
		}
	}
}

func TestReferences(t *testing.T) {
	d := device(t)
	file := filepath.Join(t.TempDir(), "clean.txt")
	if err := os.WriteFile(file, []byte("# clean\n5\n2\n\n5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"population", "holdout:0.1", "pseudo:0.1", file} {
		o := testOptions(t, d, traintest.AllParts)
		src := &counting{traintest.BlobRecords(t, 300, 1), make([]atomic.Int32, 300)}
		o.Train, o.Method, o.Reference, o.Epochs, o.Prune.Window = traintest.Plain(t, src), "das-infobatch", ref, 6, 3
		passes := map[int]bool{}
		o.Reporter = &record{on: func(p Progress) {
			if p.Phase == PhaseReference {
				passes[p.Epoch] = true
			}
		}}
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(ref, err)
		}
		full, outside := int64(6*300), ref != "population" && !strings.HasPrefix(ref, "pseudo")
		if strings.HasPrefix(ref, "holdout") {
			full = 6 * 270
			reads := int64(0)
			for i := range src.reads {
				reads += int64(src.reads[i].Load())
			}
			if want := s.TrainSamplesUsed + 6*30 + sampledImages; reads != want {
				t.Errorf("%s: %d reads, want %d: the plan's and 30 after each epoch", ref, reads, want)
			}
		}
		if s.TrainSamplesFull != full || s.TrainSamplesUsed >= full {
			t.Errorf("%s: used %d of %d, want fewer than %d", ref, s.TrainSamplesUsed, s.TrainSamplesFull, full)
		}
		if outside != (len(passes) == 6) {
			t.Errorf("%s: reference passes %v", ref, passes)
		}
	}
}

func TestStepsAllocateNothing(t *testing.T) {
	o := testOptions(t, device(t), traintest.AllParts)
	o.Train = traintest.Blobs(t, 32*400, 1)
	o.Method, o.Epochs = "infobatch", 1
	allocs := map[int]uint64{}
	o.Reporter = &record{on: func(p Progress) {
		if p.Phase == PhaseTrain && (p.Step == 50 || p.Step == 350) {
			allocs[p.Step] = mallocs()
		}
	}}
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	// The two readings allocate a little themselves.
	if n := allocs[350] - allocs[50]; n > 30 {
		t.Errorf("300 steps made %d allocations", n)
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
