package prune

import (
	"fmt"
	"slices"
	"sync"

	"winnow/internal/spill"
)

// Plan is what one epoch trains on. The slices belong to the Pruner, are valid
// until its next Plan or Load, and must not be changed: copy them to shuffle.
type Plan struct {
	Indices []uint32  // ascending, without repeats
	Weights []float32 // parallel to Indices; nil means 1 for all
}

// Stats is what a Pruner has counted.
type Stats struct {
	Epoch    int    // of the current plan; 0 before the first
	Samples  int    // samples that may be trained on: all but the holdout
	Kept     int    // samples in the current plan
	Pruned   int    // Samples - Kept
	Observed int    // reports of samples in the current epoch
	Planned  uint64 // samples in all plans so far, the current one included
	Saved    uint64 // samples left out of all plans so far, the current one included
	Scored   int    // samples with a score when the current plan was made; 0 without a scorer
	Ranking  string // the score behind the current plan: the scorer's name, or "loss" while DAS has no trajectories yet
}

// Pruner holds the scores of a data set and makes each epoch's plan. Its
// observing methods and Plan are for one goroutine; Stats, Scores and Save may
// be called from others meanwhile.
type Pruner struct {
	o Options // defaults resolved

	mu       sync.Mutex
	t        *table
	scorer   any    // nil, or a batchScorer or sampleScorer
	policy   policy // annealed
	inner    policy // the policy itself, for its state
	buf      buffer
	ended    bool // the current epoch was ended
	planned  bool // buf holds the plan of stats.Epoch
	stats    Stats
	taken    []uint16 // times each sample was in a plan
	counted  bool     // taken holds all plans
	past     history
	hasBatch batchScorer
	hasEach  sampleScorer
	watch    observer
}

// New makes a Pruner with nothing observed.
func New(o Options) (*Pruner, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.Resolved()
	p := &Pruner{o: o}
	scorer, kind := scorerOf(o.Scorer), policyOf(o.Policy)
	p.t = newTable(o.Samples, scorer.make != nil, kind.deviation, o.Holdout, o.Alpha)
	p.o.Holdout = slices.Clone(o.Holdout)
	p.buf.t = p.t
	if scorer.make != nil {
		p.scorer = scorer.make(p.t, o)
	}
	p.hasBatch, _ = p.scorer.(batchScorer)
	p.hasEach, _ = p.scorer.(sampleScorer)
	p.inner = kind.make(p.t, o)
	p.watch, _ = p.inner.(observer)
	var rest policy
	if tail, ok := p.inner.(tailed); ok {
		rest = tail.rest()
	}
	p.policy = annealed{p.inner, lastPruned(o.Delta, o.Epochs), rest}
	p.stats.Samples = p.t.active
	p.taken, p.counted, p.past.whole = spill.Make[uint16](o.Samples), true, true
	return p, nil
}

// Plan gives the plan of an epoch of 1..Epochs. Epochs go upwards, each ended
// before the next is planned. Asked again for the current epoch, also after
// Load, it gives the same plan.
func (p *Pruner) Plan(epoch int) (Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch < 1 || epoch > p.o.Epochs {
		return Plan{}, fmt.Errorf("prune: plan epoch %d: not in 1..%d: %w", epoch, p.o.Epochs, ErrOrder)
	}
	if p.planned && epoch == p.stats.Epoch {
		return p.current(), nil
	}
	if p.planned && (epoch < p.stats.Epoch || !p.ended) {
		return Plan{}, fmt.Errorf("prune: plan epoch %d: epoch %d is the current one: %w", epoch, p.stats.Epoch, ErrOrder)
	}
	p.stats.Scored = 0
	p.stats.Ranking = p.o.Scorer
	if p.scorer != nil {
		p.stats.Scored = p.t.countScored()
		if d, ok := p.scorer.(*das); ok && !d.ready {
			p.stats.Ranking = ScorerLoss
		}
	}
	p.policy.plan(epoch, &p.buf)
	if p.o.Rescale == RescaleNone {
		p.buf.weights = nil
	}
	if e, ok := p.scorer.(epochScorer); ok {
		e.begin(epoch)
	}
	for _, i := range p.buf.indices {
		p.taken[i]++
	}
	p.past.planned(&p.buf, p.t.active)
	p.planned, p.ended = true, false
	s := &p.stats
	s.Epoch = epoch
	s.Kept = len(p.buf.indices)
	s.Pruned = s.Samples - s.Kept
	s.Observed = 0
	s.Planned += uint64(s.Kept)
	s.Saved += uint64(s.Pruned)
	return p.current(), nil
}

func (p *Pruner) current() Plan { return Plan{p.buf.indices, p.buf.weights} }

// ObserveBatch reports the mean, unweighted loss of a batch of samples. It
// allocates nothing and costs O(len(indices)). A loss that is not finite is a
// *LossError and is not recorded.
func (p *Pruner) ObserveBatch(indices []uint32, loss float32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	const report = "batch loss"
	if err := p.observable(p.hasBatch != nil, report); err != nil {
		return err
	}
	finite := loss-loss == 0
	if !finite || p.hasBatch == nil || !p.hasBatch.observeBatch(indices, loss) {
		if err := p.inRange(indices, report); err != nil {
			return err
		}
	}
	if !finite {
		return &LossError{report, append([]uint32(nil), indices...)}
	}
	if p.watch != nil {
		p.watch.observed(indices)
	}
	p.stats.Observed += len(indices)
	return nil
}

