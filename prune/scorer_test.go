package prune

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The recursion of every sample against its closed form: after first value
// x_1 and reports x_2..x_k, s = alpha^(k-1) x_1 + (1-alpha) sum alpha^(k-j) x_j,
// and with the start at zero the first term has the factor 1-alpha too.
func TestBLSAgainstClosedForm(t *testing.T) {
	const n, epochs, alpha = 40, 12, 0.8
	for _, start := range []string{StartFirst, StartZero} {
		p := mustNew(t, Options{Samples: n, Epochs: epochs, Scorer: ScorerBLS, Policy: PolicyFull, Alpha: alpha, Start: start})
		seen := make([][]float64, n)
		for e := 1; e <= epochs; e++ {
			plan := mustPlan(t, p, e)
			for k, b := range steps(plan, e, 7) {
				if (k+e)%4 == 0 {
					continue // some samples are skipped
				}
				loss := simLoss(b[0], e)
				must(t, p.ObserveBatch(b, loss))
				for _, i := range b {
					seen[i] = append(seen[i], float64(loss))
				}
			}
			must(t, p.EndEpoch(e))
		}
		for i, s := range p.Scores(nil) {
			x := seen[i]
			k := len(x)
			want := 0.0
			for j, v := range x {
				c := 1 - alpha
				if j == 0 && start == StartFirst {
					c = 1
				}
				want += c * math.Pow(alpha, float64(k-1-j)) * v
			}
			if math.Abs(float64(s)-want) > 1e-6 {
				t.Errorf("%s: score of %d is %v, want %v", start, i, s, want)
			}
		}
	}
}

// Each report against the recursion sample by sample, to the bit: samples
// without a score, held out, or twice and thrice in a batch, batches of every
// small length, losses so large that a difference overflows, where float64
// gives the score. A report with a sample out of range, at any place of the
// batch, changes nothing. Large losses come in every other run of epochs, so
// that reports meet them with bounded scores and with others.
func TestBLSToTheBit(t *testing.T) {
	const n, alpha = 23, 0.9
	rnd := rand.New(rand.NewPCG(31, 32))
	for _, start := range []string{StartFirst, StartZero} {
		for _, known := range []bool{false, true} {
			const epochs, reports = 60, 50
			var holdout []uint32
			if known {
				holdout = []uint32{4, 17}
			}
			p := mustNew(t, Options{Samples: n, Epochs: epochs, Scorer: ScorerBLS, Alpha: alpha, Start: start, Holdout: holdout})
			mustPlan(t, p, 1)
			b := float32(1 - alpha)
			want := make([]float32, n)
			for i := range want {
				want[i] = unscored
				if known {
					want[i] = rnd.Float32()
				}
			}
			for _, i := range holdout {
				want[i] = heldOut
			}
			copy(p.t.score, want)
			observed, bounded := 0, 0
			for k := range epochs * reports {
				epoch := 1 + k/reports
				if k > 0 && k%reports == 0 {
					must(t, p.EndEpoch(epoch-1))
					mustPlan(t, p, epoch)
					observed = 0
				}
				if p.t.bounded {
					bounded++
				}
				batch := make([]uint32, rnd.IntN(20))
				from := 1 + rnd.IntN(n)
				for k := range batch {
					batch[k] = uint32(rnd.IntN(from))
				}
				loss := rnd.Float32()
				if epoch/6%2 != 0 && rnd.IntN(4) == 0 {
					loss = 3.4e38 * float32(rnd.IntN(3)-1)
				}
				if len(batch) > 0 && rnd.IntN(5) == 0 {
					batch[rnd.IntN(len(batch))] = n + rnd.Uint32N(math.MaxUint32-n)
					if err := p.ObserveBatch(batch, loss); !errors.Is(err, ErrIndex) {
						t.Fatalf("%v: %v", batch, err)
					}
					if err := p.ObserveBatch(batch, nan); !errors.Is(err, ErrIndex) {
						t.Fatalf("%v with no loss: %v", batch, err)
					}
				} else {
					must(t, p.ObserveBatch(batch, loss))
					observed += len(batch)
					for _, i := range batch {
						switch s := want[i]; {
						case slices.Contains(holdout, i):
						case s == s:
							want[i] = s + float32(b*(loss-s))
							if math.IsInf(float64(loss-s), 0) {
								want[i] = float32(float64(s) + float64(b)*(float64(loss)-float64(s)))
							}
						case start == StartZero:
							want[i] = b * loss
						default:
							want[i] = loss
						}
					}
				}
				for i, s := range p.t.score {
					if w := want[i]; math.Float32bits(s) != math.Float32bits(w) && (s == s || w == w || isHeld(w) || isHeld(s)) {
						t.Fatalf("%s, batch %v, loss %v: score of %d is %v, want %v", start, batch, loss, i, s, w)
					}
				}
			}
			if p.Stats().Observed != observed {
				t.Errorf("%d observed, want %d", p.Stats().Observed, observed)
			}
			if known && bounded > 0 || !known && (bounded < epochs*reports/4 || bounded > epochs*reports*3/4) {
				t.Errorf("%d of %d reports met bounded scores", bounded, epochs*reports)
			}
		}
	}
}

