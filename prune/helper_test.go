package prune

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"winnow/internal/random"
)

func mustNew(tb testing.TB, o Options) *Pruner {
	tb.Helper()
	p, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func mustPlan(tb testing.TB, p *Pruner, epoch int) Plan {
	tb.Helper()
	pl, err := p.Plan(epoch)
	if err != nil {
		tb.Fatal(err)
	}
	return pl
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// clonePlan copies a plan out of its Pruner.
func clonePlan(p Plan) Plan {
	return Plan{slices.Clone(p.Indices), slices.Clone(p.Weights)}
}

func samePlan(a, b Plan) bool {
	return slices.Equal(a.Indices, b.Indices) && slices.Equal(a.Weights, b.Weights) && (a.Weights == nil) == (b.Weights == nil)
}

// simLoss is a loss that falls with the epochs at a rate of the sample's own,
// with a ripple that is a pure function of (sample, epoch).
func simLoss(i uint32, epoch int) float32 {
	h := random.Stream(uint64(i)<<20 | uint64(epoch))
	ripple := float64(h.Next()>>40) / (1 << 24)
	rate := 0.05 + 0.4*float64(i%97)/97
	return float32(2.5*math.Exp(-rate*float64(epoch)) + 0.2*ripple)
}

// steps gives the batches of an epoch, the same for every run.
func steps(plan Plan, epoch, size int) [][]uint32 {
	order := slices.Clone(plan.Indices)
	rnd := newStream(99, forStatic, epoch)
	for i := len(order) - 1; i > 0; i-- {
		j := int(rnd.Next() % uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	return slices.Collect(slices.Chunk(order, size))
}

// observe reports one batch as the Pruner wants it.
func observe(tb testing.TB, p *Pruner, epoch int, batch []uint32) {
	tb.Helper()
	losses := make([]float32, len(batch))
	var sum float64
	for j, i := range batch {
		losses[j] = simLoss(i, epoch)
		sum += float64(losses[j])
	}
	byBatch, _, _ := p.Wants()
	if byBatch {
		must(tb, p.ObserveBatch(batch, float32(sum/float64(len(batch)))))
	} else {
		must(tb, p.ObserveSamples(batch, losses))
	}
}

func endEpoch(tb testing.TB, p *Pruner, epoch int) {
	tb.Helper()
	if _, _, ref := p.Wants(); ref {
		must(tb, p.ObserveReference(epoch, 2*math.Exp(-0.3*float64(epoch))))
	}
	must(tb, p.EndEpoch(epoch))
}

// runAll plays a whole training and returns a copy of every plan.
func runAll(tb testing.TB, p *Pruner, epochs, batch int) []Plan {
	tb.Helper()
	var plans []Plan
	for e := 1; e <= epochs; e++ {
		plan := mustPlan(tb, p, e)
		plans = append(plans, clonePlan(plan))
		for _, b := range steps(plan, e, batch) {
			observe(tb, p, e, b)
		}
		endEpoch(tb, p, e)
	}
	return plans
}

func save(tb testing.TB, p *Pruner) []byte {
	tb.Helper()
	var b bytes.Buffer
	must(tb, p.Save(&b))
	return b.Bytes()
}

// pairs runs f as a subtest for every scorer under every policy.
func pairs(t *testing.T, f func(t *testing.T, scorer, policy string)) {
	for _, s := range scorerNames() {
		for _, p := range policyNames() {
			if s == ScorerNone && policyOf(p).scores {
				continue
			}
			t.Run(fmt.Sprintf("%s-%s", s, p), func(t *testing.T) { f(t, s, p) })
		}
	}
}

func bytesReader(b []byte) *bytes.Reader { return bytes.NewReader(b) }
