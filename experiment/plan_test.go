package experiment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/prune"
)

func runNames(p *Plan) string {
	var all []string
	for _, r := range p.Runs {
		all = append(all, r.Name)
	}
	return strings.Join(all, " ")
}

func TestComplete(t *testing.T) {
	p := Plan{Methods: []string{"random", "none", "random"}, Ratios: []float64{0.3, 0.5}, Seeds: []uint64{4, 5, 4}}
	if err := p.Complete(); err != nil {
		t.Fatal(err)
	}
	// Full training has no ratio, and comes first for each seed.
	if got := runNames(&p); got != "none-s4 random-r0.3-s4 random-r0.5-s4 none-s5 random-r0.3-s5 random-r0.5-s5" {
		t.Error(got)
	}
	p = Plan{Methods: []string{"bls-infobatch", "das-ucb"}, Seeds: []uint64{0}}
	if err := p.Complete(); err != nil || runNames(&p) != "bls-infobatch-s0 das-ucb-s0" {
		t.Error(runNames(&p), err)
	}
	p = Plan{Flags: map[string]string{"data": "glyphs"}, Methods: []string{"none", "random"}, Noise: []string{"0", "pairflip:0.2"}, Seeds: []uint64{0}}
	if err := p.Complete(); err != nil || runNames(&p) != "none-s0 random-s0 none-npairflip-0.2-s0 random-npairflip-0.2-s0" {
		t.Error(runNames(&p), err)
	}
	spelled := Plan{Flags: p.Flags, Methods: []string{"none"}, Noise: []string{"0.2", "symmetric:0.20", "0", "pairflip:0.0"}, Seeds: []uint64{0}}
	if err := spelled.Complete(); err != nil || runNames(&spelled) != "none-n0.2-s0 none-s0" {
		t.Error(runNames(&spelled), err)
	}
	for i, want := range []string{"glyphs", "glyphs", "glyphs:noise=pairflip:0.2", "glyphs:noise=pairflip:0.2"} {
		if got := p.flags(&p.Runs[i])["data"]; got != want {
			t.Errorf("%s: data %s", p.Runs[i].Name, got)
		}
	}
	for _, c := range []struct {
		p    Plan
		want error
	}{
		{Plan{Methods: []string{"none"}, Noise: []string{"0.2"}, Seeds: []uint64{0}}, ErrPlan},
		{Plan{Flags: p.Flags, Methods: []string{"none"}, Noise: []string{"2"}, Seeds: []uint64{0}}, ErrPlan},
		{Plan{Methods: []string{"nothing"}, Seeds: []uint64{0}}, prune.ErrMethod},
		{Plan{Methods: []string{"none"}}, ErrPlan},
		{Plan{Methods: []string{"random"}, Ratios: []float64{1.5}, Seeds: []uint64{0}}, ErrPlan},
		{Plan{Methods: []string{"none"}, Seeds: make([]uint64, 0)}, ErrPlan},
	} {
		if err := c.p.Complete(); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.p, err)
		}
	}
}

func TestFolds(t *testing.T) {
	p := Plan{Methods: []string{"none"}, Seeds: []uint64{7}, Folds: 3}
	if err := p.Complete(); err != nil || runNames(&p) != "none-s7-f1 none-s7-f2 none-s7-f3" || p.flags(&p.Runs[1])["leave-out"] != "2/3" {
		t.Error(runNames(&p), err)
	}
	other := Plan{Methods: []string{"none"}, Seeds: []uint64{7}, Folds: 5}
	if err := other.Join(&p); !errors.Is(err, ErrOther) {
		t.Error(err)
	}
	for _, n := range []int{-1, 101} {
		if err := (&Plan{Methods: []string{"none"}, Seeds: []uint64{7}, Folds: n}).Complete(); !errors.Is(err, ErrPlan) {
			t.Errorf("%d folds: %v", n, err)
		}
	}
}

func TestArguments(t *testing.T) {
	p := Plan{Flags: map[string]string{"bundle": "my model", "amp": "true", "prune-delta": "1"}, Methods: []string{"random"}, Ratios: []float64{0.25}, Seeds: []uint64{7}}
	if err := p.Complete(); err != nil {
		t.Fatal(err)
	}
	want := []string{"train", "--amp=true", "--bundle=my model", "--prune=random", "--prune-delta=1", "--prune-ratio=0.25", "--seed=7",
		"--resume=auto", "--report=false", "--out=x/y"}
	if got := p.args(&p.Runs[0], "x/y"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestJoin(t *testing.T) {
	there := t.TempDir()
	was := Plan{Dir: there, Flags: map[string]string{"lr": "0.1"}, Methods: []string{"none", "random"}, Seeds: []uint64{0}}
	more := Plan{Dir: "/here", Flags: map[string]string{"lr": "0.1"}, Methods: []string{"none", "static"}, Seeds: []uint64{0, 1}}
	if err := more.Join(&was); err != nil || more.Dir != there ||
		runNames(&more) != "none-s0 random-s0 static-s0 none-s1 random-s1 static-s1" {
		t.Error(runNames(&more), err)
	}
	for _, flags := range []map[string]string{nil, {"lr": "0.2"}, {"lr": "0.1", "amp": "true"}} {
		p := Plan{Flags: flags, Methods: []string{"none"}, Seeds: []uint64{0}}
		if err := p.Join(&was); !errors.Is(err, ErrOther) {
			t.Errorf("%v: %v", flags, err)
		}
	}
	noisy := Plan{Flags: map[string]string{"lr": "0.1", "data": "x"}, Methods: []string{"none"}, Noise: []string{"0.4"}, Seeds: []uint64{0}}
	was.Flags = noisy.Flags
	if err := noisy.Join(&was); err != nil || runNames(&noisy) != "none-s0 random-s0 none-n0.4-s0 random-n0.4-s0" {
		t.Error(runNames(&noisy), err)
	}
	p := Plan{Flags: was.Flags, Methods: []string{"none"}, Ratios: []float64{0.5}, Seeds: []uint64{0}}
	if err := p.Join(&was); !errors.Is(err, ErrOther) {
		t.Error(err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, text := range []string{
		"", "{}", "[]", `{"format": "winnow.experiment/2"}`,
		`{"format": "winnow.experiment/1", "methods": ["none"], "seeds": []}`,
		`{"format": "winnow.experiment/1", "methods": ["none"], "seeds": [-1]}`,
		`{"format": "winnow.experiment/1", "methods": ["random"], "ratios": [2], "seeds": [1]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, PlanFile), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrPlan) {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	notes := map[string]int{}
	said := tail{note: func(text string) { notes[text]++ }}
	for range 3000 {
		_, _ = said.Write([]byte("note: much"))
		_, _ = said.Write([]byte(" text\nno note: text\nnote: "))
		_, _ = said.Write([]byte("more\n"))
	}
	if len(notes) != 2 || notes["much text"] != 3000 || notes["more"] != 3000 {
		t.Error(notes)
	}
	_, _ = said.Write(bytes.Repeat([]byte("long"), maxTail))
	_, _ = said.Write([]byte("\n"))
	_, _ = said.Write([]byte("winnow: data \"x\": it is\n"))
	_, _ = said.Write([]byte(" not there\nwinnow: done\n"))
	if got := said.last("-"); got != "done" || len(said.text) > maxTail {
		t.Errorf("%q, %d bytes", got, len(said.text))
	}
	if got := new(tail).last("exit status 7"); got != "exit status 7" {
		t.Error(got)
	}
}
