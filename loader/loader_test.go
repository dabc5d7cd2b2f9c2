package loader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// ramp is Records whose sample i is filled with byte(i) and labelled i % 10;
// reading sample bad fails.
type ramp struct {
	n    int
	bad  map[uint32]error
	hook func(i uint32)
}

func (r ramp) Len() int               { return r.n }
func (r ramp) Shape() (c, h, w int)   { return 2, 3, 4 }
func (r ramp) Name() string           { return "ramp" }
func (r ramp) Target(i uint32) Target { return Class(int64(i % 10)) }
func (r ramp) pixel(i uint32) byte    { return byte(i*7 + 1) }
func (r ramp) image(i uint32) []byte  { return bytes.Repeat([]byte{r.pixel(i)}, 24) }
func (r ramp) Read(i uint32, record *Record) error {
	if r.hook != nil {
		r.hook(i)
	}
	dst := record.Raw(2, 3, 4)
	for k := range dst {
		dst[k] = r.pixel(i)
	}
	return r.bad[i]
}

// epoch is all that one epoch delivered.
type epoch struct {
	indices []uint32
	weights []float32
	images  []byte
	sizes   []int
}

// readEpoch reads a whole epoch and checks each batch against itself.
func readEpoch(t *testing.T, l *Loader, number int, indices []uint32, weights []float32) epoch {
	t.Helper()
	it, err := l.Epoch(t.Context(), number, indices, weights)
	if err != nil {
		t.Fatal(err)
	}
	var e epoch
	for {
		b, err := it.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Indices) != b.N || len(b.Labels) != b.N || len(b.Targets) != 1 || b.Targets[0].Kind != ClassTarget || len(b.Images) != b.N*24 || weights != nil && len(b.Weights) != b.N {
			t.Fatalf("batch of %d: %d indices, %d labels, %d bytes, %d weights", b.N, len(b.Indices), len(b.Labels), len(b.Images), len(b.Weights))
		}
		for k, i := range b.Indices {
			if b.Labels[k] != int64(i%10) {
				t.Fatalf("sample %d has label %d", i, b.Labels[k])
			}
		}
		e.indices = append(e.indices, b.Indices...)
		e.weights = append(e.weights, b.Weights...)
		e.images = append(e.images, b.Images...)
		e.sizes = append(e.sizes, b.N)
	}
	if len(e.sizes) != it.Steps() {
		t.Fatalf("%d batches, Steps says %d", len(e.sizes), it.Steps())
	}
	if _, err := it.Next(); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
	return e
}

// plain is records as they are.
func plain(t testing.TB, r Records) *Source { return changed(t, r, Augment{}) }

