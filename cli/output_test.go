package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/printable"
	"winnow/onnx"
	"winnow/onnx/wire"
)

// Commands to a terminal, in each of the ways that a file may spell them.
const commands = "\x1b[2J\x1b]0;title\a\u009b31m\x7f\u202e\xff\r"

// rawFree fails where text holds anything but printable characters and line ends.
func rawFree(t *testing.T, what, text string) {
	t.Helper()
	if bare := strings.ReplaceAll(text, "\n", ""); printable.Escape(bare) != bare {
		t.Errorf("%s: raw characters in %q", what, text)
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

func TestTextsFromFilesAreEscaped(t *testing.T) {
	for _, color := range []bool{false, true} {
		var stdout, stderr bytes.Buffer
		o := newOutput(&stdout, &stderr)
		type name string
		for _, a := range []any{commands, name(commands), errors.New(commands), stringer(commands)} {
			o.printf("%s|%10v\n", a, a)
			o.notef("%v", a)
		}
		o.table([][]string{{commands, "a\nb\tc"}, {"x", commands}})
		o.columns("lr", [][]string{{commands, commands}})
		o.lines("one\n" + strings.ReplaceAll(commands, "\n", "") + "\n")
		rawFree(t, "stdout", stdout.String())
		rawFree(t, "stderr", stderr.String())
		if !strings.Contains(stdout.String(), `\x1b[2J`) {
			t.Errorf("not escaped but gone: %q", stdout.String())
		}
		o.color = color
		if got := o.style(styleRed, commands); strings.Count(string(got), "\x1b") != map[bool]int{false: 0, true: 2}[color] {
			t.Errorf("styled with color %v: %q", color, got)
		}
	}
}

func TestJSONIsEscapedAndKeepsItsValue(t *testing.T) {
	var stdout bytes.Buffer
	o := newOutput(&stdout, &stdout)
	want := map[string]string{"a": "\x1b[2J\u009b\x7f\u202e\U000E0041 größe\n"}
	if err := o.printJSON(want); err != nil {
		t.Fatal(err)
	}
	rawFree(t, "JSON", stdout.String())
	var got map[string]string
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || got["a"] != want["a"] {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMessagesAreOfBoundedLength(t *testing.T) {
	var stdout bytes.Buffer
	o := newOutput(&stdout, &stdout)
	o.printf("%s\n", strings.Repeat("x", 1<<20))
	o.table([][]string{{strings.Repeat("y", 1<<20), "z"}})
	printProblems(o, make([]string, 10000))
	if n := stdout.Len(); n > 5000 {
		t.Errorf("%d bytes", n)
	}
	for _, want := range []string{"(1046576 characters more)", "and 9900 more"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q", want)
		}
	}
}

// A good model of which every name that is shown holds commands.
func TestInspectEscapes(t *testing.T) {
	commands := strings.ReplaceAll(commands, "\xff", "") // protobuf writes UTF-8 only
	n := onnx.Symbol("N" + commands)
	g := &onnx.Graph{
		Name:    commands,
		Inputs:  []onnx.Value{{Name: "in" + commands, DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(4)}}},
		Outputs: []onnx.Value{{Name: "out" + commands, DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(4)}}},
		Nodes: []*onnx.Node{
			{Name: "node" + commands, Op: "Relu", Inputs: []string{"in" + commands}, Outputs: []string{"out" + commands}},
			{Name: commands, Op: "Op" + commands, Domain: commands, Inputs: []string{"in" + commands}, Outputs: []string{"b" + commands}},
		},
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	data, err := wire.Encode(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, asJSON := range []bool{false, true} {
		var stdout, stderr bytes.Buffer
		err := runInspect(context.Background(), inspectOptions{Path: path, JSON: asJSON, BatchSize: 4}, newOutput(&stdout, &stderr))
		if err == nil {
			t.Error("an operator of an unknown domain was accepted")
		}
		rawFree(t, "inspect", stdout.String()+stderr.String())
	}
}

// No p-value is 0.
func TestPText(t *testing.T) {
	for p, want := range map[float64]string{1: "p = 1", 0.0123456: "p = 0.0123", 1e-84: "p = 1e-84", 0: "p < 1e-300"} {
		if got := pText(p); got != want {
			t.Errorf("%v: %s", p, got)
		}
	}
}
