package prune

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"
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
			for e := 1; e <= 5; e++ {
				plan = mustPlan(t, q, e)
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
			x, ok := q.scorer.(*das)
			if !ok {
				continue
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

// A state of the version before goes on, without the times taken.
func TestLoadEarlierState(t *testing.T) {
	o, p := midway(t)
	state := save(t, p)
	old := bytes.Clone(state[:len(state)-4-1-2*o.Samples])
	binary.LittleEndian.PutUint32(old[len(StateMagic):], earlierState)
	old = binary.LittleEndian.AppendUint32(old, crc32.Checksum(old, castagnoli))
	q := mustNew(t, o)
	must(t, q.Load(bytes.NewReader(old)))
	for _, x := range []*Pruner{p, q} {
		endEpoch(t, x, 5)
	}
	a, b := mustPlan(t, p, 6), mustPlan(t, q, 6)
	if !slices.Equal(a.Indices, b.Indices) || !slices.Equal(a.Weights, b.Weights) {
		t.Error("the plan after an earlier state differs")
	}
	if s, err := ReadState(save(t, q)); err != nil || s.Taken != nil {
		t.Errorf("times taken of a run that an earlier program began: %v, %v", err, s.Taken)
	}
}
