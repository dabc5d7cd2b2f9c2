package tune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"winnow/models"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

// Forms run in turn, a hopeless one drops out, and the rest run until both
// bounds hold; the times of warm-ups do not count.
func TestMeasure(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		each []time.Duration
		runs []int
	}{
		"one slow":  {[]time.Duration{50 * ms, 101 * ms, 100 * ms}, []int{warmUps + 5, warmUps + 3, warmUps + 5}},
		"very slow": {[]time.Duration{900 * ms, 1000 * ms}, []int{warmUps + minRounds, warmUps + minRounds}},
		"very fast": {[]time.Duration{1, 1}, []int{warmUps + maxRounds, warmUps + maxRounds}},
		"alone":     {[]time.Duration{10 * ms}, []int{warmUps + 30}},
	} {
		t.Run(name, func(t *testing.T) {
			runs, order := make([]int, len(c.each)), []int{}
			got, err := measure(context.Background(), len(c.each), func(i int) (time.Duration, error) {
				runs[i]++
				order = append(order, i)
				if runs[i] <= warmUps {
					return time.Hour, nil
				}
				if runs[i] == warmUps+1 {
					return c.each[i] * 3 / 2, nil // a disturbed run
				}
				return c.each[i], nil
			})
			if err != nil || !slices.Equal(got, c.each) {
				t.Errorf("times %v, want %v; error %v", got, c.each, err)
			}
			if !slices.Equal(runs, c.runs) {
				t.Errorf("runs %v, want %v", runs, c.runs)
			}
			for i := range warmUps * len(c.each) {
				if order[i] != i%len(c.each) {
					t.Errorf("order %v", order[:warmUps*len(c.each)])
					break
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := measure(ctx, 1, func(int) (time.Duration, error) { return ms, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled", err)
	}
	bad := errors.New("bad")
	if _, err := measure(context.Background(), 1, func(int) (time.Duration, error) { return 0, bad }); !errors.Is(err, bad) {
		t.Errorf("error %v, want that of the run", err)
	}
}

func TestFastest(t *testing.T) {
	forms := []string{"a", "b", "c"}
	for want, ms := range map[string]map[string]float64{
		"a": {"a": 100, "b": 98, "c": 99}, // within the margin: the default stays
		"b": {"a": 100, "b": 50, "c": 60},
		"c": {"a": 100, "b": 98, "c": 90},
	} {
		if got := fastest(forms, ms); got != want {
			t.Errorf("%v: %q, want %q", ms, got, want)
		}
	}
}

// lenet builds the model with the forms that choose gives.
func lenet(t *testing.T, block int64, choose func([]autodiff.Case) (*bundle.Tuned, error)) (*bundle.Bundle, error) {
	t.Helper()
	m, err := models.Forward("lenet", 1)
	if err != nil {
		t.Fatal(err)
	}
	return export.Build(m, export.Options{Blocks: export.Blocks{Size: block}, Forms: export.Forms{Tune: choose}})
}

// What is timed once is taken from the cache: the cache's own times come back.
func TestCacheIsTaken(t *testing.T) {
	d := ortest.CPU(t, 1)
	block := int64(d.ConvBlock())
	path := filepath.Join(t.TempDir(), "deep", "tune.json")
	var notices []string
	o := Options{Device: d, BatchSize: 16, Layout: "nchwc", Block: block, Cache: path, Notice: func(s string) { notices = append(notices, s) }}
	choose := func(o Options) *bundle.Tuned {
		b, err := lenet(t, block, func(cases []autodiff.Case) (*bundle.Tuned, error) { return Choose(context.Background(), cases, o) })
		if err != nil {
			t.Fatal(err)
		}
		return b.Manifest.Tuned
	}
	first := choose(o)
	if len(first.Choices) != 5 || first.BatchSize != 16 || first.Threads != 1 || first.Provider != ortrun.CPUProvider || first.Hardware == "" {
		t.Errorf("tuned %+v", first)
	}
	for _, c := range first.Choices {
		if block > 0 && !strings.HasPrefix(c.Key, "nchwc") {
			t.Errorf("%s is of another graph", c.Key)
		}
	}
	c := openCache(path, func(s string) { t.Error(s) })
	at := c.at(first)
	for key, entry := range at { // times that no run would give
		for i, form := range []string{"scatter", "compare", "transpose", "flip", "gemm", "images", "batch", "blocked", "taps"} {
			if _, ok := entry.Milliseconds[form]; ok {
				entry.Milliseconds[form] = float64(1000 * (i + 1))
			}
		}
		at[key] = entry
	}
	c.changed = true
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	for _, choice := range choose(o).Choices {
		if want := map[string]string{"MaxPool": "scatter", "Conv data": "transpose", "Conv filter": "gemm"}[gradient(choice.Key)]; choice.Form != want {
			t.Errorf("%s: %q, and the cache has %q as the fastest", choice.Key, choice.Form, want)
		}
	}
	stale := first.Choices[0].Key // its graphs are written in another way since
	at[stale] = timed{Graphs: "other", Milliseconds: at[stale].Milliseconds}
	c.changed = true
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if got := choose(o); got.Choices[0].Milliseconds["scatter"] >= 1000 || got.Choices[1].Milliseconds["transpose"] < 1000 {
		t.Errorf("times of other graphs are taken: %+v", got.Choices[:2])
	}
	again := o
	again.Again = true
	if got := choose(again); got.Choices[0].Milliseconds["scatter"] >= 1000 {
		t.Errorf("not timed anew: %+v", got.Choices[0])
	}
	other := o
	other.BatchSize = 32
	if got := choose(other); got.Choices[0].Milliseconds["scatter"] >= 1000 {
		t.Error("times of other batches are taken")
	}
	if len(notices) > 0 {
		t.Errorf("notices %q", notices)
	}

	for _, text := range []string{"{", `{"format":"winnow.tune/9"}`, `{"places":7}`, `{"format":"winnow.tune/1","places":{"x":null}}`} {
		notices = nil
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := choose(o); len(got.Choices) != 5 {
			t.Errorf("cache %q: %+v", text, got)
		}
		if (len(notices) == 1) != (len(text) < 60 && !strings.Contains(text, "null")) {
			t.Errorf("cache %q: notices %q", text, notices)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".tune*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func gradient(key string) string {
	key = key[strings.IndexAny(key, "CM"):]
	return key[:strings.Index(key, ":")]
}

// An end before time leaves what was timed in the cache, and no choice.
func TestInterrupted(t *testing.T) {
	d := ortest.CPU(t, 1)
	path := filepath.Join(t.TempDir(), "tune.json")
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Device: d, BatchSize: 2, Layout: "portable", Cache: path, Progress: func(done, cases int) {
		if done == 2 {
			cancel()
		}
	}}
	_, err := lenet(t, 0, func(cases []autodiff.Case) (*bundle.Tuned, error) { return Choose(ctx, cases, o) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled", err)
	}
	c := openCache(path, func(s string) { t.Error(s) })
	for _, at := range c.Places {
		if len(at) != 2 {
			t.Errorf("%d cases in the cache, want the 2 that were done", len(at))
		}
	}
	if len(c.Places) != 1 {
		t.Errorf("places %v", reflect.ValueOf(c.Places).MapKeys())
	}
}
