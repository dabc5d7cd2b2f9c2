package prune

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// State is what a saved state holds of each sample, for others to read. Slices
// by sample are nil where the method keeps none.
type State struct {
	Samples int
	Epoch   int    // of the plan
	Scorer  string // as Options have it
	Policy  string
	Ranking string // the score behind the plan: the scorer's name, or "loss" while DAS has no trajectories yet

	Scores    []float32 // NaN where a sample has none
	Held      []bool    // held out of all plans
	Variances []float32 // of the reports about a score
	Kept      []bool    // in the plan of Epoch
	Weights   []float32 // in that plan, 0 where it does not keep the sample; nil means 1 for all
	Taken     []uint16  // times in a plan so far; nil where an earlier program began the run
	Losses    []Losses  // DAS: of the last epochs, in their order
	Aligned   bool      // DAS: the scores are correlations, not losses

	Plans []Members // of epochs 1 to Epoch; nil where an earlier program began the run
	Loss  *LossMoments
}

// Members are samples of a set.
type Members []uint64

// Has is whether sample i is one of them.
func (m Members) Has(i int) bool { return bitset(m).get(uint32(i)) }

// LossMoments are the losses of each sample that a run has seen.
type LossMoments struct {
	Count     []uint16  // losses
	Mean      []float32 // NaN where there is none
	Deviation []float32 // standard deviation, over count-1; NaN below two
}

// Losses are those of an epoch by sample, NaN where a sample was not seen, and
// the reference that they are compared with, NaN for none.
type Losses struct {
	Epoch     int
	Loss      []float32
	Reference float64
}

// ReadState reads what Save wrote, by the options that are in it. What is no
// state, or a damaged one, is an error that wraps ErrState.
func ReadState(text []byte) (*State, error) {
	o, err := savedOptions(text)
	if err != nil {
		return nil, fmt.Errorf("prune: read %q: %w", "state", err)
	}
	p, err := New(o)
	if err != nil {
		return nil, fmt.Errorf("prune: read %q: %w: %w", "state", ErrState, err)
	}
	d := &decoder{r: bytes.NewReader(text), sum: crc32.New(castagnoli)}
	if err := p.read(d, p.o, true); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("truncated: %w", ErrState)
		}
		return nil, fmt.Errorf("prune: read %q: %w", "state", err)
	}
	return p.state(), nil
}

// state copies what the Pruner holds; p is not used again.
func (p *Pruner) state() *State {
	s := &State{Samples: p.t.n, Epoch: p.stats.Epoch, Scorer: p.o.Scorer, Policy: p.o.Policy, Ranking: p.stats.Ranking,
		Variances: p.t.variance, Kept: make([]bool, p.t.n), Held: make([]bool, p.t.n)}
	if p.counted {
		s.Taken = p.taken
	}
	for i, x := range p.t.score {
		s.Held[i] = isHeld(x)
	}
	if p.scorer != nil {
		s.Scores = p.t.score
	}
	if p.buf.weights != nil {
		s.Weights = make([]float32, p.t.n)
	}
	for k, i := range p.buf.indices {
		s.Kept[i] = true
		if p.buf.weights != nil {
			s.Weights[i] = p.buf.weights[k]
		}
	}
	if x, ok := p.scorer.(*das); ok {
		s.Aligned = x.ready
		for k, epoch := range x.epoch {
			if epoch > 0 {
				s.Losses = append(s.Losses, Losses{epoch, x.row[k], x.ref[k]})
			}
		}
		slices.SortFunc(s.Losses, func(a, b Losses) int { return cmp.Compare(a.Epoch, b.Epoch) })
	}
	s.addPast(&p.past)
	return s
}

// addPast puts in what is known of earlier epochs.
func (s *State) addPast(h *history) {
	if h.whole {
		every := newBitset(s.Samples)
		for i, held := range s.Held {
			if !held {
				every.set(uint32(i))
			}
		}
		for _, kept := range h.plans {
			if kept == nil {
				kept = every
			}
			s.Plans = append(s.Plans, Members(kept))
		}
	}
	m := h.losses
	if m == nil {
		return
	}
	nan := float32(math.NaN())
	s.Loss = &LossMoments{m.count, m.mean, m.squares}
	for i, n := range m.count {
		if n == 0 {
			m.mean[i] = nan
		}
		if n < 2 {
			m.squares[i] = nan
			continue
		}
		m.squares[i] = float32(math.Sqrt(max(0, float64(m.squares[i])) / float64(n-1)))
	}
}

// savedOptions are those in the header of a state. A state has a bit of each
// sample at least, so that its length bounds what is made of it.
func savedOptions(text []byte) (o Options, err error) {
	head := len(StateMagic) + 8
	if len(text) < head || string(text[:len(StateMagic)]) != StateMagic {
		return o, fmt.Errorf("not a pruner's state: %w", ErrState)
	}
	d := decoder{r: bytes.NewReader(text[len(StateMagic)+4:]), sum: crc32.New(castagnoli)}
	size := int(d.u32())
	if size > maxHeader || size > len(text)-head {
		return o, fmt.Errorf("header of %d bytes: %w", size, ErrState)
	}
	for _, field := range strings.Fields(string(text[head : head+size])) {
		name, value, _ := strings.Cut(field, "=")
		if err := o.setSaved(name, value); err != nil {
			return o, fmt.Errorf("header field %.40q: %w", field, ErrState)
		}
	}
	if o.Samples < 0 || o.Samples/8 > len(text) {
		return o, fmt.Errorf("%d samples in %d bytes: %w", o.Samples, len(text), ErrState)
	}
	o.Label = func(uint32) int { return 0 } // for choosing a reference, which reading does not
	return o, nil
}

// setSaved sets an option as header spells it.
func (o *Options) setSaved(name, value string) (err error) {
	switch name {
	case "samples":
		o.Samples, err = strconv.Atoi(value)
		return err
	case "epochs":
		o.Epochs, err = strconv.Atoi(value)
		return err
	case "seed":
		o.Seed, err = strconv.ParseUint(value, 10, 64)
		return err
	case "scorer":
		o.Scorer = value
		return nil
	case "policy":
		o.Policy = value
		return nil
	}
	i := slices.IndexFunc(options, func(r Option) bool { return r.Name == name })
	if i < 0 {
		return ErrState
	}
	row := &options[i]
	var v any = value
	switch row.Default.(type) {
	case float64:
		v, err = strconv.ParseFloat(value, 64)
		if err == nil && math.IsNaN(v.(float64)) {
			err = ErrState
		}
	case int:
		v, err = strconv.Atoi(value)
	}
	if err == nil {
		row.Set(o, v)
	}
	return err
}
