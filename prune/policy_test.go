package prune

import (
	"math"
	"slices"
	"testing"
)

// scoredPruner has the given scores after epoch 1, NaN for none.
func scoredPruner(tb testing.TB, o Options, scores []float32) *Pruner {
	tb.Helper()
	o.Samples = len(scores)
	o.Scorer = ScorerLoss
	p := mustNew(tb, o)
	mustPlan(tb, p, 1)
	for i, s := range scores {
		if s == s {
			must(tb, p.ObserveSamples([]uint32{uint32(i)}, []float32{s}))
		}
	}
	must(tb, p.EndEpoch(1))
	return p
}

var nan = float32(math.NaN())

func TestInfoBatchByHand(t *testing.T) {
	// Mean of the scored: 15/5 = 3. Below: samples 0, 1, 3, 4 would be, were
	// their scores under 3; 2 has no score.
	p := scoredPruner(t, Options{Epochs: 4, Policy: PolicyInfoBatch, Ratio: 0.5, Delta: 1}, []float32{1, 2, nan, 1, 1, 10})
	plan := mustPlan(t, p, 2)
	if len(plan.Indices) != 4 || !slices.Contains(plan.Indices, 2) || !slices.Contains(plan.Indices, 5) {
		t.Fatalf("plan %v: want 2 and 5 and two of 0, 1, 3, 4", plan.Indices)
	}
	for k, i := range plan.Indices {
		want := float32(2)
		if i == 2 || i == 5 {
			want = 1
		}
		if plan.Weights[k] != want {
			t.Errorf("weight of %d is %v, want %v", i, plan.Weights[k], want)
		}
	}
	if s := p.Stats(); s.Kept != 4 || s.Pruned != 2 || s.Saved != 2 || s.Planned != 10 || s.Scored != 5 || s.Samples != 6 {
		t.Errorf("stats %+v", s)
	}
}

// floor((1-r)|P|) with r = 2/3 of 4 is 1; the keep ratio never falls below 0.1,
// and the weight is of the ratio, not of the count.
func TestInfoBatchKeepRatio(t *testing.T) {
	scores := make([]float32, 101)
	scores[100] = 1000
	for _, c := range []struct {
		ratio  float64
		kept   int
		weight float32
	}{{2.0 / 3, 33, 3}, {0.9, 10, 10}, {0.99, 10, 10}, {1, 10, 10}, {0.25, 75, float32(1 / 0.75)}} {
		p := scoredPruner(t, Options{Epochs: 2, Policy: PolicyInfoBatch, Ratio: c.ratio, Delta: 1}, scores)
		plan := mustPlan(t, p, 2)
		if len(plan.Indices) != c.kept+1 || plan.Weights[0] != c.weight {
			t.Errorf("r=%v: %d samples with weight %v, want %d with %v", c.ratio, len(plan.Indices), plan.Weights[0], c.kept+1, c.weight)
		}
	}
	p := scoredPruner(t, Options{Epochs: 2, Policy: PolicyInfoBatch, Ratio: 0, Delta: 1}, scores)
	if plan := mustPlan(t, p, 2); len(plan.Indices) != 101 || plan.Weights != nil {
		t.Error("r=0 prunes")
	}
}

// The mean is of float32 scores summed in float64: a score one step below the
// mean is below it, one equal to it is not.
func TestMeanIsExact(t *testing.T) {
	up := math.Nextafter32(0.1, 1)
	scores := make([]float32, 1000)
	for i := range scores {
		scores[i] = up
	}
	scores[17] = 0.1
	p := scoredPruner(t, Options{Epochs: 2, Policy: PolicyInfoBatch, Ratio: 1, Delta: 1}, scores)
	plan := mustPlan(t, p, 2)
	if len(plan.Indices) != 999 || slices.Contains(plan.Indices, 17) {
		t.Errorf("%d samples, want all but 17", len(plan.Indices))
	}
}

func TestKeepCount(t *testing.T) {
	for _, c := range []struct {
		ratio float64
		m     int
		want  int
	}{{1 - 0.9, 10, 1}, {1 - 0.7, 10, 3}, {0.29, 100, 29}, {0.5, 5, 2}, {1, 7, 7}, {0, 7, 0}, {0.999999, 3, 2}, {1 - 0.1, 1_281_167, 1_153_050}, {0.875, 10, 8}, {0.7, 10, 7}, {0.3, 0, 0}} {
		if got := keepCount(c.ratio, c.m); got != c.want {
			t.Errorf("keepCount(%v, %d) = %d, want %d", c.ratio, c.m, got, c.want)
		}
	}
}

