package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"winnow/eval"
	"winnow/loader"
	"winnow/prune"
	ortrun "winnow/runtime"
)

// split takes steps of several batches, over the processes of a job: each adds
// up the gradients of its part of every batch, the sums of all are exchanged, and
// every process moves its copy of the state by them.
type split struct {
	trainer *ortrun.SplitTrainer
	job     *Job
	shard   loader.Shard // this process's part of each batch
	accum   int          // batches of a step
	each    bool
	bad     *loader.BadSamples // of images that may be left out; nil where none may be
	name    string             // of the training samples

	order   []uint32  // the epoch's samples as they are taken, of all processes
	weights []float32 // nil where all are 1
	spare   []float32 // the memory of weights

	batch    ortrun.StepOutput
	losses   []float32 // of each sample of the step by its place, 0 where another process has it
	present  []float32 // 1 for each sample of the step that was trained on
	indices  []uint32  // those samples
	scalars  []float32 // of the model's further outputs, times samples
	places   []int     // of this process's samples of a batch in the step, and of all in the batch
	unpaired []int
	odd      *loader.Batch // a batch of this process whose loss was not finite
}

// Places in the tail of SplitTrainer.Block; further outputs follow, then the losses
// by place, then the flags.
const (
	tailSamples = iota
	tailLoss
	tailStop
	tailScalars
)

// tail is how many numbers are exchanged beside the sums.
func (s *split) tail(largest int) int {
	n := tailScalars + len(s.scalars)
	if s.job.alone() {
		return 0
	}
	if s.each {
		n += largest
	}
	if s.bad != nil {
		n += largest
	}
	return n
}

// begin takes the plan of an epoch, in the order in which it is visited.
func (s *split) begin(seed uint64, epoch int, plan prune.Plan, it *loader.Iterator) {
	s.order = append(s.order[:0], plan.Indices...)
	s.weights = nil
	if plan.Weights != nil {
		s.weights = append(s.spare[:0], plan.Weights...)
		s.spare = s.weights
	}
	loader.Order(seed, epoch, s.order, s.weights)
	if !s.shard.Pairs {
		return
	}
	for k := range it.Steps() {
		lo, hi := it.Bounds(k)
		loader.Pair(s.order[lo:hi])
		if s.weights != nil {
			loader.Pair(s.weights[lo:hi])
		}
	}
}

// rows are the places in a step of the samples lo to hi of a batch, which begins
// at first of the step and has n: where they would be if none were paired.
func (s *split) rows(first, n, lo, hi int) []int {
	if !s.shard.Pairs {
		return nil
	}
	if len(s.unpaired) != n {
		s.unpaired = loader.Places(n)
	}
	s.places = s.places[:0]
	for _, place := range s.unpaired[lo:hi] {
		s.places = append(s.places, first+place)
	}
	return s.places
}

