package prune

import (
	"math"
	"slices"
	"testing"
)

const (
	confN      = 700
	confEpochs = 16
	confBatch  = 32
)

func confOptions(scorer, policy string) Options {
	return Options{Samples: confN, Epochs: confEpochs, Scorer: scorer, Policy: policy, Ratio: 0.4, Delta: 0.8, Seed: 7,
		Window: 4, Groups: 5, Choosing: Choosing{BatchWindow: 3}}
}

// checkPlan holds whatever the method: indices ascending, unique, in range,
// none held out, weights parallel, finite and at least 1.
func checkPlan(tb testing.TB, o Options, plan Plan) {
	tb.Helper()
	last := -1
	for _, i := range plan.Indices {
		if int(i) <= last || int(i) >= o.Samples {
			tb.Fatalf("index %d after %d of %d", i, last, o.Samples)
		}
		last = int(i)
		if slices.Contains(o.Holdout, i) {
			tb.Fatalf("held-out sample %d is in the plan", i)
		}
	}
	if plan.Weights != nil && len(plan.Weights) != len(plan.Indices) {
		tb.Fatalf("%d weights for %d samples", len(plan.Weights), len(plan.Indices))
	}
	for _, w := range plan.Weights {
		if !(w >= 1) || math.IsInf(float64(w), 0) {
			tb.Fatalf("weight %v", w)
		}
	}
	if len(plan.Indices) == 0 && o.Samples > len(o.Holdout) {
		tb.Fatal("an epoch without a sample")
	}
}

func TestConformance(t *testing.T) {
	pairs(t, func(t *testing.T, scorer, policy string) {
		o := confOptions(scorer, policy)
		o.Holdout = []uint32{3, 3, 500}
		active := confN - 2
		plans := runAll(t, mustNew(t, o), confEpochs, confBatch)
		last := lastPruned(o.Delta, confEpochs)
		pruned := false
		for e, plan := range plans {
			checkPlan(t, o, plan)
			epoch := e + 1
			pruned = pruned || len(plan.Indices) < active
			switch {
			case epoch == 1 && policyOf(policy).scores:
				if len(plan.Indices) != active || plan.Weights != nil {
					t.Errorf("pruned before there is a score: %d samples", len(plan.Indices))
				}
			case epoch > last && policy == PolicySeTa:
				if want := keepCount(0.6, active); len(plan.Indices) != want {
					t.Errorf("epoch %d: partial annealing with %d samples, want %d", epoch, len(plan.Indices), want)
				}
			case epoch > last:
				if len(plan.Indices) != active || plan.Weights != nil {
					t.Errorf("epoch %d: annealing with %d samples", epoch, len(plan.Indices))
				}
			}
			checkWeights(t, o, policy, scorer, plan, epoch)
		}
		if pruned == (policy == PolicyFull) {
			t.Errorf("pruned: %v", pruned)
		}
	})
}

// What cannot prune takes all samples in every epoch, and what can does not.
func TestCanPrune(t *testing.T) {
	pairs(t, func(t *testing.T, scorer, policy string) {
		for epochs := 1; epochs <= 4; epochs++ {
			for _, delta := range []float64{0, 0.5, 0.875, 1} {
				o := confOptions(scorer, policy)
				o.Epochs, o.Delta = epochs, delta
				p, pruned := mustNew(t, o), false
				for _, plan := range runAll(t, p, epochs, 32) {
					pruned = pruned || len(plan.Indices) < o.Samples-len(o.Holdout)
				}
				if p.CanPrune() != pruned {
					t.Errorf("%d epochs, delta %v: pruned %v, can prune %v", epochs, delta, pruned, p.CanPrune())
				}
			}
		}
	})
}

// checkWeights compares with what each policy documents.
func checkWeights(t *testing.T, o Options, policy, scorer string, plan Plan, epoch int) {
	t.Helper()
	switch {
	case policy == PolicyInfoBatch && scorer != ScorerDAS:
		for k, w := range plan.Weights {
			if w != 1 && w != float32(1/0.6) {
				t.Fatalf("epoch %d: weight %v of sample %d", epoch, w, plan.Indices[k])
			}
		}
	case policy == PolicyRePB:
		for k, w := range plan.Weights {
			times := float64(epoch) / float64(w)
			if math.Abs(times-math.Round(times)) > 1e-4 {
				t.Fatalf("epoch %d: weight %v of sample %d", epoch, w, plan.Indices[k])
			}
		}
	default:
		if plan.Weights != nil {
			t.Fatalf("epoch %d: unexpected weights", epoch)
		}
	}
}

func TestSameSeedSamePlans(t *testing.T) {
	pairs(t, func(t *testing.T, scorer, policy string) {
		o := confOptions(scorer, policy)
		o.Threads = 1
		a := runAll(t, mustNew(t, o), confEpochs, confBatch)
		o.Threads = 5
		b := runAll(t, mustNew(t, o), confEpochs, confBatch)
		o.Seed++
		c := runAll(t, mustNew(t, o), confEpochs, confBatch)
		differ := false
		for e := range a {
			if !samePlan(a[e], b[e]) {
				t.Fatalf("epoch %d differs with another number of threads", e+1)
			}
			differ = differ || !samePlan(a[e], c[e])
		}
		// The full plan and UCB's ranking without ties draw nothing.
		if !differ && policy != PolicyFull && policy != PolicyUCB {
			t.Error("another seed gives the same plans")
		}
	})
}

