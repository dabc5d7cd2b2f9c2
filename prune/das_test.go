package prune

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// Scores against gonum's correlation of the points that were observed, ring
// turned several times, with skipped samples and every reference kind.
func TestDASAgainstCorrelation(t *testing.T) {
	const n, epochs, w = 60, 14, 5
	for _, kind := range []string{ReferencePopulation, ReferenceOutside, ReferencePseudo} {
		o := Options{Samples: n, Epochs: epochs, Scorer: ScorerDAS, Policy: PolicyFull, Window: w, Reference: kind,
			PseudoShare: 0.2, Label: func(i uint32) int { return int(i % 3) }}
		p := mustNew(t, o)
		loss := make([]map[int]float64, n)
		for i := range loss {
			loss[i] = map[int]float64{}
		}
		ref := map[int]float64{}
		for e := 1; e <= epochs; e++ {
			mustPlan(t, p, e)
			sum, count := 0.0, 0
			for i := range uint32(n) {
				if i%7 == 3 && (e+int(i))%4 > 0 {
					continue // skipped
				}
				l := simLoss(i, e)
				if i == 5 {
					l = 2.3025851 // no variance
				}
				if i == 8 {
					l = 1e6 + float32(math.Round(float64(l)*16)/16) // sums of squares would drown it
				}
				must(t, p.ObserveSamples([]uint32{i}, []float32{l}))
				loss[i][e] = float64(l)
				sum += float64(l)
				count++
			}
			switch kind {
			case ReferencePopulation:
				ref[e] = sum / float64(count)
			case ReferenceOutside:
				ref[e] = 3 / float64(e)
				must(t, p.ObserveReference(e, ref[e]))
			}
			must(t, p.EndEpoch(e))
			if e < w {
				continue
			}
			if kind == ReferencePseudo {
				for k := max(1, e-w+1); k <= e; k++ {
					sum, count := 0.0, 0
					for i := range loss {
						if l, ok := loss[i][k]; ok && p.scorer.(*das).pseudo.get(uint32(i)) {
							sum += l
							count++
						}
					}
					ref[k] = sum / float64(count)
				}
			}
			for i, s := range p.Scores(nil) {
				var x, y []float64
				for k := e - w + 1; k <= e; k++ {
					if l, ok := loss[i][k]; ok {
						x, y = append(x, l), append(y, ref[k])
					}
				}
				if len(x) < MinPoints || i == 5 {
					if s == s {
						t.Fatalf("%s, epoch %d: sample %d has score %v of %d points", kind, e, i, s, len(x))
					}
					continue
				}
				if want := stat.Correlation(x, y, nil); math.Abs(float64(s)-want) > 1e-6 {
					t.Fatalf("%s, epoch %d: sample %d has %v, want %v", kind, e, i, s, want)
				}
			}
		}
	}
}

// A falling loss follows a falling reference with 1, a rising one with -1.
func TestDASByHand(t *testing.T) {
	p := mustNew(t, Options{Samples: 3, Epochs: 5, Scorer: ScorerDAS, Policy: PolicyInfoBatch, Ratio: 1, Delta: 1, Window: 3, Reference: ReferenceOutside})
	for e := 1; e <= 3; e++ {
		mustPlan(t, p, e)
		if got := p.Stats().Ranking; got != ScorerLoss {
			t.Errorf("epoch %d ranks by %q", e, got)
		}
		f := float32(e)
		must(t, p.ObserveSamples([]uint32{0, 1, 2}, []float32{3 - f/2, 1 + f, 1}))
		must(t, p.ObserveReference(e, 2-float64(e)/10))
		must(t, p.EndEpoch(e))
	}
	if s := p.Scores(nil); s[0] != 1 || s[1] != -1 || s[2] == s[2] {
		t.Errorf("scores %v", s)
	}
	// Mean 0: sample 1 is below and goes with r = 1 (0.1 of one is none), 2 has no score and stays.
	plan := mustPlan(t, p, 4)
	if len(plan.Indices) != 2 || plan.Indices[0] != 0 || plan.Indices[1] != 2 || p.Stats().Ranking != ScorerDAS {
		t.Errorf("plan %v by %s", plan.Indices, p.Stats().Ranking)
	}
}

func TestDASNeedsItsReference(t *testing.T) {
	p := mustNew(t, Options{Samples: 3, Epochs: 5, Scorer: ScorerDAS, Reference: ReferenceOutside})
	if _, _, ref := p.Wants(); !ref {
		t.Error("wants no reference")
	}
	mustPlan(t, p, 1)
	if err := p.EndEpoch(1); !errors.Is(err, ErrReference) {
		t.Errorf("%v", err)
	}
	if err := p.ObserveReference(2, 1); !errors.Is(err, ErrOrder) {
		t.Errorf("%v", err)
	}
	if err := p.ObserveReference(1, math.Inf(1)); !errors.Is(err, ErrBadLoss) {
		t.Errorf("%v", err)
	}
	must(t, p.ObserveReference(1, 1))
	must(t, p.EndEpoch(1))
}

// The pseudo reference takes the lowest mean losses of each class, one at least.
func TestDASPseudoReference(t *testing.T) {
	const n = 25
	p := mustNew(t, Options{Samples: n, Epochs: 4, Scorer: ScorerDAS, Window: 3, Reference: ReferencePseudo, PseudoShare: 0.2,
		Label: func(i uint32) int {
			if i >= 20 {
				return 1 << 40
			}
			return int(i%2) - 1
		}})
	all, losses := make([]uint32, n), make([]float32, n)
	for e := 1; e <= 3; e++ {
		mustPlan(t, p, e)
		for i := range all {
			all[i], losses[i] = uint32(i), float32(100-i)+float32(e%2)
		}
		must(t, p.ObserveSamples(all, losses))
		must(t, p.EndEpoch(e))
	}
	d := p.scorer.(*das)
	want := map[uint32]bool{19: true, 17: true, 18: true, 16: true, 24: true}
	for i := range uint32(n) {
		if d.pseudo.get(i) != want[i] {
			t.Errorf("sample %d in the reference: %v", i, !want[i])
		}
	}
}
