package prune

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

func (s *lossScorer) observeSamples(indices []uint32, losses []float32) {
	t := s.t
	for j, i := range indices {
		if t.vari != nil {
			t.spread(i, losses[j])
		}
		if !isHeld(t.score[i]) {
			t.score[i] = losses[j]
		}
	}
}

// smoothedScorer: s <- alpha s + (1-alpha) loss, from the first loss on
// (Raju et al. 2021, arXiv 2111.12621, section 3).
type smoothedScorer struct {
	t *table
	b float32 // 1-alpha
}

func (s *smoothedScorer) observeSamples(indices []uint32, losses []float32) {
	t := s.t
	for j, i := range indices {
		if t.vari != nil {
			t.spread(i, losses[j])
		}
		old, x := t.score[i], losses[j]
		switch {
		case old == old:
			t.score[i] = old + float32(s.b*(x-old))
		case !isHeld(old):
			t.score[i] = x
		}
	}
}

// blsScorer: s <- alpha s + (1-alpha) L(B) for every sample of batch B
// (Batch Loss Score, arXiv 2604.04681).
type blsScorer struct {
	t    *table
	b    float32 // 1-alpha
	zero bool    // start from 0
}

// observeBatch goes over the batch twice. The first pass only reads, so that
// many places of a large table are on their way from memory at once, and checks
// the samples meanwhile: the sum of the differences is a number only if every
// sample has a score and no update can overflow. The second pass then finds the
// scores in the cache and has nothing left to test.
func (s *blsScorer) observeBatch(indices []uint32, loss float32) bool {
	score, b := s.t.score, s.b
	var even, odd float32 // two sums, since one addition waits for the last
	rest := indices
	for len(rest) >= 2 {
		i, j := rest[0], rest[1]
		rest = rest[2:]
		if uint(i) >= uint(len(score)) || uint(j) >= uint(len(score)) {
			return false
		}
		even += score[i] - loss
		odd += score[j] - loss
	}
	for _, i := range rest {
		if uint(i) >= uint(len(score)) {
			return false
		}
		even += score[i] - loss
	}
	if sum := even + odd; sum-sum != 0 || s.t.vari != nil {
		s.update(indices, loss)
		return true
	}
	for _, i := range indices {
		// The form s + b(L-s) leaves a constant loss exactly constant.
		score[i] += float32(b * (loss - score[i]))
	}
	return true
}

// update is for batches with samples that have no score, or with variances.
func (s *blsScorer) update(indices []uint32, loss float32) {
	t := s.t
	if t.vari != nil {
		for _, i := range indices {
			t.spread(i, loss)
		}
	}
	first := loss
	if s.zero {
		first = s.b * loss
	}
	for _, i := range indices {
		switch old := t.score[i]; {
		case old == old:
			t.score[i] = old + float32(s.b*(loss-old))
		case !isHeld(old):
			t.score[i] = first
		}
	}
}

var (
	_ sampleScorer = (*lossScorer)(nil)
	_ sampleScorer = (*smoothedScorer)(nil)
	_ batchScorer  = (*blsScorer)(nil)
)