// ObserveSamples reports the unweighted loss of each sample of a batch,
// losses[j] being of sample indices[j]. It costs O(len(indices)). A loss that
// is not finite makes a *LossError, and nothing of the batch is recorded.
func (p *Pruner) ObserveSamples(indices []uint32, losses []float32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	const report = "sample losses"
	if len(indices) != len(losses) {
		return fmt.Errorf("prune: observe %q: %d samples and %d losses: %w", report, len(indices), len(losses), ErrLength)
	}
	if err := p.observable(p.hasEach != nil, report); err != nil {
		return err
	}
	if err := p.inRange(indices, report); err != nil {
		return err
	}
	finite := true
	for _, l := range losses {
		if l-l != 0 {
			finite = false
		}
	}
	if !finite {
		e := &LossError{Report: report}
		for j, l := range losses {
			if l-l != 0 {
				e.Indices = append(e.Indices, indices[j])
			}
		}
		return e
	}
	if p.hasEach != nil {
		p.hasEach.observeSamples(indices, losses)
	}
	if p.watch != nil {
		p.watch.observed(indices)
	}
	p.stats.Observed += len(indices)
	return nil
}

// observable says whether a report of this kind can be taken now.
func (p *Pruner) observable(taken bool, report string) error {
	if !p.planned || p.ended {
		return fmt.Errorf("prune: observe %q: no epoch is open, call Plan first: %w", report, ErrOrder)
	}
	if !taken && p.scorer != nil {
		return fmt.Errorf("prune: observe %q: scorer %q: %w", report, p.o.Scorer, ErrReport)
	}
	return nil
}

// inRange checks the samples of a report before anything of it is recorded.
func (p *Pruner) inRange(indices []uint32, report string) error {
	if within(indices, p.t.n) {
		return nil
	}
	for _, i := range indices {
		if uint64(i) >= uint64(p.t.n) {
			return fmt.Errorf("prune: observe %q: sample %d of %d: %w", report, i, p.t.n, ErrIndex)
		}
	}
	return nil
}

// ObserveReference reports the mean loss of DAS's outside reference set,
// evaluated at the end of the current epoch, before EndEpoch.
func (p *Pruner) ObserveReference(epoch int, meanLoss float64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.scorer.(*das)
	if !ok || d.kind != ReferenceOutside {
		return fmt.Errorf("prune: observe %q: scorer %q takes no outside reference: %w", "reference loss", p.o.Scorer, ErrReport)
	}
	if !p.planned || p.ended || epoch != p.stats.Epoch {
		return fmt.Errorf("prune: observe %q: epoch %d is not the current one: %w", "reference loss", epoch, ErrOrder)
	}
	if meanLoss-meanLoss != 0 {
		return &LossError{Report: "reference loss"}
	}
	d.setReference(epoch, meanLoss)
	return nil
}

// EndEpoch closes the current epoch. With an outside reference whose loss was
// not reported it is an error that wraps ErrReference.
func (p *Pruner) EndEpoch(epoch int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.planned || p.ended || epoch != p.stats.Epoch {
		return fmt.Errorf("prune: end epoch %d: not the current one: %w", epoch, ErrOrder)
	}
	if e, ok := p.scorer.(epochScorer); ok {
		if err := e.end(epoch); err != nil {
			return err
		}
	}
	if p.watch != nil {
		p.watch.endObserved()
	}
	p.ended = true
	return nil
}

// Wants says which reports the scorer takes: ObserveBatch, ObserveSamples,
// ObserveReference.
func (p *Pruner) Wants() (batch, samples, reference bool) {
	d, isDAS := p.scorer.(*das)
	return p.hasBatch != nil, p.hasEach != nil, isDAS && d.kind == ReferenceOutside
}

// CanPrune is whether there is an epoch that may leave samples out: one before
// Delta's end, and after the first where the policy needs scores, or one after
// Delta's end where the policy plans these too.
func (p *Pruner) CanPrune() bool {
	_, tail := p.inner.(tailed)
	first, last := 1, lastPruned(p.o.Delta, p.o.Epochs)
	if policyOf(p.o.Policy).scores {
		first = 2
	}
	return tail && last < p.o.Epochs || p.o.Policy != PolicyFull && last >= first
}

// Rescale says what the plan's weights are for: sample, batch or none, with
// auto resolved.
func (p *Pruner) Rescale() string { return p.o.Rescale }

// Stats gives what was counted so far.
func (p *Pruner) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Scores copies the current scores into dst, grown to n, NaN where a sample
// has none, and returns it. Without a scorer it returns dst[:0].
func (p *Pruner) Scores(dst []float32) []float32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(dst[:0], p.t.score...)
}

// BatchWeight is the mean weight of a batch, which scales its loss when the
// training graph takes no weight per sample. No weights mean 1.
func BatchWeight(weights []float32) float32 {
	if len(weights) == 0 {
		return 1
	}
	var sum float64
	for _, w := range weights {
		sum += float64(w)
	}
	return float32(sum / float64(len(weights)))
}