// changed is records of images of 2x3x4 or any one shape, augmented.
func changed(t testing.TB, r Records, a Augment) *Source {
	t.Helper()
	change, err := a.Transform(ShapeOf(r))
	if err != nil {
		t.Fatal(err)
	}
	src, err := NewSource(r, change)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func newLoader(t *testing.T, r Records, o Options) *Loader {
	t.Helper()
	return augmented(t, r, Augment{}, o)
}

func augmented(t *testing.T, r Records, a Augment, o Options) *Loader {
	t.Helper()
	l, err := New(changed(t, r, a), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEpochInOrder(t *testing.T) {
	src := ramp{n: 103}
	l := newLoader(t, src, Options{BatchSize: 10, Workers: 3, Prefetch: 2})
	for range 2 { // buffers are reused
		e := readEpoch(t, l, 1, nil, nil)
		if !slices.Equal(e.indices, ascending(103)) || len(e.weights) != 0 {
			t.Fatal("not the source's own order")
		}
		if e.sizes[10] != 3 {
			t.Errorf("the last batch has %d samples: want 3", e.sizes[10])
		}
		for k, i := range e.indices {
			if !bytes.Equal(e.images[k*24:][:24], src.image(i)) {
				t.Fatalf("sample %d has another's image", i)
			}
		}
	}
}

func TestEpochIsTheShuffledPlan(t *testing.T) {
	l := newLoader(t, ramp{n: 500}, Options{BatchSize: 16, Shuffle: true, Seed: 11})
	var indices []uint32
	var weights []float32
	for i := uint32(0); i < 500; i += 3 {
		indices, weights = append(indices, i), append(weights, float32(i)/2)
	}
	keep := slices.Clone(indices)
	e := readEpoch(t, l, 4, indices, weights)
	if !slices.Equal(indices, keep) {
		t.Error("the caller's plan was changed")
	}
	Order(11, 4, indices, weights)
	if !slices.Equal(e.indices, indices) || !slices.Equal(e.weights, weights) {
		t.Error("not the order of Order")
	}
	if next := readEpoch(t, l, 5, keep, nil); slices.Equal(next.indices, e.indices) {
		t.Error("two epochs have one order")
	}
}

func TestAnyNumberOfWorkers(t *testing.T) {
	var first epoch
	for i, o := range []Options{{Workers: 1, Prefetch: 1}, {Workers: 2, Prefetch: 1}, {Workers: 3, Prefetch: 7}, {Workers: 16, Prefetch: 40}} {
		o.BatchSize, o.Shuffle, o.Seed = 7, true, 3
		e := readEpoch(t, augmented(t, ramp{n: 300}, Augment{CropPad: 1, HFlip: true}, o), 2, nil, nil)
		if i == 0 {
			first = e
		} else if !slices.Equal(e.indices, first.indices) || !bytes.Equal(e.images, first.images) {
			t.Errorf("%d workers, prefetch %d: another epoch than with one worker", o.Workers, o.Prefetch)
		}
	}
	if bytes.Count(first.images, []byte{0}) == 0 {
		t.Error("no crop padded anything")
	}
}

// TestWorkersShareABatch: the first sample waits until the last is read, which
// one worker alone would never do.
func TestWorkersShareABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := make(chan struct{})
		src := ramp{n: 2 * minPart, hook: func(i uint32) {
			switch i {
			case 0:
				<-last
			case 2*minPart - 1:
				close(last)
			}
		}}
		l := newLoader(t, src, Options{BatchSize: 2 * minPart, Workers: 2})
		if e := readEpoch(t, l, 1, nil, nil); !slices.Equal(e.sizes, []int{2 * minPart}) {
			t.Errorf("batches of %v", e.sizes)
		}
	})
}

func TestDropLastAndSmallPlans(t *testing.T) {
	src := ramp{n: 25}
	for _, c := range []struct {
		drop  bool
		plan  []uint32
		sizes []int
	}{
		{false, nil, []int{10, 10, 5}},
		{true, nil, []int{10, 10}},
		{false, []uint32{3, 1}, []int{2}},
		{true, []uint32{3, 1}, nil},
		{false, []uint32{}, nil},
		{false, []uint32{4, 4, 4}, []int{3}},
	} {
		l := newLoader(t, src, Options{BatchSize: 10, DropLast: c.drop})
		if e := readEpoch(t, l, 1, c.plan, nil); !slices.Equal(e.sizes, c.sizes) {
			t.Errorf("drop last %v, plan %v: batches of %v: want %v", c.drop, c.plan, e.sizes, c.sizes)
		}
	}
	l := newLoader(t, ramp{n: 3}, Options{BatchSize: 10, DropLast: true})
	if e := readEpoch(t, l, 1, nil, nil); e.sizes != nil {
		t.Errorf("batches of %v from a source smaller than a batch", e.sizes)
	}
}

