package loader

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"winnow/internal/option"
	"winnow/internal/spill"
)

// Defaults and bounds of Options.
const (
	DefaultBatchSize = 128 // the batch size of the CIFAR recipes in He et al. 2015 (arXiv 1512.03385)
	DefaultPrefetch  = 4   // batches ready ahead of the trainer; hides one slow batch
	MaxBatchSize     = 1 << 20
	MaxWorkers       = 1024
	MaxPrefetch      = 4096
	// MaxBufferBytes bounds the image buffers of one loader, all together.
	MaxBufferBytes = 16 << 30
)

// Options configure a Loader. Zero values of BatchSize, Workers and Prefetch
// stand for DefaultBatchSize, half the processors (at least 1) and
// DefaultPrefetch.
type Options struct {
	BatchSize int // samples in a batch
	Workers   int // goroutines that read and transform
	Prefetch  int // batches read ahead of the one in use

	Shuffle  bool // visit the plan in the order of Order(Seed, epoch, ...)
	DropLast bool // leave out a last batch smaller than BatchSize
	MinBatch int  // a last batch of fewer samples is joined to the one before it; 0 stands for 1
	Seed     uint64
	// OneHot > 0 delivers classes as vectors of so many numbers too, 1 for the
	// class and 0 for the others: the targets of kind class become of kind vector.
	OneHot int
	Shard  Shard // of each batch
	// Empty delivers batches without samples too, where all are bad or another
	// shard's.
	Empty bool
	// Smoothing s makes that (1-s) for the class, and s over their number for all.
	Smoothing float64
	// Mix joins the samples of a batch; its targets must be vectors of float32.
	Mix Mix
	// MaskClasses > 0 is how many classes pixels of masks may have; others are bad
	// data, but for MaskIgnore.
	MaskClasses int
	MaskIgnore  byte
	// Bad, where not nil, collects samples whose data is bad, which are then left
	// out of their batch; without it the first of them ends the epoch.
	Bad *BadSamples
}

func (o Options) withDefaults() Options {
	if o.BatchSize == 0 {
		o.BatchSize = DefaultBatchSize
	}
	if o.Workers == 0 {
		o.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Prefetch == 0 {
		o.Prefetch = DefaultPrefetch
	}
	if o.MinBatch == 0 {
		o.MinBatch = 1
	}
	if o.Shard.Of == 0 {
		o.Shard.Of = 1
	}
	o.Shard.Pairs = o.Shard.Of > 1 && o.Mix.Enabled()
	return o
}

// Largest is the most samples that a batch can have: a last one of too few may have joined it.
func (o Options) Largest() int {
	o = o.withDefaults()
	return o.Shard.Largest(o.BatchSize+o.MinBatch-1, o.MinBatch)
}

// Validate reports every option out of range; errors wrap ErrOptions.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	check := func(name string, v, hi int) {
		if v < 1 || v > hi {
			errs = append(errs, option.Errorf("loader", name, "%d, want 1 to %d", v, hi))
		}
	}
	check("batch-size", o.BatchSize, MaxBatchSize)
	check("workers", o.Workers, MaxWorkers)
	check("prefetch", o.Prefetch, MaxPrefetch)
	check("min-batch", o.MinBatch, o.BatchSize)
	if o.OneHot < 0 {
		errs = append(errs, option.Errorf("loader", "one-hot", "%d classes, want 1 or more", o.OneHot))
	}
	if o.Shard.Index < 0 || o.Shard.Index >= o.Shard.Of {
		errs = append(errs, option.Errorf("loader", "shard", "%d of %d", o.Shard.Index, o.Shard.Of))
	}
	if o.Shard.Pairs && o.Bad != nil {
		errs = append(errs, option.Errorf("loader", "mixup", "%d processes share a batch, and which samples make a pair is known before they are read; leave out --on-bad skip, or --mixup and --cutmix", o.Shard.Of))
	}
	if !(o.Smoothing >= 0 && o.Smoothing < 1) {
		errs = append(errs, option.Errorf("loader", "smoothing", "%v, want 0 or more, below 1", o.Smoothing))
	}
	return errors.Join(append(errs, o.Mix.Validate())...)
}

// Loader makes batches of a source's samples, one epoch at a time. Its
// buffers are made once and reused by every epoch: Prefetch+1 batches, and a table
// (internal/spill) of the order and its weights, of 8 bytes a sample.
type Loader struct {
	src        *Source
	o          Options
	imageBytes int
	targets    []TargetSpec // as delivered
	allowed    [256]bool    // values of masks

	mu      sync.Mutex
	open    bool // an Iterator holds the buffers
	indices []uint32
	weights []float32
	slots   []slot
	scratch []Scratch // of each worker
}