// Annealing is by t > delta*E, also where delta*E is not whole, or misses a
// whole number by rounding (0.29*100 is 28.999999999999996).
func TestAnnealing(t *testing.T) {
	for _, c := range []struct {
		delta  float64
		epochs int
		last   int
	}{{0.875, 200, 175}, {0.875, 10, 8}, {0.29, 100, 29}, {0.5, 3, 1}, {1, 5, 5}, {0, 5, 0}} {
		p := mustNew(t, Options{Samples: 100, Epochs: c.epochs, Policy: PolicyRandom, Ratio: 0.5, Delta: c.delta})
		for e := 1; e <= c.epochs; e++ {
			want := 100
			if e <= c.last {
				want = 50
			}
			if got := len(mustPlan(t, p, e).Indices); got != want {
				t.Errorf("delta=%v, epoch %d of %d: %d samples, want %d", c.delta, e, c.epochs, got, want)
			}
			must(t, p.EndEpoch(e))
		}
	}
}

func TestRandomAndStatic(t *testing.T) {
	o := Options{Samples: 1000, Epochs: 5, Ratio: 0.3, Delta: 1, Seed: 3}
	o.Policy = PolicyRandom
	fresh := runAll(t, mustNew(t, o), 5, 50)
	o.Policy = PolicyStatic
	static := runAll(t, mustNew(t, o), 5, 50)
	for e := 1; e < 5; e++ {
		if samePlan(fresh[0], fresh[e]) {
			t.Errorf("random repeats its draw in epoch %d", e+1)
		}
		if !samePlan(static[0], static[e]) {
			t.Errorf("static changes in epoch %d", e+1)
		}
	}
	if len(fresh[0].Indices) != 700 || len(static[0].Indices) != 700 {
		t.Error("the share is not 0.7")
	}
}

// Six clear groups; a window of round-half-even(6 * 0.4) = 2 slides over them.
func TestSeTaByHand(t *testing.T) {
	scores := []float32{10, 20, 30, 40, 50, 60, 10.1, 20.1, 30.1, 40.1, 50.1, 60.1, nan}
	p := scoredPruner(t, Options{Epochs: 9, Policy: PolicySeTa, Ratio: 0, Delta: 7.0 / 9, Groups: 6, Scale: 0.4}, scores)
	group := func(from, to int) []uint32 {
		out := []uint32{12} // without a score: always
		for g := from; g <= to; g++ {
			out = append(out, uint32(g), uint32(g+6))
		}
		slices.Sort(out)
		return out
	}
	want := [][]uint32{group(0, 5), group(1, 2), group(2, 3), group(3, 4), group(4, 5), group(0, 1), group(0, 5), group(0, 5)}
	for k, w := range want {
		plan := mustPlan(t, p, k+2)
		if !slices.Equal(plan.Indices, w) || plan.Weights != nil {
			t.Errorf("epoch %d: %v, want %v", k+2, plan.Indices, w)
		}
		must(t, p.EndEpoch(k+2))
	}
}

// math.Round would give 3 groups of 5 * 0.5 and 5 of 9 * 0.5.
func TestSeTaWindowRoundsHalfToEven(t *testing.T) {
	for _, c := range []struct{ groups, want int }{{5, 2}, {9, 4}, {3, 2}, {10, 5}, {1, 1}} {
		scores := make([]float32, c.groups)
		for i := range scores {
			scores[i] = float32(i)
		}
		p := scoredPruner(t, Options{Epochs: 4, Policy: PolicySeTa, Delta: 1, Groups: c.groups, Scale: 0.5}, scores)
		mustPlan(t, p, 2)
		must(t, p.EndEpoch(2))
		if got := len(mustPlan(t, p, 3).Indices); got != c.want {
			t.Errorf("%d groups: window of %d, want %d", c.groups, got, c.want)
		}
	}
}

func TestEpsilonGreedyByHand(t *testing.T) {
	scores := make([]float32, 20)
	for i := range scores {
		scores[i] = float32(i)
	}
	// 10 kept: 2 at random, the 8 highest are 12..19.
	p := scoredPruner(t, Options{Epochs: 3, Policy: PolicyEpsilonGreedy, Ratio: 0.5, Delta: 1, Choosing: Choosing{Epsilon: 0.2}}, scores)
	plan := mustPlan(t, p, 2)
	if len(plan.Indices) != 10 || !slices.Equal(plan.Indices[2:], []uint32{12, 13, 14, 15, 16, 17, 18, 19}) {
		t.Errorf("plan %v", plan.Indices)
	}
	// All equal: ties are drawn, not taken by index.
	clear(scores)
	p = scoredPruner(t, Options{Epochs: 3, Policy: PolicyEpsilonGreedy, Ratio: 0.5, Delta: 1, Choosing: Choosing{Epsilon: -1}}, scores)
	plan = mustPlan(t, p, 2)
	if len(plan.Indices) != 10 || plan.Indices[9] == 9 {
		t.Errorf("plan of ties %v", plan.Indices)
	}
}