// With data enough for many blocks of work, plans and scores are the same to
// the bit for any number of threads.
func TestThreadsChangeNothing(t *testing.T) {
	const n, epochs = 3*dasBlock + 2*smallSort + 77, 7
	for _, method := range []string{"das-infobatch", "das-seta", "seta", "bls-seta", "das-ucb"} {
		scorer, policy, _, err := Resolve(method, true)
		must(t, err)
		var plans []Plan
		var scores []float32
		for _, threads := range []int{1, 2, 7, maxThreads + 1, 0} {
			p := mustNew(t, Options{Samples: n, Epochs: epochs, Scorer: scorer, Policy: policy, Ratio: 0.3, Delta: 1, Seed: 5, Window: 3, Threads: threads})
			got := runAll(t, p, epochs, 500)
			if plans == nil {
				plans, scores = got, p.Scores(nil)
				continue
			}
			for e := range got {
				if !samePlan(got[e], plans[e]) {
					t.Fatalf("%s, %d threads: epoch %d differs", method, threads, e+1)
				}
			}
			for i, s := range p.Scores(nil) {
				if math.Float32bits(s) != math.Float32bits(scores[i]) {
					t.Fatalf("%s, %d threads: score of %d is %v, with one thread %v", method, threads, i, s, scores[i])
				}
			}
		}
	}
}

// Resumed in the middle of an epoch, at its edges, or before the first, the
// plans are those of the uninterrupted run.
func TestResumedEqualsUninterrupted(t *testing.T) {
	pairs(t, func(t *testing.T, scorer, policy string) {
		o := confOptions(scorer, policy)
		if scorer != ScorerDAS {
			resumed(t, o)
			return
		}
		o.Label = func(i uint32) int { return int(i % 7) }
		for _, o.Reference = range []string{ReferencePopulation, ReferenceOutside, ReferencePseudo} {
			t.Run(o.Reference, func(t *testing.T) { resumed(t, o) })
		}
	})
}

func resumed(t *testing.T, o Options) {
	want := runAll(t, mustNew(t, o), confEpochs, confBatch)
	p := mustNew(t, o)
	swap := func() {
		q := mustNew(t, o)
		must(t, q.Load(bytesReader(save(t, p))))
		if q.Stats() != p.Stats() {
			t.Fatalf("stats %+v, were %+v", q.Stats(), p.Stats())
		}
		p = q
	}
	swap()
	for e := 1; e <= confEpochs; e++ {
		plan := mustPlan(t, p, e)
		if !samePlan(plan, want[e-1]) {
			t.Fatalf("epoch %d differs", e)
		}
		for k, b := range steps(plan, e, confBatch) {
			if k == e%5 {
				swap()
				if !samePlan(mustPlan(t, p, e), want[e-1]) {
					t.Fatalf("epoch %d differs when asked again after loading", e)
				}
			}
			observe(t, p, e, b)
		}
		swap()
		endEpoch(t, p, e)
		swap()
	}
}

func TestEdges(t *testing.T) {
	pairs(t, func(t *testing.T, scorer, policy string) {
		for _, n := range []int{0, 1, 2, 3, 65} {
			for _, ratio := range []float64{0, 0.3, 0.999999, 1} {
				for _, delta := range []float64{0, 0.5, 1} {
					for _, epochs := range []int{1, 6} {
						o := Options{Samples: n, Epochs: epochs, Scorer: scorer, Policy: policy, Ratio: ratio, Delta: delta, Window: 3, Choosing: Choosing{BatchWindow: 2}}
						full := delta == 0 && policy != PolicySeTa
						for e, plan := range runAll(t, mustNew(t, o), epochs, 1) {
							checkPlan(t, o, plan)
							if full && len(plan.Indices) != n {
								t.Fatalf("n=%d r=%v delta=0, epoch %d: %d samples", n, ratio, e+1, len(plan.Indices))
							}
						}
					}
				}
			}
		}
	})
}

// Equal scores are not below their own mean: nothing is pruned by score.
func TestAllEqual(t *testing.T) {
	for _, scorer := range []string{ScorerLoss, ScorerBLS, ScorerSmoothed, ScorerDAS} {
		for _, value := range []float32{0, 0.1, 2.3025851, 1e-30, 1e30, -0.7} {
			const n = 10_007
			p := mustNew(t, Options{Samples: n, Epochs: 9, Scorer: scorer, Policy: PolicyInfoBatch, Ratio: 0.5, Delta: 1, Window: 3})
			all := make([]uint32, n)
			losses := make([]float32, n)
			for i := range all {
				all[i], losses[i] = uint32(i), value
			}
			for e := 1; e <= 9; e++ {
				if plan := mustPlan(t, p, e); len(plan.Indices) != n {
					t.Fatalf("%s, loss %v, epoch %d: %d samples", scorer, value, e, len(plan.Indices))
				}
				if scorer == ScorerBLS {
					must(t, p.ObserveBatch(all, value))
				} else {
					must(t, p.ObserveSamples(all, losses))
				}
				must(t, p.EndEpoch(e))
			}
		}
	}
}
