package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// state are good files that the program has written for itself: they come back as
// a cache, a plan, times, weights to start from, or what a report is made of.
type state struct {
	images        string // the shards that the cache is of
	cache, logged tree
	experiment    tree
	times         []byte
	metrics       string // of a run on the images, see outcomeOf
}

func newState(winnow, dir string, g *good) (*state, error) {
	s := &state{images: filepath.Join(dir, "images")}
	at := func(name string) string { return filepath.Join(dir, name) }
	cpu := []string{"--device", "cpu", "--threads", "1", "--batch-size", "8"}
	for _, args := range [][]string{
		{"data", "convert", "mnist:" + g.data, "tar:" + s.images},
		slices.Concat([]string{"WINNOW_CACHE=" + at("cache"), "train", "--bundle", g.bundle, "--data", "tar:" + s.images, "--epochs", "1", "-o", at("cached")}, cpu),
		slices.Concat([]string{"train", "--bundle", g.bundle, "--data", "mnist:" + g.data, "--epochs", "2", "--log", "tensorboard", "--prune", "infobatch", "-o", at("logged")}, cpu),
		slices.Concat([]string{"experiment", "--bundle", g.bundle, "--data", "mnist:" + g.data, "--epochs", "1", "--methods", "random", "--ratios", "0.5", "--seeds", "1", "-o", at("experiment")}, cpu),
		{"tune", g.bundle, "-o", at("tuned"), "--tune-cache", at("tune.json"), "--batch-size", "8", "--device", "cpu", "--threads", "1"},
	} {
		if text, err := command(context.Background(), winnow, args).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w: %s", args, err, text)
		}
	}
	for name, into := range map[string]*tree{"cache": &s.cache, "logged": &s.logged, "experiment": &s.experiment} {
		var err error
		if *into, err = readTree(at(name)); err != nil {
			return nil, err
		}
	}
	var err error
	if s.times, err = os.ReadFile(at("tune.json")); err != nil {
		return nil, err
	}
	s.metrics, err = outcomeOf(at("cached"))
	return s, err
}

// outcomeOf is what a run came to, without times.
func outcomeOf(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for line := range bytes.Lines(text) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			return "", err
		}
		maps.DeleteFunc(v, func(key string, _ any) bool { return strings.HasSuffix(key, "_seconds") })
		fmt.Fprintln(&b, v)
	}
	return b.String(), nil
}

// command is the program with arguments, before which variables of its environment may stand.
func command(ctx context.Context, winnow string, args []string) *exec.Cmd {
	n := 0
	for n < len(args) && strings.Contains(args[n], "=") {
		n++
	}
	cmd := exec.CommandContext(ctx, winnow, args[n:]...)
	cmd.Env = append(os.Environ(), args[:n]...)
	return cmd
}

// written are broken files that the program has written for itself.
func written(g *good) []*sample {
	s := g.state
	var list []*sample
	put := func(t tree, kind string, of subject, path, file string, seed uint64, more ...change) {
		data := t[file]
		changes := slices.Concat(cuts(data, 10), flips(data, 20, seed), flips(data[:min(len(data), 64)], 8, seed+1), strange(), more,
			[]change{{"bytes at the end", append(slices.Clone(data), 1, 2)}, {"twice", slices.Concat(data, data)}})
		for _, c := range changes {
			if len(data) > 64 && len(c.data) == 64 && strings.HasPrefix(c.name, "bit") { // of the beginning
				c.data = slices.Concat(c.data, data[64:])
			}
			list = append(list, t.in(kind, c.name, of, "", path, file, c.data))
		}
		list = append(list, t.placed(kind, of, "", path, file)...)
	}
	for i, file := range slices.Sorted(maps.Keys(s.cache)) {
		data := s.cache[file]
		var more []change
		if end := len(data) - 700; end > 0 { // entries, description, footer
			for _, c := range flips(data[end:], 30, uint64(i)+700) {
				more = append(more, change{c.name + " of the end", slices.Concat(data[:end], c.data)})
			}
		}
		put(s.cache, "data cache", aCache, "", file, uint64(i)+710, more...)
		part := tree{file + ".part": data[:len(data)/2]}
		put(part, "data cache, unfinished", aCache, "", file+".part", uint64(i)+720)
	}
	put(s.experiment, "experiment, plan.json", aPlan, "", "plan.json", 730, some(jsonChanges(s.experiment["plan.json"]), 60)...)
	put(tree{"tune.json": s.times}, "tune.json", aTuneCache, "tune.json", "tune.json", 740, some(jsonChanges(s.times), 40)...)
	weights := g.runTree["checkpoints/2-0/state.safetensors"]
	put(tree{"w.safetensors": weights}, "weights to start from", aStart, "w.safetensors", "w.safetensors", 750, headers(weights)...)
	put(tree{"w.onnx": g.runTree["model.onnx"]}, "weights to start from", aStart, "w.onnx", "w.onnx", 760)
	for i, file := range slices.Sorted(maps.Keys(s.logged)) {
		switch name := path.Base(file); {
		case strings.Contains(name, "tfevents"), name == "metrics.csv":
			put(s.logged, "run, its logs", aLog, "", file, uint64(i)+770)
		case path.Dir(file) == "checkpoints/2-0":
			put(s.logged, "run, to report of", aReport, "", file, uint64(i)+780)
		case name == "summary.json":
			put(s.logged, "run, to report of", aReport, "", file, uint64(i)+790, some(jsonChanges(s.logged[file]), 40)...)
		}
	}
	return list
}
