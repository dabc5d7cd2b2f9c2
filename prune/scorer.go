package prune

// Names of the scorers that keep one number a sample.
const (
	ScorerNone     = "none"     // nothing is recorded
	ScorerLoss     = "loss"     // the last observed per-sample loss
	ScorerBLS      = "bls"      // running average of batch losses
	ScorerSmoothed = "smoothed" // running average of per-sample losses
)

// batchScorer takes the mean loss of each batch. If a sample is out of range
// it records nothing and gives false.
type batchScorer interface {
	observeBatch(indices []uint32, loss float32) bool
}

// sampleScorer takes the loss of each sample.
type sampleScorer interface {
	observeSamples(indices []uint32, losses []float32)
}

// epochScorer works at the edges of an epoch.
type epochScorer interface {
	begin(epoch int)
	end(epoch int) error
}

// stater has state beyond the table.
type stater interface {
	save(e *encoder)
	load(d *decoder)
}

// lossScorer: the score is the last observed loss (InfoBatch, arXiv
// 2303.04947, equation 3).
type lossScorer struct{ t *table }

func newLoss(t *table, _ Options) any { return &lossScorer{t} }

func (s *lossScorer) observeSamples(indices []uint32, losses []float32) {
	t := s.t
	for j, i := range indices {
		if t.variance != nil {
			t.spread(i, losses[j])
		}
		if !isHeld(t.score[i]) {
			t.score[i] = losses[j]
		}
	}
}

// replaceNonFinite is the new score where the running average s + b(x-s), a form
// that leaves a constant x exactly constant, is no finite number: first for a
// sample without a score, no score for one held out, and the average in float64
// where the difference of two finite numbers overflows.
func replaceNonFinite(s, x, b, first float32) float32 {
	switch {
	case isHeld(s):
		return heldOut
	case s != s:
		return first
	}
	return float32(float64(s) + float64(float64(b)*(float64(x)-float64(s))))
}

// smoothedScorer: s <- alpha s + (1-alpha) loss, from the first loss on
// (Raju et al. 2021, arXiv 2111.12621, section 3).
type smoothedScorer struct {
	t *table
	b float32 // 1-alpha
}

func newSmoothed(t *table, o Options) any { return &smoothedScorer{t, float32(1 - o.Alpha)} }

func (s *smoothedScorer) observeSamples(indices []uint32, losses []float32) {
	t, score, b := s.t, s.t.score, s.b
	losses = losses[:len(indices)]
	for j, i := range indices {
		if t.variance != nil {
			t.spread(i, losses[j])
		}
		old, x := score[i], losses[j]
		y := old + float32(b*(x-old))
		if y-y != 0 {
			y = replaceNonFinite(old, x, b, x)
		}
		score[i] = y
	}
}

// blsScorer: s <- alpha s + (1-alpha) L(B) for every sample of batch B
// (Batch Loss Score, arXiv 2604.04681).
type blsScorer struct {
	t    *table
	b    float32 // 1-alpha
	zero bool    // start from 0
}

func newBLS(t *table, o Options) any {
	return &blsScorer{t, float32(1 - o.Alpha), o.Start == StartZero}
}

// observeBatch is bound by memory. Once every sample has a bounded score, no
// score has to be tested first, and one pass over the scores is enough.
func (s *blsScorer) observeBatch(indices []uint32, loss float32) bool {
	t, score, b := s.t, s.t.score, s.b
	if !within(indices, len(score)) {
		return false
	}
	t.bounded = t.bounded && loss >= -boundedLimit && loss <= boundedLimit
	if !t.bounded || t.variance != nil {
		s.update(indices, loss)
		return true
	}
	for _, i := range indices {
		score[i] += float32(b * (loss - score[i]))
	}
	return true
}

// update is for batches with samples that have no score, or with variances.
func (s *blsScorer) update(indices []uint32, loss float32) {
	t := s.t
	if t.variance != nil {
		for _, i := range indices {
			t.spread(i, loss)
		}
	}
	first := loss
	if s.zero {
		first = s.b * loss
	}
	for _, i := range indices {
		old := t.score[i]
		y := old + float32(s.b*(loss-old))
		if y-y != 0 {
			y = replaceNonFinite(old, loss, s.b, first)
		}
		t.score[i] = y
	}
}

var (
	_ sampleScorer = (*lossScorer)(nil)
	_ sampleScorer = (*smoothedScorer)(nil)
	_ batchScorer  = (*blsScorer)(nil)
)
