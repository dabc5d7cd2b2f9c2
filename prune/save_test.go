package prune

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func midway(tb testing.TB) (Options, *Pruner) {
	o := confOptions(ScorerDAS, PolicyRePB)
	p := mustNew(tb, o)
	for e := 1; e <= 5; e++ {
		plan := mustPlan(tb, p, e)
		for k, b := range steps(plan, e, confBatch) {
			if e == 5 && k == 4 {
				return o, p
			}
			observe(tb, p, e, b)
		}
		endEpoch(tb, p, e)
	}
	return o, p
}

// Every truncation and every flipped bit is refused, and leaves the Pruner as
// it was.
func TestLoadRefusesDamage(t *testing.T) {
	o, p := midway(t)
	state := save(t, p)
	q := mustNew(t, o)
	before := save(t, q)
	for at := 0; at < len(state); at += 1 + at/20 {
		if err := q.Load(bytes.NewReader(state[:at])); !errors.Is(err, ErrState) {
			t.Fatalf("truncated to %d: %v", at, err)
		}
		bad := bytes.Clone(state)
		bad[at] ^= 1 << (at % 8)
		if err := q.Load(bytes.NewReader(bad)); !errors.Is(err, ErrState) {
			t.Fatalf("bit flipped in byte %d: %v", at, err)
		}
	}
	if !bytes.Equal(save(t, q), before) {
		t.Error("a refused state left its mark")
	}
	must(t, q.Load(bytes.NewReader(state)))
	if !bytes.Equal(save(t, q), state) {
		t.Error("saved again, the state differs")
	}
}

func TestLoadRefusesOtherOptions(t *testing.T) {
	o, p := midway(t)
	state := save(t, p)
	for name, f := range map[string]func(*Options){
		"samples": func(o *Options) { o.Samples++ },
		"policy":  func(o *Options) { o.Policy = PolicyInfoBatch },
		"seed":    func(o *Options) { o.Seed++ },
		"ratio":   func(o *Options) { o.Ratio = 0.1 },
		"holdout": func(o *Options) { o.Holdout = []uint32{1} },
	} {
		other := o
		f(&other)
		err := mustNew(t, other).Load(bytes.NewReader(state))
		if !errors.Is(err, ErrState) || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.Threads = 3 // changes no plan
	must(t, mustNew(t, o).Load(bytes.NewReader(state)))
}

type brokenPipe struct{ left int }

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestSaveReportsTheWritersError(t *testing.T) {
	_, p := midway(t)
	if err := p.Save(&brokenPipe{100}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

// Load leaves what follows the state in a stream.
func TestLoadReadsNoFurther(t *testing.T) {
	o, p := midway(t)
	r := bytes.NewReader(append(save(t, p), "next"...))
	must(t, mustNew(t, o).Load(r))
	if r.Len() != 4 {
		t.Errorf("%d bytes left, want 4", r.Len())
	}
}

// For the race detector: readers beside the training goroutine.
func TestReadersMeanwhile(t *testing.T) {
	_, p := midway(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			p.Stats()
			p.Scores(nil)
			_ = p.Save(io.Discard)
		}
	}()
	for range 200 {
		must(t, p.ObserveSamples([]uint32{1, 2, 3}, []float32{1, 2, 3}))
	}
	<-done
}