func TestReadErrorNamesSampleAndComesInOrder(t *testing.T) {
	cause := errors.New("disk on fire")
	for workers := 1; workers <= 4; workers++ {
		src := ramp{n: 100, bad: map[uint32]error{37: cause, 38: io.ErrNoProgress, 90: io.ErrNoProgress}}
		l := newLoader(t, src, Options{BatchSize: 10, Workers: workers, Prefetch: 8})
		it, err := l.Epoch(t.Context(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := it.Next(); err != nil {
				t.Fatalf("before the bad sample: %v", err)
			}
		}
		_, err = it.Next()
		if want := `loader: sample 37 of "ramp": disk on fire`; !errors.Is(err, cause) || err.Error() != want {
			t.Errorf("got %v: want %s", err, want)
		}
		if _, again := it.Next(); again != err {
			t.Errorf("a second Next says %v", again)
		}
		src.bad[37] = nil
		if _, err := l.Epoch(t.Context(), 2, nil, nil); err != nil {
			t.Errorf("the loader is not free after an error: %v", err)
		}
	}
}

func TestOneEpochAtATime(t *testing.T) {
	l := newLoader(t, ramp{n: 100}, Options{BatchSize: 10})
	it, err := l.Epoch(t.Context(), 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Epoch(t.Context(), 2, nil, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v: want ErrBusy", err)
	}
	if _, err := it.Next(); err != nil {
		t.Fatal(err)
	}
	it.Close()
	it.Close()
	if _, err := it.Next(); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	readEpoch(t, l, 2, nil, nil)
}

// TestNoGoroutineIsLeft runs in a bubble, which fails if a goroutine started
// inside it outlives the test.
func TestNoGoroutineIsLeft(t *testing.T) {
	for name, end := range map[string]func(it *Iterator, cancel func()){
		"close":            func(it *Iterator, _ func()) { it.Close() },
		"cancel, no close": func(_ *Iterator, cancel func()) { cancel() },
		"read to the end": func(it *Iterator, _ func()) {
			for _, err := it.Next(); err == nil; _, err = it.Next() {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				l := newLoader(t, ramp{n: 1000}, Options{BatchSize: 10, Workers: 4, Prefetch: 3})
				it, err := l.Epoch(ctx, 1, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				for range 5 {
					if _, err := it.Next(); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait() // the workers are as far ahead as they may be
				end(it, cancel)
				it.workers.Wait()
			})
		})
	}
}

func TestPrefetchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan uint32, 1000)
		src := ramp{n: 1000, hook: func(i uint32) { reads <- i }}
		l := newLoader(t, src, Options{BatchSize: 10, Workers: 4, Prefetch: 3})
		it, err := l.Epoch(t.Context(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for step := 1; step <= 5; step++ {
			if _, err := it.Next(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got, want := len(reads), 10*(step+3); got != want {
				t.Fatalf("with batch %d in use %d samples were read: want %d", step, got, want)
			}
		}
	})
}

func TestCancelledNext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan struct{})
	src := ramp{n: 100, hook: func(i uint32) {
		if i == 10 {
			cancel()
			<-blocked // a read that hangs until after the cancellation
		}
	}}
	l := newLoader(t, src, Options{BatchSize: 10, Workers: 1})
	it, err := l.Epoch(ctx, 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		for {
			if _, err := it.Next(); err != nil {
				done <- err
				return
			}
		}
	}()
	<-ctx.Done()
	close(blocked)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v: want context.Canceled", err)
	}
}

func TestPlansAreChecked(t *testing.T) {
	l := newLoader(t, ramp{n: 10}, Options{})
	for _, c := range []struct {
		indices []uint32
		weights []float32
		want    string
	}{
		{[]uint32{1, 10}, nil, `loader: plan of epoch 3: sample index out of range: 10 of "ramp", which has 10 samples`},
		{[]uint32{1, 2}, []float32{1}, "loader: plan of epoch 3: 1 weights for 2 indices"},
		{nil, []float32{1}, "loader: plan of epoch 3: 1 weights for 10 samples"},
	} {
		if _, err := l.Epoch(t.Context(), 3, c.indices, c.weights); err == nil || err.Error() != c.want {
			t.Errorf("got %v: want %s", err, c.want)
		}
	}
	readEpoch(t, l, 3, nil, nil) // still free
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := New(plain(t, ramp{n: 10}), Options{BatchSize: -1, Workers: MaxWorkers + 1, Prefetch: -2})
	_, crop := Augment{CropPad: -1}.Transform(1, 2, 3)
	err = errors.Join(err, crop)
	for _, what := range []string{"batch-size", "workers", "prefetch", "crop-pad"} {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", what)) {
			t.Errorf("%v: does not name %q", err, what)
		}
	}
	if !errors.Is(err, ErrOptions) {
		t.Errorf("%v: does not wrap ErrOptions", err)
	}
	if _, err := New(plain(t, ramp{}), Options{}); !errors.Is(err, ErrBadData) {
		t.Errorf("an empty source: %v", err)
	}
	if _, err := New(plain(t, ramp{n: 1 << 31}), Options{BatchSize: MaxBatchSize, Prefetch: MaxPrefetch}); err == nil || !strings.Contains(err.Error(), "lower the batch size") {
		t.Errorf("buffers past the bound: %v", err)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	src, err := NewMemory("m", 1, 28, 28, make([]byte, 4096*784), make([]int64, 4096), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []Augment{{}, {CropPad: 4, HFlip: true}} {
		l := augmented(t, src, a, Options{BatchSize: 16, Workers: 2, Shuffle: true})
		it, err := l.Epoch(t.Context(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			it.Next()
		}
		n := testing.AllocsPerRun(200, func() {
			if _, err := it.Next(); err != nil {
				t.Fatal(err)
			}
		})
		if n > 0 {
			t.Errorf("augment %+v: %v allocations a batch", a, n)
		}
		it.Close()
	}
}
