package prune

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// equal takes NaN as equal to itself.
func equal(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x == y || x != x && y != y })
}

// Every pair of scorer and policy: what is read is what the Pruner has, and the
// times that samples were taken are those of the plans.
func TestReadState(t *testing.T) {
	for _, s := range Scorers() {
		for _, p := range Policies() {
			o := confOptions(s.Name, p.Name)
			q := mustNew(t, o)
			taken := make([]uint16, o.Samples)
			var plan Plan
			var plans []Plan
			for e := 1; e <= 5; e++ {
				plan = mustPlan(t, q, e)
				plans = append(plans, clonePlan(plan))
				for _, i := range plan.Indices {
					taken[i]++
				}
				for _, b := range steps(plan, e, confBatch) {
					observe(t, q, e, b)
				}
				endEpoch(t, q, e)
			}
			got, err := ReadState(save(t, q))
			if err != nil {
				t.Fatalf("%s-%s: %v", s.Name, p.Name, err)
			}
			kept := make([]bool, o.Samples)
			for k, i := range plan.Indices {
				kept[i] = true
				if plan.Weights != nil && got.Weights[i] != plan.Weights[k] {
					t.Fatalf("%s-%s: sample %d has weight %v, want %v", s.Name, p.Name, i, got.Weights[i], plan.Weights[k])
				}
			}
			if !equal(got.Scores, q.Scores(nil)) || got.Epoch != 5 || !slices.Equal(got.Kept, kept) || !slices.Equal(got.Taken, taken) ||
				(got.Weights == nil) != (plan.Weights == nil) {
				t.Errorf("%s-%s: %+v", s.Name, p.Name, got)
			}
			if len(got.Plans) != len(plans) {
				t.Fatalf("%s-%s: %d plans", s.Name, p.Name, len(got.Plans))
			}
			for e, plan := range plans {
				for i := range o.Samples {
					if _, in := slices.BinarySearch(plan.Indices, uint32(i)); in != got.Plans[e].Has(i) {
						t.Fatalf("%s-%s: epoch %d: sample %d is in the plan: %v", s.Name, p.Name, e+1, i, in)
					}
				}
			}
			x, ok := q.scorer.(*das)
			if !ok {
				continue
			}
			if got.Aligned != (x.w <= 5) {
				t.Errorf("%s-%s: aligned after 5 epochs with a window of %d: %v", s.Name, p.Name, x.w, got.Aligned)
			}
			if len(got.Losses) != min(5, x.w) {
				t.Errorf("%s-%s: losses of %d epochs", s.Name, p.Name, len(got.Losses))
			}
			for k, l := range got.Losses {
				if l.Epoch != 6-len(got.Losses)+k || !equal(l.Loss, x.row[x.slot(l.Epoch)]) || l.Reference != x.ref[x.slot(l.Epoch)] {
					t.Errorf("%s-%s: losses of epoch %d", s.Name, p.Name, l.Epoch)
				}
			}
		}
	}
}

