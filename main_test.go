package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/wire"
	"winnow/runtime/ortest"
)

// asProgram makes the test binary behave as the program, for tests that need a
// process of their own: the library can be loaded only once in each.
const asProgram = "WINNOW_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

type outcome struct {
	code           int
	stdout, stderr string
}

// winnow runs one command line in this process.
func winnow(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), append([]string{"winnow"}, args...), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// program is the command line as a process of its own.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// fails checks the exit code and that the error is one line with the words in it.
func (o outcome) fails(t *testing.T, code int, words ...string) {
	t.Helper()
	last := o.stderr
	if i := strings.LastIndex(strings.TrimSpace(o.stderr), "\n"); i >= 0 {
		last = strings.TrimSpace(o.stderr)[i+1:]
	}
	if o.code != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", o.code, code, o.stderr)
	}
	if !strings.HasPrefix(last, "winnow: ") || strings.Count(o.stderr, "winnow: ") != 1 {
		t.Errorf("want one line that starts with winnow:, got\n%s", o.stderr)
	}
	if strings.Contains(o.stderr, "goroutine") {
		t.Errorf("a stack trace:\n%s", o.stderr)
	}
	for _, w := range words {
		if !strings.Contains(last, w) {
			t.Errorf("the error does not say %q:\n%s", w, last)
		}
	}
}

