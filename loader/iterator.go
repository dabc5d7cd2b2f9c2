package loader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"winnow/internal/guard"
)

// Batch is N samples. Its slices are the loader's, valid until the next call
// of Next or Close; the caller may change Images, Labels and the values of
// Targets in place.
type Batch struct {
	N       int
	Indices []uint32  // [N] sample indices
	Images  []byte    // [N, C, H, W]
	Labels  []int64   // [N] the classes, as before mixing; -1 of samples that have none
	Targets []Values  // in the order of Source.Targets
	Weights []float32 // [N]; nil = all 1
}

// slot is one recycled batch buffer. A slot belongs to the workers that have
// parts of its step until ready is signalled, and then to the consumer.
type slot struct {
	images  []byte
	labels  []int64
	targets []targetBuffer
	bad     []bool        // of each sample: it could not be read
	n       int           // samples; fewer than the step has where some were bad
	ready   chan struct{} // capacity 1

	left atomic.Int32 // parts that are not read
	mu   sync.Mutex
	err  error // of the first sample that has one
	at   int   // where in the plan
}

// part is samples of a step, by their places in the plan: workers share a step,
// so that the first batch of an epoch is there as soon as it can be.
type part struct{ step, lo, hi int }

// minPart is the fewest samples worth a part.
const minPart = 4

// Iterator delivers the batches of one epoch in order. It is used by one
// goroutine.
//
// Step k is read into slot k mod len(slots); its parts enter the queue when the
// batch that held the slot before is given back, so the workers are never
// more than Prefetch batches ahead and no buffer is made while it runs.
type Iterator struct {
	l       *Loader
	ctx     context.Context
	cancel  context.CancelCauseFunc
	epoch   int
	steps   int
	first   int // step that the first Next delivers
	next    int // step that Next delivers
	weights []float32
	queue   chan part // to read
	workers guard.Group
	batch   Batch
	err     error // sticky
	closed  bool

	delivered bool // a batch, of the epoch
}

func (l *Loader) start(ctx context.Context, epoch, first int, weights []float32) *Iterator {
	steps := l.steps(len(l.indices))
	if l.slots == nil {
		l.slots = make([]slot, l.o.Prefetch+1)
		for i := range l.slots {
			l.slots[i] = slot{
				images:  make([]byte, l.o.Largest()*l.imageBytes),
				labels:  make([]int64, l.o.Largest()),
				targets: make([]targetBuffer, len(l.targets)),
				bad:     make([]bool, l.o.Largest()),
			}
			for k := range l.targets {
				l.slots[i].targets[k] = newTargetBuffer(&l.targets[k], l.o.Largest())
			}
		}
		l.scratch = make([]Scratch, l.o.Workers)
	}
	for i := range l.slots {
		l.slots[i].ready = make(chan struct{}, 1) // an abandoned epoch may have left a signal
	}
	first = min(max(first, 0), steps)
	it := &Iterator{l: l, epoch: epoch, steps: steps, first: first, next: first, delivered: first > 0 || l.o.Shard.Of > 1, weights: weights, queue: make(chan part, len(l.slots)*len(l.scratch))}
	it.ctx, it.cancel = context.WithCancelCause(ctx)
	for k := range min(steps-first, len(l.slots)) {
		it.enqueue(first + k)
	}
	for k := range min(len(l.scratch), (steps-first)*l.o.BatchSize) {
		it.workers.Go(func() {
			if err := guard.Call(func() error { return it.work(&l.scratch[k]) }); err != nil {
				it.cancel(err)
			}
		})
	}
	return it
}

// enqueue gives the parts of a step to the workers. It never blocks: the slot's
// former step has left the queue.
func (it *Iterator) enqueue(step int) {
	s := &it.l.slots[step%len(it.l.slots)]
	lo, hi := it.bounds(step)
	n := hi - lo
	parts := max(1, min(len(it.l.scratch), n/minPart))
	s.err = nil
	s.left.Store(int32(parts))
	for k := range parts {
		it.queue <- part{step, lo + k*n/parts, lo + (k+1)*n/parts}
	}
}

