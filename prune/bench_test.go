package prune

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// benchSizes are CIFAR, ImageNet and, with WINNOW_BENCH_HUGE=1, 100 million,
// which takes 1.2 GB at most for a plan.
func benchSizes() []int {
	n := []int{50_000, 1_281_167}
	if os.Getenv("WINNOW_BENCH_HUGE") == "1" {
		n = append(n, 100_000_000)
	}
	return n
}

const benchBatch = 128

// lossLike draws a loss with the long tail that training losses have.
func lossLike(rnd *rand.Rand) float32 { return float32(math.Exp(rnd.NormFloat64() - 1)) }

// benchPruner is a Pruner in which every sample has been observed once.
func benchPruner(tb testing.TB, n int, scorer, policy string) *Pruner {
	tb.Helper()
	p, err := New(Options{Samples: n, Epochs: maxEpochs, Scorer: scorer, Policy: policy, Ratio: 0.5, Delta: 1, Seed: 1})
	if err != nil {
		tb.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range p.t.score {
		p.t.score[i] = lossLike(rnd)
	}
	return p
}

func BenchmarkPlan(b *testing.B) {
	for _, policy := range []string{PolicyFull, PolicyRandom, PolicyInfoBatch, PolicySeTa, PolicyEpsilonGreedy, PolicyUCB, PolicyRePB} {
		for _, n := range benchSizes() {
			b.Run(fmt.Sprintf("%s/n=%d", policy, n), func(b *testing.B) {
				scorer := ScorerNone
				if policyOf(policy).scores {
					scorer = ScorerLoss
				}
				p := benchPruner(b, n, scorer, policy)
				if s, ok := p.inner.(*seta); ok {
					s.pruned = 1 // the first pruned epoch has no groups to find
					s.keep = 1   // the most there can be
				}
				epoch := 0
				next := func() {
					epoch++
					p.stats.Epoch, p.planned = epoch-1, false
					if _, err := p.Plan(epoch); err != nil {
						b.Fatal(err)
					}
				}
				next() // the arrays are made once
				b.ReportAllocs()
				for b.Loop() {
					if epoch == maxEpochs {
						epoch = 1
					}
					next()
				}
				b.ReportMetric(float64(memory(p))/float64(n), "bytes/sample")
			})
		}
	}
}

// memory is the size of the arrays that grow with the data set.
func memory(p *Pruner) int {
	bytes := 4 * (cap(p.t.score) + cap(p.t.variance) + cap(p.buf.indices) + cap(p.buf.store))
	switch x := p.inner.(type) {
	case *seta:
		bytes += 4 * cap(x.keys)
	case *repb:
		bytes += 8*len(x.below) + 2*cap(x.times)
	}
	if d, ok := p.scorer.(*das); ok {
		for _, r := range d.row {
			bytes += 4 * cap(r)
		}
	}
	return bytes
}

// The split of SeTa by itself, and how far its sum of squares is above the
// least there is.
func BenchmarkKMeans(b *testing.B) {
	for _, n := range []int{50_000, 1_281_167} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 2))
			v := make([]float32, n)
			for i := range v {
				v[i] = lossLike(rnd)
			}
			keys, sorted := keysOf(v), make([]uint32, n)
			var ends []int
			b.ReportAllocs()
			for b.Loop() {
				copy(sorted, keys)
				ends = kmeans(sorted, DefaultGroups, 0)
			}
			b.StopTimer()
			slices.Sort(v)
			got, least := withinSS(v, ends), withinSS(v, exactSpans(sorted).split(DefaultGroups))
			b.ReportMetric(100*(got/least-1), "%-above-least")
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	for _, n := range benchSizes() {
		order := make([]uint32, n)
		for i := range order {
			order[i] = uint32(i)
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		rnd.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
		losses := make([]float32, benchBatch)
		for i := range losses {
			losses[i] = lossLike(rnd)
		}
		for _, scorer := range []string{ScorerLoss, ScorerSmoothed, ScorerBLS, ScorerDAS} {
			if scorer == ScorerDAS && n > 10_000_000 {
				continue
			}
			b.Run(fmt.Sprintf("%s/n=%d", scorer, n), func(b *testing.B) {
				p := benchPruner(b, n, scorer, PolicyInfoBatch)
				if _, err := p.Plan(1); err != nil {
					b.Fatal(err)
				}
				at := 0
				b.ReportAllocs()
				for b.Loop() {
					var err error
					batch := order[at : at+benchBatch]
					if scorer == ScorerBLS {
						err = p.ObserveBatch(batch, losses[at&(benchBatch-1)])
					} else {
						err = p.ObserveSamples(batch, losses)
					}
					if err != nil {
						b.Fatal(err)
					}
					if at += benchBatch; at+benchBatch > n {
						at = 0
					}
				}
				b.ReportMetric(float64(memory(p))/float64(n), "bytes/sample")
			})
		}
	}
}

func BenchmarkDASRescore(b *testing.B) {
	for _, n := range []int{50_000, 1_281_167} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			p := benchPruner(b, n, ScorerDAS, PolicyInfoBatch)
			d := p.scorer.(*das)
			rnd := rand.New(rand.NewPCG(5, 6))
			for e := 1; e <= d.w; e++ {
				d.begin(e)
				row := d.row[d.slot(e)]
				for i := range row {
					if rnd.IntN(4) > 0 { // a quarter was skipped
						row[i] = lossLike(rnd)
					}
				}
				d.ref[d.slot(e)] = 2 / float64(e)
			}
			b.ReportAllocs()
			for b.Loop() {
				d.rescore(d.w)
			}
			b.ReportMetric(float64(memory(p))/float64(n), "bytes/sample")
		})
	}
}