// Sample 0 has mean 1 without deviation; sample 1 ends at mean 0.9 with the
// variance of the recursion, deviation about 0.21.
func TestUCBByHand(t *testing.T) {
	o := Options{Samples: 2, Epochs: 3, Scorer: ScorerSmoothed, Policy: PolicyUCB, Ratio: 0.5, Delta: 1, Alpha: 0.9}
	for _, c := range []struct {
		c    float64
		want uint32
	}{{1, 1}, {-1, 0}} {
		o.Confidence = c.c
		p := mustNew(t, o)
		mustPlan(t, p, 1)
		for _, l := range []float32{0.97, 0.27} {
			must(t, p.ObserveSamples([]uint32{0, 1}, []float32{1, l}))
		}
		must(t, p.EndEpoch(1))
		s := p.Scores(nil)
		if math.Abs(float64(s[1])-0.9) > 1e-6 || math.Abs(float64(p.t.variance[1])-0.9*0.1*0.49) > 1e-6 || p.t.variance[0] != 0 {
			t.Fatalf("scores %v, variances %v", s, p.t.variance)
		}
		if plan := mustPlan(t, p, 2); !slices.Equal(plan.Indices, []uint32{c.want}) {
			t.Errorf("c=%v: plan %v, want %d", c.c, plan.Indices, c.want)
		}
	}
}

// A window of two batches: mean 2.5. Samples 0 and 1 are below it and never
// kept with rho = 1; after a plan without them, the weights of 2 and 3 are
// 2 epochs over 2 times.
func TestRePBByHand(t *testing.T) {
	p := mustNew(t, Options{Samples: 6, Epochs: 5, Scorer: ScorerLoss, Policy: PolicyRePB, Ratio: 0.5, Delta: 1, Choosing: Choosing{BatchWindow: 2}})
	mustPlan(t, p, 1)
	must(t, p.ObserveSamples([]uint32{0, 2}, []float32{1, 4}))
	must(t, p.ObserveSamples([]uint32{3, 1}, []float32{3, 2}))
	// Another window, open at the end of the epoch: mean 95.
	must(t, p.ObserveSamples([]uint32{4, 5}, []float32{90, 100}))
	must(t, p.EndEpoch(1))
	r := p.inner.(*repb)
	for i, want := range []bool{true, true, false, false, true, false} {
		if r.below.get(uint32(i)) != want {
			t.Errorf("sample %d: below %v", i, !want)
		}
	}
	taken := map[uint32]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
	for e := 2; e <= 5; e++ {
		plan := mustPlan(t, p, e)
		for k, i := range plan.Indices {
			taken[i]++
			w := float32(1)
			if plan.Weights != nil {
				w = plan.Weights[k]
			}
			if want := float32(e) / float32(taken[i]); w != want {
				t.Errorf("epoch %d: weight of %d is %v, want %v", e, i, w, want)
			}
		}
		must(t, p.EndEpoch(e))
	}
	if taken[2] != 5 || taken[3] != 5 || taken[5] != 5 {
		t.Errorf("taken %v", taken)
	}
}

func TestRescale(t *testing.T) {
	o := Options{Samples: 50, Epochs: 12, Policy: PolicyInfoBatch, Ratio: 0.5, Delta: 1, Window: 4}
	for _, c := range []struct {
		scorer, rescale, resolved string
		weights                   bool
	}{
		{ScorerLoss, "", RescaleSample, true},
		{ScorerBLS, RescaleAuto, RescaleSample, true},
		{ScorerBLS, RescaleBatch, RescaleBatch, true},
		{ScorerBLS, RescaleNone, RescaleNone, false},
		{ScorerDAS, "", RescaleNone, false},
		{ScorerDAS, RescaleSample, RescaleSample, true},
	} {
		o.Scorer, o.Rescale = c.scorer, c.rescale
		p := mustNew(t, o)
		if p.Rescale() != c.resolved {
			t.Errorf("%s %q: resolved to %q, want %q", c.scorer, c.rescale, p.Rescale(), c.resolved)
		}
		got := false
		for _, plan := range runAll(t, p, 12, 10) {
			got = got || plan.Weights != nil
		}
		if got != c.weights {
			t.Errorf("%s %q: weights %v", c.scorer, c.rescale, got)
		}
	}
	if BatchWeight(nil) != 1 || BatchWeight([]float32{1, 2, 2, 1}) != 1.5 {
		t.Error("BatchWeight")
	}
}