// Steps is the number of batches of the epoch, before any is left out because
// all of its samples are bad.
func (it *Iterator) Steps() int { return it.steps }

// Done is the number of the epoch's batches before the next one, read or not.
func (it *Iterator) Done() int { return it.next }

// Next returns the next batch, io.EOF after the last one, the context's error
// once it is cancelled, or the error of the first sample of the batch that
// could not be read. Any error ends the epoch.
func (it *Iterator) Next() (*Batch, error) {
	if it.closed {
		if it.err == nil {
			return nil, fmt.Errorf("loader: iterator of %q: %w", it.l.src.Name(), ErrClosed)
		}
		return nil, it.err
	}
	for {
		b, err := it.take()
		if errors.Is(err, io.EOF) && !it.delivered && it.steps > 0 {
			err = fmt.Errorf("loader: epoch of %q: %w: none of its samples could be read", it.l.src.Name(), ErrBadData)
		}
		if err != nil {
			return nil, it.fail(err)
		}
		if b.N > 0 || it.l.o.Empty {
			it.delivered = it.delivered || b.N > 0
			return b, nil
		}
	}
}

// take waits for the next step's batch, which is empty where all of its samples
// are bad, or fewer are left than a batch may have.
func (it *Iterator) take() (*Batch, error) {
	if it.next > it.first {
		if k := it.next - 1 + len(it.l.slots); k < it.steps {
			it.enqueue(k)
		}
	}
	if err := it.ended(); err != nil {
		return nil, err
	}
	if it.next == it.steps {
		return nil, io.EOF
	}
	s := &it.l.slots[it.next%len(it.l.slots)]
	select {
	case <-s.ready:
	case <-it.ctx.Done():
		return nil, it.ended()
	}
	if s.err != nil {
		return nil, s.err
	}
	lo, _ := it.bounds(it.next)
	it.next++
	n := s.n
	hi := lo + n
	it.batch = Batch{N: n, Indices: it.l.indices[lo:hi:hi], Images: s.images[:n*it.l.imageBytes], Labels: s.labels[:n], Targets: it.batch.Targets[:0]}
	for k := range it.l.targets {
		it.batch.Targets = append(it.batch.Targets, s.targets[k].values(&it.l.targets[k], n))
	}
	if it.weights != nil {
		it.batch.Weights = it.weights[lo:hi:hi]
	}
	return &it.batch, nil
}

func (it *Iterator) fail(err error) error {
	it.err = err
	_ = it.Close() // the first error counts
	return err
}

// Close stops the workers, waits for them and frees the loader for its next
// epoch. It is safe to repeat, and needless after Next returned an error.
func (it *Iterator) Close() error {
	if it.closed {
		return nil
	}
	it.closed = true
	it.cancel(nil)
	it.workers.Wait()
	it.l.release()
	return nil
}

// bounds is this shard's part of a step.
func (it *Iterator) bounds(step int) (lo, hi int) {
	lo, hi = it.Bounds(step)
	return it.l.o.Shard.Bounds(lo, hi, it.l.o.MinBatch)
}

// Bounds is where in the epoch's order a batch lies, of all shards.
func (it *Iterator) Bounds(step int) (lo, hi int) {
	return it.l.bounds(step, len(it.l.indices))
}

// ended is why the epoch has ended before its last step, nil while it has not.
func (it *Iterator) ended() error {
	if fault := context.Cause(it.ctx); errors.Is(fault, guard.ErrPanic) {
		return fault
	}
	return it.ctx.Err()
}