func TestBLSBatchOfOneIsSmoothedLoss(t *testing.T) {
	o := Options{Samples: 9, Epochs: 5, Policy: PolicyFull, Alpha: 0.7}
	o.Scorer = ScorerBLS
	a := mustNew(t, o)
	o.Scorer = ScorerSmoothed
	b := mustNew(t, o)
	runAll(t, a, 5, 1)
	runAll(t, b, 5, 4)
	if x, y := a.Scores(nil), b.Scores(nil); !slices.Equal(x, y) {
		t.Errorf("%v and %v", x, y)
	}
}

// The average of two finite losses and their variance are finite, however far
// they are apart.
func TestFarLossesHaveAScore(t *testing.T) {
	for _, scorer := range []string{ScorerSmoothed, ScorerBLS} {
		p := mustNew(t, Options{Samples: 1, Epochs: 1, Scorer: scorer, Policy: PolicyUCB, Alpha: 0.75})
		mustPlan(t, p, 1)
		for _, loss := range []float32{math.MaxFloat32, -math.MaxFloat32} {
			if scorer == ScorerBLS {
				must(t, p.ObserveBatch([]uint32{0}, loss))
			} else {
				must(t, p.ObserveSamples([]uint32{0}, []float32{loss}))
			}
		}
		if s := p.Scores(nil)[0]; s != math.MaxFloat32/2 {
			t.Errorf("%s: score %v, want %v", scorer, s, float32(math.MaxFloat32/2))
		}
		if v := p.t.variance[0]; v != math.MaxFloat32 {
			t.Errorf("%s: variance %v, want the largest there is", scorer, v)
		}
	}
}

func TestLossIsTheLast(t *testing.T) {
	p := mustNew(t, Options{Samples: 3, Epochs: 1, Scorer: ScorerLoss})
	mustPlan(t, p, 1)
	must(t, p.ObserveSamples([]uint32{2, 0}, []float32{5, 6}))
	must(t, p.ObserveSamples([]uint32{0}, []float32{7}))
	if s := p.Scores(nil); s[0] != 7 || s[1] == s[1] || s[2] != 5 {
		t.Errorf("scores %v", s)
	}
}