func (o outcome) succeeds(t *testing.T) outcome {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", o.code, o.stderr)
	}
	return o
}

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// lenet is a forward model as PyTorch exports it.
func lenet(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open("onnx/export/testdata/lenet.t113.onnx.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// absent checks that a failed command left nothing behind.
func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s was left behind", path)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("temporary files were left behind: %v", left)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"trian"}, []string{`"trian"`, `did you mean "train"`}},
		{[]string{"train", "--noise", "0.2"}, []string{`"--noise"; wrong labels`, "noise=0.2"}},
		{[]string{"train", "--optimizer", "sgd"}, []string{"did you mean --opt?"}},
		{[]string{"data", "lst"}, []string{`"lst"`, `"list"`}},
		{[]string{"train", "--epoch", "3"}, []string{`"--epoch"`, "did you mean --epochs", "winnow train --help"}},
		{[]string{"train", "--epochs", "three", "--bundle", "lenet"}, []string{"--epochs", "three"}},
		{[]string{"train", "--bundle", "lenet", "--epochs"}, []string{"needs an argument", "--epochs"}},
		{[]string{"train"}, []string{"--bundle", "lenet", "resnet8"}},
		{[]string{"train", "surplus"}, []string{`"surplus"`}},
		{[]string{"train", "--bundle", "lenet", "--prune", "infobach"}, []string{"infobach", "bls-infobatch"}},
		{[]string{"train", "--bundle", "lenet", "--data", "imagenet"}, []string{"imagenet", "fashion-mnist"}},
		{[]string{"train", "--bundle", "lenet", "--device", "tpu"}, []string{"tpu", "cuda"}},
		{[]string{"train", "--bundle", "lenet", "--cuda-option", "use_tf3=0"}, []string{`"use_tf3"`, "there are arena_extend_strategy", "use_tf32"}},
		{[]string{"doctor", "--cuda-option", "use_tf32=off"}, []string{`"use_tf32"`, `"off"`, "0 or 1"}},
		{[]string{"doctor", "--cuda-option", "use_tf32"}, []string{"KEY=VALUE"}},
		{[]string{"doctor", "--cuda-option", "use_tf32=0", "--cuda-option", "use_tf32=1"}, []string{"twice"}},
		{[]string{"doctor", "--cuda-option", "use_tf32=0", "--tf32=false"}, []string{"--tf32", "use_tf32"}},
		{[]string{"doctor", "--cuda-option", "enable_cuda_graph=1"}, []string{"--cuda-graph"}},
		{[]string{"doctor", "--device", "cpu", "--cuda-graph"}, []string{"CUDA graph", `"cpu"`}},
		{[]string{"doctor", "--device", "cpu", "--tf32=false"}, []string{"CUDA options", `"cpu"`}},
		{[]string{"train", "--bundle", "lenet", "--momentum", "1.5"}, []string{"momentum", "1.5"}},
		{[]string{"train", "--bundle", "lenet", "--amp", "--amp-dtype", "half"}, []string{"--amp-dtype", `"half"`, "float16, bfloat16"}},
		{[]string{"train", "--bundle", "lenet", "--amp", "--amp-dtype"}, []string{"needs an argument", "--amp-dtype"}},
		{[]string{"train", "--bundle", "lenet", "--amp-dtype", "float16"}, []string{"--amp-dtype", "only with --amp"}},
		{[]string{"export", "a.onnx", "--model-ema-decay", "0.9"}, []string{"--model-ema-decay", "only with --model-ema"}},
		{[]string{"export", "a.onnx", "--model-ema", "--model-ema-decay", "1"}, []string{"--model-ema-decay 1", "below 1"}},
		{[]string{"export", "a.onnx", "--amp", "--amp-dtype=float32"}, []string{"--amp-dtype", `"float32"`, "float16, bfloat16"}},
		{[]string{"train", "--bundle", "a.onnx"}, []string{"--data", `"a.onnx"`, "glyphs"}},
		{[]string{"train", "--bundle", "a.onnx", "-d", "glyphs", "--init-seed", "1"}, []string{"--init-seed", "--reinit"}},
		{[]string{"eval", "lenet", "--split", "val"}, []string{"--split", `"val"`, "train, test"}},
		{[]string{"data", "show", "--split", "val"}, []string{"--split", `"val"`}},
		{[]string{"export", "a.onnx", "--init-seed", "1"}, []string{"--init-seed", "only with --reinit"}},
		{[]string{"train", "--bundle", "lenet", "--limit-train", "-1"}, []string{"--limit-train"}},
		{[]string{"train", "--bundle", "lenet", "--prune-alpha", "0"}, []string{"--prune-alpha"}},
		{[]string{"train", "--bundle", "lenet", "--prune-window", "0"}, []string{"--prune-window"}},
		{[]string{"eval", "lenet", "--batch-size", "0"}, []string{"--batch-size"}},
		{[]string{"inspect", "lenet", "--costs", "--batch-size", "0"}, []string{"--batch-size 0", "1 or more"}},
		{[]string{"inspect", "lenet", "--costs", "--batch-size", "99999999"}, []string{"--batch-size 99999999"}},
		{[]string{"inspect", "lenet", "--costs", "--steps", "0"}, []string{"--steps 0", "1 to 1000"}},
		{[]string{"inspect", "lenet", "--costs", "--steps", "1001"}, []string{"--steps 1001"}},
		{[]string{"inspect", "lenet", "--costs", "--top", "0"}, []string{"--top 0"}},
		{[]string{"inspect", "lenet", "--costs", "--threads", "-1"}, []string{"--threads -1"}},
		{[]string{"inspect", "lenet", "--costs", "--device", "tpu"}, []string{"tpu", "cuda"}},
		{[]string{"inspect", "lenet", "--steps", "3"}, []string{"--steps", "only with --costs"}},
		{[]string{"inspect", "lenet", "--profile-out", "x.json"}, []string{"--profile-out", "only with --costs"}},
		{[]string{"inspect", "--costs"}, []string{"a model or a bundle"}},
		{[]string{"export", "a.onnx", "--reinit", "--init-seed", "-5"}, []string{"--init-seed"}},
		{[]string{"export", "a.onnx", "--pixel-scale", "0"}, []string{"--pixel-scale"}},
		{[]string{"export"}, []string{"export", "--help"}},
		{[]string{"export", "a.onnx", "b.onnx"}, []string{`"b.onnx"`}},
		{[]string{"export", "a.onnx", "-o"}, []string{"needs an argument", "-o"}},
		{[]string{"compare"}, []string{"run"}},
		{[]string{"help", "nothing"}, []string{"nothing"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			winnow(t, c.args...).fails(t, exitUsage, c.want...)
		})
	}
}

func TestHelpAndCompletion(t *testing.T) {
	all := winnow(t, "--help").succeeds(t).stdout
	for _, name := range []string{"export", "inspect", "train", "eval", "compare", "experiment", "scores", "data", "doctor", "version"} {
		if !strings.Contains(all, name) {
			t.Errorf("--help does not list %s", name)
		}
		help := winnow(t, name, "--help").succeeds(t).stdout
		if !strings.Contains(help, "Usage: winnow ") || !strings.Contains(help, "Exit codes: 0 done, ") {
			t.Errorf("%s --help:\n%s", name, help)
		}
	}
	if help := winnow(t, "train", "--help").stdout; !strings.Contains(help, "Examples:") || !strings.Contains(help, "bls-infobatch") {
		t.Errorf("train --help has no examples or methods:\n%s", help)
	}
	// The library that completes looks at the process's own arguments.
	for _, c := range []struct {
		args []string
		want string
	}{{[]string{"--generate-bash-completion"}, "train\n"}, {[]string{"train", "--ba", "--generate-bash-completion"}, "--batch-size\n"}} {
		words, err := program(c.args...).Output()
		if err != nil || !strings.Contains(string(words), c.want) {
			t.Errorf("completion of %v offers %q, %v", c.args, words, err)
		}
	}
}