// splitStep trains on the next batches of an epoch; io.EOF after the last ones.
func (l *loop) splitStep(it *loader.Iterator, epoch, step int, rate float64) error {
	s := &l.split
	if (step-1)*s.accum >= it.Steps() {
		_, err := it.Next()
		return err
	}
	lo, hi := s.bounds(it, step)
	if err := s.trainer.Begin(hi - lo); err != nil {
		return fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	s.losses, s.present, s.odd = grown(s.losses, hi-lo), grown(s.present, hi-lo), nil
	clear(s.scalars)
	l.input.of = nil
	if s.weights != nil {
		l.input.of = s.weights[lo:hi]
	}
	used, sum := 0, 0.0
	for range s.accum {
		n, loss, err := l.addBatch(it, lo, rate)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
		}
		used += n
		sum += loss * float64(n)
	}
	t := time.Now()
	defer func() { l.clock.steps += time.Since(t) }()
	used, sum, err := l.exchange(used, sum)
	if err != nil {
		return fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	if used == 0 {
		return nil
	}
	if err := s.trainer.Update(l.input.rate(rate), used); err != nil {
		return fmt.Errorf("train: epoch %d, step %d: %w", epoch, step, err)
	}
	mean := sum / float64(used)
	if loss, ok := s.trainer.Loss(); ok {
		mean = float64(loss)
	}
	s.report(&l.output, lo, hi, mean)
	return l.stepped(&loader.Batch{N: used, Indices: s.indices}, epoch, step, rate)
}

// bounds is where in the epoch's order a step lies.
func (s *split) bounds(it *loader.Iterator, step int) (lo, hi int) {
	first := (step - 1) * s.accum
	lo, _ = it.Bounds(first)
	_, hi = it.Bounds(min(first+s.accum, it.Steps()) - 1)
	return lo, hi
}

// addBatch adds the gradients of this process's part of the next batch; from is
// where the step begins in the epoch's order.
func (l *loop) addBatch(it *loader.Iterator, from int, rate float64) (n int, loss float64, err error) {
	s := &l.split
	t := time.Now()
	at := it.Done()
	b, err := it.Next()
	now := time.Now()
	l.clock.wait += now.Sub(t)
	if err != nil || b.N == 0 {
		return 0, 0, err
	}
	first, end := it.Bounds(at)
	lo, hi := s.shard.Bounds(first, end, int(max(l.o.Bundle.Manifest.MinBatch, 1)))
	l.input.random.From, l.input.random.N = lo-from, b.N
	l.input.random.Places = s.rows(first-from, end-first, lo-first, hi-first)
	l.input.fill(b, l.counts.step, rate)
	err = s.trainer.Add(&l.input.step, &s.batch)
	l.clock.steps += time.Since(now)
	if err != nil {
		return 0, 0, err
	}
	losses := s.batch.PerSample
	if losses == nil && s.each {
		losses = l.pruning.losses[:b.N]
		if err := eval.CrossEntropy(losses, s.batch.Logits, b.Labels, l.classes); err != nil {
			return 0, 0, err
		}
	}
	place := lo
	for j, i := range b.Indices {
		for s.order[place] != i { // left out
			if place++; place == hi {
				return 0, 0, fmt.Errorf("sample %d is not one of the batch", i)
			}
		}
		s.present[place-from] = 1
		if s.each {
			s.losses[place-from] = losses[j]
		}
		place++
	}
	for i, x := range s.batch.Scalars {
		s.scalars[i] += x * float32(b.N)
	}
	if !finite(float64(s.batch.Loss)) && s.odd == nil {
		s.odd = &loader.Batch{N: b.N, Indices: slices.Clone(b.Indices), Images: slices.Clone(b.Images)}
	}
	return b.N, float64(s.batch.Loss), nil
}

// exchange adds up over the processes what a step has, and hears whether one of
// them was told to stop.
func (l *loop) exchange(used int, sum float64) (int, float64, error) {
	s := &l.split
	if s.job.alone() {
		return used, sum, nil
	}
	tail, err := s.trainer.Block(used)
	if err != nil {
		return 0, 0, err
	}
	clear(tail)
	tail[tailSamples], tail[tailLoss] = float32(used), float32(sum)
	if l.asked.Err() != nil {
		tail[tailStop] = 1
	}
	at := tailScalars + copy(tail[tailScalars:], s.scalars)
	if s.each {
		at += copy(tail[at:], s.losses)
	}
	if s.bad != nil {
		at += copy(tail[at:], s.present)
	}
	if err := s.trainer.Sum(at, s.job.Comm); err != nil { // what is behind is of steps larger than this
		return 0, 0, err
	}
	if tail[tailStop] > 0 {
		l.stop(cmp.Or(context.Cause(l.asked), errElsewhere))
	}
	at = tailScalars + copy(s.scalars, tail[tailScalars:])
	if s.each {
		at += copy(s.losses, tail[at:])
	}
	if s.bad != nil {
		copy(s.present, tail[at:])
	} else {
		for i := range s.present {
			s.present[i] = 1
		}
	}
	used = int(tail[tailSamples])
	return used, float64(tail[tailLoss]), s.trainer.PutBlock(used)
}

// report puts a step's losses together as those of one batch.
func (s *split) report(out *ortrun.StepOutput, lo, hi int, mean float64) {
	s.indices = s.indices[:0]
	*out = ortrun.StepOutput{Loss: float32(mean)}
	n := 0
	for i, p := range s.present[:hi-lo] {
		if p == 0 {
			s.missing(s.order[lo+i])
			continue
		}
		s.indices = append(s.indices, s.order[lo+i])
		s.losses[n] = s.losses[i]
		n++
	}
	for i := range s.scalars {
		s.scalars[i] /= float32(n)
	}
	out.Scalars = s.scalars
	if !s.each {
		return
	}
	out.PerSample = s.losses[:n]
	sum := 0.0
	for _, loss := range out.PerSample {
		sum += float64(loss)
	}
	out.Loss = float32(sum / float64(n)) // whichever process had which of them
}

// missing notes a sample that was left out, by whichever process.
func (s *split) missing(i uint32) {
	if s.bad != nil {
		s.bad.Put([]loader.BadSample{{Index: i, Split: s.name, Reason: "another process of the job could not read it"}})
	}
}

// grown is a slice of n zeros, in the memory of x where that is enough.
func grown(x []float32, n int) []float32 {
	x = slices.Grow(x[:0], n)[:n]
	clear(x)
	return x
}

// recorded is a number of batches in a step as a run's record has it.
func recorded(accum int) int {
	if accum <= 1 {
		return 0
	}
	return accum
}