func TestBadLosses(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, scorer := range []string{ScorerLoss, ScorerSmoothed, ScorerDAS} {
		p := mustNew(t, Options{Samples: 5, Epochs: 1, Scorer: scorer})
		mustPlan(t, p, 1)
		for _, bad := range []float32{nan, inf, -inf} {
			err := p.ObserveSamples([]uint32{4, 1, 2}, []float32{1, bad, bad})
			var le *LossError
			if !errors.As(err, &le) || !errors.Is(err, ErrBadLoss) || !slices.Equal(le.Indices, []uint32{1, 2}) {
				t.Fatalf("%s: %v", scorer, err)
			}
			if !strings.Contains(err.Error(), "[1 2]") {
				t.Errorf("the message names no samples: %v", err)
			}
		}
		for _, s := range p.Scores(nil) {
			if s == s {
				t.Errorf("%s: a refused report left a score", scorer)
			}
		}
	}
	p := mustNew(t, Options{Samples: 20, Epochs: 1, Scorer: ScorerBLS})
	mustPlan(t, p, 1)
	batch := []uint32{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	if err := p.ObserveBatch(batch, inf); !errors.Is(err, ErrBadLoss) {
		t.Errorf("%v", err)
	}
	err := p.ObserveBatch(batch, nan)
	var le *LossError
	if !errors.As(err, &le) || !slices.Equal(le.Indices, batch) || !strings.Contains(err.Error(), "2 more") {
		t.Fatalf("%v", err)
	}
}

func TestRefusedReports(t *testing.T) {
	p := mustNew(t, Options{Samples: 4, Epochs: 2, Scorer: ScorerBLS})
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	is(p.ObserveBatch([]uint32{0}, 1), ErrOrder)
	mustPlan(t, p, 1)
	is(p.ObserveBatch([]uint32{0, 4}, 1), ErrIndex)
	is(p.ObserveBatch([]uint32{math.MaxUint32}, 1), ErrIndex)
	is(p.ObserveSamples([]uint32{0}, []float32{1}), ErrReport)
	is(p.ObserveSamples([]uint32{0}, nil), ErrLength)
	is(p.ObserveReference(1, 1), ErrReport)
	is(p.EndEpoch(2), ErrOrder)
	_, err := p.Plan(2)
	is(err, ErrOrder)
	_, err = p.Plan(0)
	is(err, ErrOrder)
	must(t, p.EndEpoch(1))
	is(p.EndEpoch(1), ErrOrder)
	is(p.ObserveBatch([]uint32{0}, 1), ErrOrder)
	mustPlan(t, p, 2)
	_, err = p.Plan(1)
	is(err, ErrOrder)
	must(t, p.EndEpoch(2))
	_, err = p.Plan(3)
	is(err, ErrOrder)

	empty := mustNew(t, Options{Epochs: 1, Scorer: ScorerLoss})
	mustPlan(t, empty, 1)
	must(t, empty.ObserveSamples(nil, nil))
	is(empty.ObserveSamples([]uint32{0}, []float32{1}), ErrIndex)

	none := mustNew(t, Options{Samples: 2, Epochs: 1})
	mustPlan(t, none, 1)
	must(t, none.ObserveBatch([]uint32{0}, 1)) // nothing to record, nothing wrong
}

func TestOptionsRefused(t *testing.T) {
	good := Options{Samples: 10, Epochs: 2, Scorer: ScorerDAS, Policy: PolicySeTa, Ratio: 0.5, Delta: 1}
	must(t, good.Validate())
	label := func(uint32) int { return 0 }
	for name, f := range map[string]func(*Options){
		"samples":            func(o *Options) { o.Samples = -1 },
		"epochs":             func(o *Options) { o.Epochs = 0 },
		"scorer":             func(o *Options) { o.Scorer = "x" },
		"policy":             func(o *Options) { o.Policy = "x" },
		"prune-ratio":        func(o *Options) { o.Ratio = 1.1 },
		"prune-delta":        func(o *Options) { o.Delta = math.NaN() },
		"prune-alpha":        func(o *Options) { o.Alpha = 1 },
		"prune-start":        func(o *Options) { o.Start = "x" },
		"prune-window":       func(o *Options) { o.Window = 2 },
		"prune-reference":    func(o *Options) { o.Reference = "x" },
		"prune-pseudo-share": func(o *Options) { o.Reference, o.Label, o.PseudoShare = ReferencePseudo, label, -1 },
		"label":              func(o *Options) { o.Reference = ReferencePseudo },
		"prune-groups":       func(o *Options) { o.Groups = -1 },
		"prune-scale":        func(o *Options) { o.Scale = 2 },
		"prune-epsilon":      func(o *Options) { o.Epsilon = 2 },
		"prune-confidence":   func(o *Options) { o.Confidence = math.Inf(1) },
		"prune-batch-window": func(o *Options) { o.BatchWindow = -1 },
		"threads":            func(o *Options) { o.Threads = -1 },
		"prune-rescale":      func(o *Options) { o.Rescale = "x" },
		"holdout":            func(o *Options) { o.Holdout = []uint32{10} },
	} {
		o := good
		f(&o)
		_, err := New(o)
		if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := good
	o.Scorer, o.Ratio = ScorerNone, 2
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "scorer") || !strings.Contains(err.Error(), "prune-ratio") {
		t.Errorf("not every problem is named: %v", err)
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name           string
		perSample      bool
		scorer, policy string
		err            error
	}{
		{"auto", true, ScorerDAS, PolicyInfoBatch, nil},
		{"auto", false, ScorerBLS, PolicyInfoBatch, nil},
		{"none", false, ScorerNone, PolicyFull, nil},
		{"static", false, ScorerNone, PolicyStatic, nil},
		{"infobatch", true, ScorerLoss, PolicyInfoBatch, nil},
		{"infobatch", false, "", "", ErrNeedsLoss},
		{"bls-seta", false, ScorerBLS, PolicySeTa, nil},
		{"epsilon-greedy", true, ScorerSmoothed, PolicyEpsilonGreedy, nil},
		{"das-ucb", true, ScorerDAS, PolicyUCB, nil},
		{"bls-epsilon-greedy", false, ScorerBLS, PolicyEpsilonGreedy, nil},
		{"none-infobatch", true, "", "", ErrMethod},
		{"infobtach", true, "", "", ErrMethod},
		{"", true, "", "", ErrMethod},
	} {
		s, p, why, err := Resolve(c.name, c.perSample)
		if s != c.scorer || p != c.policy || !errors.Is(err, c.err) || (err == nil) != (why != "") {
			t.Errorf("%s, %v: %s, %s, %q, %v", c.name, c.perSample, s, p, why, err)
		}
	}
	for _, m := range Methods() {
		if _, _, _, err := Resolve(m.Name, true); err != nil {
			t.Error(err)
		}
	}
}
