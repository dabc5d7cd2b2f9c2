//go:build models

package coverage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// exportEnv makes this binary build one bundle and exit, so that its peak
// memory is that of the export alone: a job as JSON.
const exportEnv = "WINNOW_COVERAGE_EXPORT"

type job struct {
	Model, Folder string
	Frozen        []string // names to freeze
	Trained       []string // names to train
	Output        string   // that the loss is of, "" where the model says it
}

// made is what a job prints.
type made struct {
	Megabytes float64
	Notices   []string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(exportEnv); text != "" {
		var j job
		if err := json.Unmarshal([]byte(text), &j); err != nil {
			panic(err)
		}
		if err := j.run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func (j *job) run() error {
	m, err := wire.Read(j.Model)
	if err != nil {
		return err
	}
	d, err := ortrun.Open(ortrun.Options{Device: "cpu"})
	if err != nil {
		return err
	}
	block := d.ConvBlock()
	if err := d.Close(); err != nil {
		return err
	}
	o := export.Options{
		Name:      "coverage",
		Output:    j.Output,
		Images:    export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
		Optimizer: bundle.Optimizer{Momentum: momentum},
		Blocks:    export.Blocks{Size: int64(block)},
	}
	o.Selection.Freeze, o.Selection.Train = named(j.Frozen), named(j.Trained)
	var done made
	o.Warn = func(text string) { done.Notices = append(done.Notices, text) }
	b, err := export.Build(m, o)
	if err != nil {
		return err
	}
	if err := b.Save(j.Folder); err != nil {
		return err
	}
	done.Megabytes = peak()
	return json.NewEncoder(os.Stdout).Encode(done)
}

// peak is this process's largest resident memory in MB; the usage that the
// system reports of a child also counts its parent before the exec.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// named matches the names alone, nil none.
func named(names []string) *regexp.Regexp {
	if len(names) == 0 {
		return nil
	}
	var quoted []string
	for _, n := range names {
		quoted = append(quoted, regexp.QuoteMeta(n))
	}
	return regexp.MustCompile("^(" + strings.Join(quoted, "|") + ")$")
}

// build exports a model in a process of its own.
func build(t *testing.T, path string, frozen, trained []string, r *row) (*bundle.Bundle, error) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "bundle")
	text, err := json.Marshal(job{Model: path, Folder: folder, Frozen: frozen, Trained: trained, Output: outputs[r.lib+"/"+r.name]})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(os.Args[0])
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), exportEnv+"="+string(text))
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("export: %v: %s", err, strings.TrimSpace(stderr.String()))
	}
	r.seconds = time.Since(start).Seconds()
	var done made
	if err := json.Unmarshal(stdout.Bytes(), &done); err != nil {
		return nil, fmt.Errorf("export: printed %q: %w", stdout.String(), err)
	}
	r.megabytes, r.notices = done.Megabytes, done.Notices
	return bundle.OpenPath(folder)
}

// refusal is the operator of the model that the error names, or nothing where
// it names none, goes on over lines, or is a panic.
func refusal(path, text string) string {
	if strings.Contains(text, "panic") || strings.Contains(text, "runtime error") || strings.Contains(text, "\n") {
		return ""
	}
	m, err := wire.Read(path)
	if err != nil {
		return ""
	}
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9')
	})
	for _, n := range m.Graph.Nodes {
		if slices.Contains(words, n.Op) {
			return n.Op
		}
	}
	return ""
}

// outputs are those that the loss is of, of networks with several that could be.
var outputs = map[string]string{"segmentation/fcn_resnet50_aux": "logits"}

// expected are the refusals: by library, network and exporter the operator.
var expected = map[string]string{
	"modules/deformable_conv/dynamo": "DeformConv",
}