func TestBadModels(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out", "bundle")
	if err := os.Mkdir(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	good := lenet(t)
	unknown, err := wire.Decode(good, "")
	if err != nil {
		t.Fatal(err)
	}
	ops := []string{"Det", "Bernoulli"}
	for i, n := range slices.DeleteFunc(slices.Clone(unknown.Graph.Nodes), func(n *onnx.Node) bool { return n.Op != "Relu" })[:2] {
		n.Op = ops[i]
	}
	odd, err := wire.Encode(unknown)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want []string
	}{
		{"text.onnx", []byte("# not a model, but a page of text about one\n"), []string{"text.onnx"}},
		{"empty.onnx", nil, []string{"empty.onnx"}},
		{"short.onnx", good[:len(good)/2], []string{"short.onnx", "cut short"}},
		{"odd.onnx", odd, ops},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, filepath.Join(dir, c.name), c.data)
			winnow(t, "export", path, "-o", out).fails(t, exitInput, c.want...)
			absent(t, out)
			winnow(t, "train", "--bundle", path, "--data", "glyphs", "--out", out).fails(t, exitInput, c.want...)
			absent(t, out)
			o := winnow(t, "inspect", path)
			if o.code != exitInput || strings.Contains(o.stdout, "It can be trained") {
				t.Errorf("inspect: exit code %d\n%s", o.code, o.stdout)
			}
		})
	}
	winnow(t, "export", filepath.Join(dir, "none.onnx"), "-o", out).fails(t, exitInput, "none.onnx")
	winnow(t, "train", "--bundle", "lennet", "--data", "glyphs").fails(t, exitInput, "lennet", "lenet", "resnet8")
	winnow(t, "train", "--bundle", dir, "--data", "glyphs").fails(t, exitInput, dir, "bundle.json")
}

func TestBadData(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	idx := func(magic uint32, body []byte, dims ...uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, magic)
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, d)
		}
		return append(b, body...)
	}
	const n, images, labels = 4, 0x803, 0x801
	pixels, classes := make([]byte, n*28*28), []byte{0, 1, 2, 3}
	files := func(name string, trainImages, trainLabels []byte) string {
		folder := filepath.Join(dir, name)
		write(t, filepath.Join(folder, "train-images-idx3-ubyte"), trainImages)
		write(t, filepath.Join(folder, "train-labels-idx1-ubyte"), trainLabels)
		write(t, filepath.Join(folder, "t10k-images-idx3-ubyte"), idx(images, pixels, n, 28, 28))
		write(t, filepath.Join(folder, "t10k-labels-idx1-ubyte"), idx(labels, classes, n))
		return "mnist:" + folder
	}
	goodImages, goodLabels := idx(images, pixels, n, 28, 28), idx(labels, classes, n)
	for _, c := range []struct {
		name, data string
		want       []string
	}{
		{"cut", files("cut", goodImages[:1000], goodLabels), []string{"train-images-idx3-ubyte"}},
		{"swapped", files("swapped", goodLabels, goodImages), []string{"train-"}},
		{"range", files("range", goodImages, idx(labels, []byte{0, 1, 2, 200}, n)), []string{"200"}},
		{"fewer labels", files("fewer", goodImages, idx(labels, classes[:3], 3)), []string{"3", "4"}},
		{"missing", "mnist:" + filepath.Join(dir, "nowhere"), []string{"nowhere"}},
		{"shape", "glyphs:color=rgb,train=256,test=64", []string{"3", "32", "28"}},
		{"classes", "glyphs:classes=36,train=256,test=64", []string{"36", "10"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(dir, "out-"+strings.ReplaceAll(c.name, " ", ""))
			winnow(t, "train", "--bundle", "lenet", "--data", c.data, "--epochs", "1", "--device", "cpu", "-q", "--out", out).fails(t, exitInput, c.want...)
			absent(t, filepath.Join(out, "summary.json"))
		})
	}
}

const tinyData = "glyphs:train=256,test=64"