// The share drawn is uniform: over many seeds each of 30 samples is taken
// equally often. Chi-square with 29 degrees of freedom, variance shrunk by
// (1-10/30) for draws without replacement; 70 has probability below 3e-5.
func TestShareIsUniform(t *testing.T) {
	const n, runs = 30, 6000
	var counts [n]float64
	for seed := range uint64(runs) {
		p := mustNew(t, Options{Samples: n, Epochs: 1, Policy: PolicyRandom, Ratio: 2.0 / 3, Delta: 1, Seed: seed})
		plan := mustPlan(t, p, 1)
		if len(plan.Indices) != 10 {
			t.Fatalf("%d samples", len(plan.Indices))
		}
		for _, i := range plan.Indices {
			counts[i]++
		}
	}
	chi := 0.0
	for _, c := range counts {
		e := runs / 3.0
		chi += (c - e) * (c - e) / (e * (1 - 1.0/3))
	}
	chi *= (n - 1.0) / n
	if chi > 70 {
		t.Errorf("chi-square %.1f: %v", chi, counts)
	}
}

// With InfoBatch's weights and fixed scores every sample counts as if it were
// always there: E[w_i 1(i in plan)] = 1, so the expected gradient is the full
// one. Over T independent plans the mean of w_i 1(i in plan) for a pruned
// sample has variance (1/keep - 1)/T. All |P| means are tested at once at
// error rate 1e-6 (Bonferroni, two-sided normal quantile), and a projection of
// the gradient, drawn at random, at 1e-6 too.
func TestInfoBatchIsUnbiased(t *testing.T) {
	const n, plans, alpha = 400, 4000, 1e-6
	for _, ratio := range []float64{0.25, 0.5, 0.8} {
		scores := make([]float32, n)
		rnd := newStream(5, forShare, 1)
		grad := make([]float64, n) // one coordinate of each sample's gradient
		below := 200               // a multiple that makes keep*|P| whole, as the weight 1/keep assumes
		for i := range scores {
			scores[i] = float32(i%2) + float32(rnd.Next()>>40)/(1<<25)
			grad[i] = float64(int64(rnd.Next())) / (1 << 63)
		}
		p := mustNew(t, Options{Samples: n, Epochs: plans + 1, Scorer: ScorerLoss, Policy: PolicyInfoBatch, Ratio: ratio, Delta: 1, Seed: 11})
		all := make([]uint32, n)
		full := 0.0
		for i := range all {
			all[i] = uint32(i)
			full += grad[i]
		}
		mustPlan(t, p, 1)
		must(t, p.ObserveSamples(all, scores))
		must(t, p.EndEpoch(1))
		sum := make([]float64, n)
		var g, gg float64
		for e := 2; e <= plans+1; e++ {
			plan := mustPlan(t, p, e)
			est, total := 0.0, 0.0
			for k, i := range plan.Indices {
				total += float64(plan.Weights[k])
				sum[i] += float64(plan.Weights[k])
				est += float64(plan.Weights[k]) * grad[i]
			}
			if math.Abs(total-n) > 1e-4 {
				t.Fatalf("r=%v: the weights of a plan sum to %v, not to %d", ratio, total, n)
			}
			g += est
			gg += est * est
			must(t, p.EndEpoch(e))
		}
		keep := 1 - ratio
		bound := normalQuantile(1-alpha/(2*float64(below))) * math.Sqrt((1/keep-1)/plans)
		for i, s := range sum {
			mean := s / plans
			if i%2 == 1 {
				if mean != 1 {
					t.Fatalf("r=%v: sample %d above the mean has weight %v", ratio, i, mean)
				}
			} else if math.Abs(mean-1) > bound {
				t.Errorf("r=%v: E[w] of sample %d is %.4f, beyond 1 +- %.4f", ratio, i, mean, bound)
			}
		}
		mean := g / plans
		dev := math.Sqrt(max(0, gg/plans-mean*mean) / plans)
		if math.Abs(mean-full) > normalQuantile(1-alpha/2)*dev {
			t.Errorf("r=%v: expected gradient %.4f, full %.4f, standard error %.4f", ratio, mean, full, dev)
		}
	}
}

func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
