package prune

// batchScorer takes the mean loss of each batch.
type batchScorer interface {
	observeBatch(indices []uint32, loss float32)
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

func (s *blsScorer) observeBatch(indices []uint32, loss float32) {
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
	score, b := t.score, s.b
	for _, i := range indices {
		// The form s + b(L-s) leaves a constant loss exactly constant.
		old := score[i]
		if old != old {
			if !isHeld(old) {
				score[i] = first
			}
			continue
		}
		score[i] = old + float32(b*(loss-old))
	}
}

var (
	_ sampleScorer = (*lossScorer)(nil)
	_ sampleScorer = (*smoothedScorer)(nil)
	_ batchScorer  = (*blsScorer)(nil)
)