// Costs of a shipped model, a bundle and an exported model: a table for
// people, the same numbers for programs, and the profile they come from.
func TestInspectCosts(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	model, folder, trace := write(t, filepath.Join(dir, "model.onnx"), lenet(t)), filepath.Join(dir, "bundle"), filepath.Join(dir, "trace.json")
	winnow(t, "export", model, "-o", folder).succeeds(t)
	costs := func(path string, more ...string) []string {
		return append([]string{"inspect", path, "--costs", "--device", "cpu", "--threads", "1", "--batch-size", "4", "--steps", "2"}, more...)
	}
	type cost struct {
		Name  string
		MS    float64
		Parts map[string]float64 `json:"parts_ms"`
	}
	for _, path := range []string{"lenet", folder, model} {
		var c struct {
			Device    string
			Batch     int     `json:"batch_size"`
			NodesMS   float64 `json:"nodes_ms"`
			Operators []cost
			Layers    []cost
			Nodes     []cost
		}
		text := winnow(t, costs(path, "--json")...).succeeds(t).stdout
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v\n%s", path, err, text)
		}
		for _, list := range [][]cost{c.Operators, c.Layers, c.Nodes} {
			sum := 0.0
			for _, x := range list {
				sum += x.MS
			}
			if sum == 0 || math.Abs(sum-c.NodesMS) > 1e-9 {
				t.Errorf("%s: a list adds up to %v ms of %v", path, sum, c.NodesMS)
			}
		}
		i := slices.IndexFunc(c.Operators, func(x cost) bool { return x.Name == "Conv" })
		if c.Device != "cpu" || c.Batch != 4 || i < 0 || c.Operators[i].Parts["forward"] == 0 || c.Operators[i].Parts["backward"] == 0 {
			t.Errorf("%s:\n%s", path, text)
		}
	}

	text := winnow(t, costs(model, "--top", "3", "--profile-out", trace)...).succeeds(t).stdout
	for _, want := range []string{"step of 4 on cpu, 1 thread, layout ", "median of 2", "by operator", "by layer", "forward", "backward", "update", "Conv", "more operators", "more layers"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	_, table, _ := strings.Cut(text, "by operator\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) != 1+3+1+2 {
		t.Errorf("%d rows:\n%s", len(rows), table)
	}
	for _, column := range []string{" all", " share", " nodes", " forward", " backward"} { // numbers end where their head ends
		end := strings.Index(rows[0], column) + len(column)
		for _, row := range rows[1 : len(rows)-1] {
			if len(row) >= end && (row[end-1] == ' ' && strings.TrimSpace(row[end-min(end, 6):end]) != "" || len(row) > end && row[end] != ' ') {
				t.Errorf("%q does not end with %q", row, rows[0][:end])
			}
		}
	}
	data, err := os.ReadFile(trace)
	if err != nil || !json.Valid(data) || !bytes.Contains(data, []byte("_kernel_time")) {
		t.Errorf("the profile kept: %v, %d bytes", err, len(data))
	}
	winnow(t, costs("lenet", "--profile-out", filepath.Join(model, "trace"))...).fails(t, exitUsage, "trace")
	winnow(t, costs("lenett")...).fails(t, exitInput, "lenett", "resnet8")
	winnow(t, costs(trace)...).fails(t, exitInput, "trace.json")
	if left, _ := filepath.Glob(filepath.Join(dir, ".winnow-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRuntimeLibrary(t *testing.T) {
	dir := t.TempDir()
	check := func(library string, words ...string) {
		t.Helper()
		for _, args := range [][]string{tinyTrain(filepath.Join(dir, "run")), {"doctor"}} {
			cmd := program(append(args, "--runtime-library", library)...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run() // the exit code is what is checked
			o := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
			if args[0] == "doctor" {
				if o.code != exitRuntime {
					t.Errorf("doctor: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
				}
				continue
			}
			o.stderr = o.stderr[strings.LastIndex(strings.TrimSpace(o.stderr), "\n")+1:]
			o.fails(t, exitRuntime, append(words, "winnow setup")...)
		}
		absent(t, filepath.Join(dir, "run", "summary.json"))
	}
	check(filepath.Join(dir, "none.so"), "none.so")
	check(write(t, filepath.Join(dir, "text.so"), []byte("no library")), "text.so")

	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Fatalf("an old library is faked with the C compiler that the program needs too: %v", err)
	}
	source := write(t, filepath.Join(dir, "old.c"), []byte(`
#include <stdint.h>
#include <stddef.h>
typedef struct { const void *(*get_api)(uint32_t); const char *(*get_version)(void); } base;
static const void *api(uint32_t v) { (void)v; return NULL; }
static const char *version(void) { return "1.16.3"; }
static const base b = { api, version };
const base *OrtGetApiBase(void) { return &b; }
`))
	old := filepath.Join(dir, "libold.so")
	if text, err := exec.Command(cc, "-shared", "-fPIC", "-o", old, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	check(old, "1.16.3", "1.24")
}

// ONNX Runtime's telemetry is off: it leaves an identifier and a log among the
// temporary files where it is on.
func TestNoTelemetry(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	cmd := program("doctor")
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%d files are left, the first is %s", len(left), left[0].Name())
	}
}
