package train

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/internal/guard"
	"winnow/loader"
	"winnow/train/traintest"
)

// faulty are records that panic at the n-th read, in a worker of the loader.
type faulty struct {
	*loader.Memory
	left *atomic.Int64
}

func (f faulty) Read(i uint32, r *loader.Record) error {
	if f.left.Add(-1) == 0 {
		panic("index out of range [3] with length 3")
	}
	return f.Memory.Read(i, r)
}

// A worker that panics ends the run with an error that says which sample it was,
// and where in the code; the last checkpoint goes on to the end of an unbroken run.
func TestWorkerPanics(t *testing.T) {
	d := device(t)
	options := func(reads int64) Options {
		o := testOptions(t, d, traintest.AllParts)
		o.Method, o.Epochs, o.Workers = "infobatch", 4, 2
		f := faulty{traintest.BlobRecords(t, 200, 1), &atomic.Int64{}}
		f.left.Store(reads)
		o.Train = traintest.Plain(t, f)
		return o
	}
	whole := options(-1)
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	o := options(500)
	_, err := Run(context.Background(), o)
	if !errors.Is(err, guard.ErrPanic) || !strings.Contains(err.Error(), "sample ") || !strings.Contains(err.Error(), "with length 3, at winnow/train.faulty.Read (panic_test.go:") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("%v", err)
	}
	o.Train, o.Resume = traintest.Plain(t, traintest.BlobRecords(t, 200, 1)), true
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if got, want := outcomeOf(t, o.Out), outcomeOf(t, whole.Out); !reflect.DeepEqual(got, want) {
		t.Errorf("it ended as another run: %+v, want %+v", got.result, want.result)
	}
}