func TestReadStateHoldout(t *testing.T) {
	o := confOptions(ScorerLoss, PolicyRandom)
	o.Holdout = []uint32{1, 4}
	q := mustNew(t, o)
	mustPlan(t, q, 1)
	got, err := ReadState(save(t, q))
	if err != nil || !got.Held[1] || !got.Held[4] || got.Held[0] || got.Taken[1] != 0 {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestReadStateRefusesDamage(t *testing.T) {
	_, p := midway(t)
	state := save(t, p)
	for at := 0; at < len(state); at += 1 + at/20 {
		bad := bytes.Clone(state)
		bad[at] ^= 1 << (at % 8)
		for _, text := range [][]byte{state[:at], bad} {
			if _, err := ReadState(text); !errors.Is(err, ErrState) {
				t.Fatalf("%d bytes, damaged at %d: %v", len(text), at, err)
			}
		}
	}
	if _, err := ReadState([]byte(StateMagic + "\x03\x00\x00\x00\x12\x00\x00\x00samples=4000000000")); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

// A state of earlier versions goes on, without the history or the times taken.
func TestLoadEarlierState(t *testing.T) {
	o, p := midway(t)
	state := save(t, p)
	var past bytes.Buffer
	e := &encoder{w: &past, sum: crc32.New(castagnoli)}
	p.past.save(e)
	without := map[uint32]int{withoutPast: past.Len(), earlierState: past.Len() + 1 + 2*o.Samples}
	endEpoch(t, p, 5)
	a := clonePlan(mustPlan(t, p, 6))
	for version, tail := range without {
		old := bytes.Clone(state[:len(state)-4-tail])
		binary.LittleEndian.PutUint32(old[len(StateMagic):], version)
		old = binary.LittleEndian.AppendUint32(old, crc32.Checksum(old, castagnoli))
		q := mustNew(t, o)
		must(t, q.Load(bytes.NewReader(old)))
		endEpoch(t, q, 5)
		b := mustPlan(t, q, 6)
		if !slices.Equal(a.Indices, b.Indices) || !slices.Equal(a.Weights, b.Weights) {
			t.Errorf("the plan after a state of version %d differs", version)
		}
		if s, err := ReadState(save(t, q)); err != nil || (s.Taken == nil) != (version == earlierState) || s.Plans != nil {
			t.Errorf("version %d: a run that an earlier program began: %v, %v, %v", version, err, s.Taken, s.Plans)
		}
	}
}

// Mean and deviation of the losses seen are those of gonum, over a break too.
func TestRecordLosses(t *testing.T) {
	o := confOptions(ScorerBLS, PolicyInfoBatch)
	p := mustNew(t, o)
	seen := make([][]float64, o.Samples)
	for e := 1; e <= 6; e++ {
		plan := mustPlan(t, p, e)
		for _, b := range steps(plan, e, confBatch) {
			losses := make([]float32, len(b))
			for j, i := range b {
				losses[j] = simLoss(i, e) * 1000
				seen[i] = append(seen[i], float64(losses[j]))
			}
			observe(t, p, e, b)
			must(t, p.RecordLosses(b, losses))
		}
		endEpoch(t, p, e)
		if e == 3 {
			q := mustNew(t, o)
			must(t, q.Load(bytes.NewReader(save(t, p))))
			p = q
		}
	}
	s, err := ReadState(save(t, p))
	must(t, err)
	for i, x := range seen {
		mean, std := stat.MeanStdDev(x, nil)
		got := s.Loss
		near := func(a float32, b float64) bool {
			return math.Abs(float64(a)-b) <= 1e-5*math.Abs(b)+1e-3 || a != a && b != b
		}
		if int(got.Count[i]) != len(x) || !near(got.Mean[i], mean) || !near(got.Deviation[i], std) {
			t.Fatalf("sample %d: %d losses, mean %v, deviation %v; want %d, %v, %v", i, got.Count[i], got.Mean[i], got.Deviation[i], len(x), mean, std)
		}
	}
	if err := p.RecordLosses([]uint32{0}, []float32{1}); !errors.Is(err, ErrOrder) {
		t.Errorf("after the end of an epoch: %v", err)
	}
	mustPlan(t, p, 7)
	if err := p.RecordLosses([]uint32{uint32(o.Samples)}, []float32{1}); !errors.Is(err, ErrIndex) {
		t.Errorf("a sample that is none: %v", err)
	}
}

func TestScoreQuantiles(t *testing.T) {
	o := confOptions(ScorerLoss, PolicyFull)
	o.Samples = 101
	p := mustNew(t, o)
	if p.ScoreQuantiles(4) != nil {
		t.Error("quantiles of no scores")
	}
	mustPlan(t, p, 1)
	for i := range uint32(101) {
		must(t, p.ObserveSamples([]uint32{i}, []float32{float32((i * 37) % 101)}))
	}
	if got := p.ScoreQuantiles(4); !slices.Equal(got, []float32{0, 25, 50, 75, 100}) {
		t.Error(got)
	}
}