// work reads what is queued until the epoch ends. Its error is a fault of the program.
func (it *Iterator) work(scratch *Scratch) error {
	for {
		select {
		case <-it.ctx.Done():
			return nil
		case p := <-it.queue:
			s := &it.l.slots[p.step%len(it.l.slots)]
			if at, err := it.fill(s, p, scratch); err != nil {
				s.fail(at, err)
			}
			if s.left.Add(-1) == 0 {
				if err := it.finish(s, p.step); err != nil {
					s.fail(p.lo, err)
				}
				s.ready <- struct{}{}
			}
		}
	}
}

// fail keeps the error of the first place of the plan that has one.
func (s *slot) fail(at int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || at < s.at {
		s.err, s.at = err, at
	}
}

// fill reads the samples of a part into s, each at its place; at is where it
// failed. A panic is an error too, so that a run ends as by any other.
func (it *Iterator) fill(s *slot, p part, scratch *Scratch) (at int, err error) {
	l := it.l
	first, _ := it.bounds(p.step)
	defer func() {
		if r := recover(); r != nil {
			err = l.src.wrap(l.indices[at], guard.Caught(r))
		}
	}()
	for at = p.lo; at < p.hi; at++ {
		if err := it.ctx.Err(); err != nil {
			return at, err
		}
		i := l.indices[at]
		err := it.readSample(s, at-first, i, scratch)
		s.bad[at-first] = err != nil
		if err == nil {
			continue
		}
		if l.o.Bad == nil || !errors.Is(err, ErrBadData) {
			return at, l.src.wrap(i, err)
		}
		l.o.Bad.add(l.src, i, err)
	}
	return 0, nil
}

// finish counts the samples of a step that was read. Where bad ones are left out,
// the others close up, and so do the step's indices and weights, which are its own.
func (it *Iterator) finish(s *slot, step int) (err error) {
	defer guard.Recover(&err)
	l := it.l
	lo, hi := it.bounds(step)
	s.n = 0
	for k := range hi - lo {
		if s.bad[k] {
			continue
		}
		if k > s.n {
			it.move(s, lo, s.n, k)
		}
		s.n++
	}
	if s.n < hi-lo && s.n < l.o.MinBatch {
		s.n = 0
	}
	if l.o.Mix.Enabled() {
		it.mix(s, step)
	}
	return nil
}

// move puts sample from of a batch, which begins at lo of the plan, in the place to.
func (it *Iterator) move(s *slot, lo, to, from int) {
	l := it.l
	copy(s.images[to*l.imageBytes:][:l.imageBytes], s.images[from*l.imageBytes:])
	s.labels[to] = s.labels[from]
	for k := range l.targets {
		if b := s.targets[k].bytes; b != nil { // those of floats are the same memory
			size := l.targets[k].Size()
			copy(b[to*size:][:size], b[from*size:])
		}
	}
	l.indices[lo+to] = l.indices[lo+from]
	if it.weights != nil {
		it.weights[lo+to] = it.weights[lo+from]
	}
}

// readSample reads image and targets of sample i to place n of s.
func (it *Iterator) readSample(s *slot, n int, i uint32, scratch *Scratch) error {
	l, d := it.l, Draw{it.l.o.Seed, it.epoch, i}
	if err := l.src.read(d, scratch, s.images[n*l.imageBytes:][:l.imageBytes:l.imageBytes]); err != nil {
		return err
	}
	s.labels[n] = l.src.records.Target(i).Class()
	for k := range l.targets {
		switch t := &l.targets[k]; {
		case t.Kind == ClassTarget:
		case l.fromClass(k):
			c := t.Count()
			oneHot(s.targets[k].floats[n*c:][:c], s.labels[n], l.o.Smoothing)
		default:
			size := t.Size()
			dst := s.targets[k].bytes[n*size:][:size:size]
			if err := l.src.readTarget(d, k, scratch, dst); err != nil {
				return err
			}
			if t.Kind == MaskTarget && l.o.MaskClasses > 0 {
				if err := l.checkMask(dst); err != nil {
					return l.src.ofTarget(k, scratch, err)
				}
			}
		}
	}
	return nil
}