// New makes a loader. It starts no goroutine; Epoch does.
func New(src *Source, o Options) (*Loader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	c, h, w := src.Shape()
	l := &Loader{src: src, o: o, imageBytes: c * h * w}
	n := src.Len()
	switch {
	case n < 1:
		return nil, fmt.Errorf("loader: source %q: %w: no samples", src.Name(), ErrBadData)
	case int64(n) > math.MaxUint32:
		return nil, fmt.Errorf("loader: source %q: %d samples: want at most %d", src.Name(), n, int64(math.MaxUint32))
	}
	l.targets = src.Targets()
	for k := range l.targets {
		if t := &l.targets[k]; t.Kind == ClassTarget && o.OneHot > 0 {
			t.Kind, t.Type, t.Shape = VectorTarget, Float32, []int{o.OneHot}
		}
	}
	for v := range l.allowed {
		l.allowed[v] = o.MaskClasses == 0 || v < o.MaskClasses || byte(v) == o.MaskIgnore
	}
	if err := checkTargets(l.targets); err != nil {
		return nil, fmt.Errorf("loader: source %q: %w", src.Name(), err)
	}
	if o.Mix.Enabled() {
		if err := l.checkMix(); err != nil {
			return nil, err
		}
	}
	if !o.DropLast { // with it, a source smaller than one batch has no step
		l.o.BatchSize = min(o.BatchSize, n)
		l.o.MinBatch = min(o.MinBatch, l.o.BatchSize)
	}
	sample := float64(l.imageBytes)
	for k := range l.targets {
		sample += float64(l.targets[k].Size())
	}
	if need := float64(l.o.Largest()) * sample * float64(o.Prefetch+1); need > MaxBufferBytes {
		return nil, fmt.Errorf("loader: source %q: %d batches of %d samples of %.0f bytes need %.0f bytes: want at most %d; lower the batch size or the prefetch",
			src.Name(), o.Prefetch+1, l.o.BatchSize, sample, need, int64(MaxBufferBytes))
	}
	return l, nil
}

// fromClass is whether target k is delivered as a vector and stored as a class.
func (l *Loader) fromClass(k int) bool {
	return l.targets[k].Kind == VectorTarget && l.src.targets[k].Kind == ClassTarget
}

// Epoch starts reading one epoch: the plan given by indices and weights, in
// the order of Order(Seed, epoch, indices, weights) where Options.Shuffle is
// set and as given otherwise. nil indices are all samples, nil weights are 1;
// both are copied and stay the caller's. Cancelling ctx stops the workers and
// makes Next return its error. One epoch at a time: Close the Iterator, or
// read it to its end, before the next.
func (l *Loader) Epoch(ctx context.Context, epoch int, indices []uint32, weights []float32) (*Iterator, error) {
	return l.EpochFrom(ctx, epoch, 0, indices, weights)
}

// EpochFrom is Epoch without its first batches, which are not read: what
// follows is the same.
func (l *Loader) EpochFrom(ctx context.Context, epoch, step int, indices []uint32, weights []float32) (*Iterator, error) {
	n := l.src.Len()
	if indices == nil {
		if weights != nil && len(weights) != n {
			return nil, fmt.Errorf("loader: plan of epoch %d: %d weights for %d samples", epoch, len(weights), n)
		}
	} else {
		if weights != nil && len(weights) != len(indices) {
			return nil, fmt.Errorf("loader: plan of epoch %d: %d weights for %d indices", epoch, len(weights), len(indices))
		}
		for _, i := range indices {
			if int64(i) >= int64(n) {
				return nil, fmt.Errorf("loader: plan of epoch %d: %w: %d of %q, which has %d samples", epoch, ErrIndex, i, l.src.Name(), n)
			}
		}
	}

	l.mu.Lock()
	if l.open {
		l.mu.Unlock()
		return nil, fmt.Errorf("loader: epoch %d of %q: %w", epoch, l.src.Name(), ErrBusy)
	}
	l.open = true
	l.mu.Unlock()

	if indices == nil {
		l.indices = resize(l.indices, n, n)
		for i := range l.indices {
			l.indices[i] = uint32(i)
		}
	} else {
		l.indices = resize(l.indices, len(indices), n)
		copy(l.indices, indices)
	}
	var w []float32
	if weights != nil {
		l.weights = resize(l.weights, len(weights), n)
		copy(l.weights, weights)
		w = l.weights
	}
	if l.o.Shuffle {
		Order(l.o.Seed, epoch, l.indices, w)
	}
	if l.o.Shard.Pairs {
		l.pair(w)
	}
	return l.start(ctx, epoch, step, w), nil
}

// pair puts the samples of each batch in the order of Pair.
func (l *Loader) pair(weights []float32) {
	for k := range l.steps(len(l.indices)) {
		lo, hi := l.bounds(k, len(l.indices))
		Pair(l.indices[lo:hi])
		if weights != nil {
			Pair(weights[lo:hi])
		}
	}
}

// steps is the number of batches of n samples.
func (l *Loader) steps(n int) int {
	b := l.o.BatchSize
	steps := n / b
	if rest := n % b; rest != 0 && !l.o.DropLast && (rest >= l.o.MinBatch || steps == 0) {
		steps++
	}
	return steps
}

// bounds is where of n samples the batch of a step lies.
func (l *Loader) bounds(step, n int) (lo, hi int) {
	lo, hi = step*l.o.BatchSize, (step+1)*l.o.BatchSize
	if hi > n || n-hi < l.o.MinBatch && !l.o.DropLast {
		hi = n
	}
	return lo, hi
}

// grow returns s with length n, its content lost where it had to grow.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// resize returns a table with length n, its content lost where it had to grow; a
// new one has room for the usual number of elements.
func resize[T spill.Number](s []T, n, usual int) []T {
	if cap(s) < n {
		spill.Free(s)
		return spill.Make[T](max(n, usual))[:n]
	}
	return s[:n]
}

func (l *Loader) release() {
	l.mu.Lock()
	l.open = false
	l.mu.Unlock()
}
