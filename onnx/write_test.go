package onnx

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// everything is a model with each kind of content.
func everything() *Model {
	branch := func(name string) *Graph {
		return &Graph{
			Name: name, Initializers: map[string]*Tensor{name + "_w": FromFloat32([]float32{1}, 1)}, Values: map[string]Value{},
			Nodes:   []*Node{{Name: "inner", Op: "Add", Inputs: []string{"x", name + "_w"}, Outputs: []string{name + "_y"}}},
			Outputs: []Value{{Name: name + "_y", DType: Float32}},
		}
	}
	return &Model{
		IRVersion: 9, Opset: 18, Domains: map[string]int64{"local": 1, "other": 2}, Producer: "winnow",
		Metadata: map[string]string{"b": "2", "a": "1"},
		Functions: []*Function{{
			Name: "F:big", Domain: "local", Inputs: []string{"a"}, Outputs: []string{"b"}, Attrs: []string{"k"},
			Defaults: map[string]Attr{"slope": FloatAttr(0.5)}, Opset: 18, Domains: map[string]int64{},
			Nodes: []*Node{{Name: "l", Op: "LeakyRelu", Inputs: []string{"a"}, Outputs: []string{"b"},
				Attrs: map[string]Attr{"alpha": {Kind: AttrFloat, Ref: "slope"}}}},
		}},
		Graph: &Graph{
			Name:    "g",
			Inputs:  []Value{{Name: "x", DType: Float32, Shape: Shape{Symbol("N"), Const(3)}}, {Name: "c", DType: Bool, Shape: Shape{}}},
			Outputs: []Value{{Name: "z", DType: Float32, Shape: Shape{{N: 2, Sym: "N"}, Const(3)}}},
			Values:  map[string]Value{"y": {Name: "y", DType: Float32, Shape: Shape{Symbol("N"), Const(3)}}},
			Initializers: map[string]*Tensor{
				"w": FromFloat32([]float32{1, 2, 3}, 3), "k": FromInt64([]int64{-1}), "e": NewTensor(Float16, 0, 2),
				"s": {DType: String, Dims: []int64{1}, Strings: []string{"text"}},
			},
			Nodes: []*Node{
				{Name: "f", Op: "F:big", Domain: "local", Inputs: []string{"x"}, Outputs: []string{"f"}, Attrs: map[string]Attr{"k": IntAttr(0)}},
				{Name: "if", Op: "If", Inputs: []string{"c"}, Outputs: []string{"y"},
					Attrs: map[string]Attr{"then_branch": {Kind: AttrGraph, G: branch("t")}, "else_branch": {Kind: AttrGraph, G: branch("e")}}},
				{Name: "all", Op: "Made", Domain: "other", Inputs: []string{"y", "", "w"}, Outputs: []string{"z", ""}, Attrs: map[string]Attr{
					"i": IntAttr(0), "f": FloatAttr(float32(math.Inf(-1))), "s": StringAttr(""), "is": IntsAttr(1, -2),
					"fs": FloatsAttr(0.5), "ss": {Kind: AttrStrings, Strings: []string{"a", ""}}, "t": TensorAttr(FromInt64([]int64{7})),
				}},
			},
		},
	}
}

func TestEncodeRoundTrip(t *testing.T) {
	m := everything()
	data, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, again) {
		t.Errorf("got\n%+v\nwant\n%+v", again, m)
	}
	for range 5 {
		if data2, err := Encode(everything()); err != nil || !bytes.Equal(data, data2) {
			t.Fatal("the bytes differ from one call to the next")
		}
	}
}

func TestEncodeIRVersion(t *testing.T) {
	for from, want := range map[int64]int64{0: 8, 3: 8, 9: 9, 10: 10, 12: 10} {
		m := everything()
		m.IRVersion = from
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(data, ""); err != nil || again.IRVersion != want {
			t.Errorf("from %d: %v, %v", from, again.IRVersion, err)
		}
	}
}

// ONNX Runtime refuses two nodes of one name.
func TestEncodeNodeNames(t *testing.T) {
	relu := func(in, out, name string) *Node {
		return &Node{Name: name, Op: "Relu", Inputs: []string{in}, Outputs: []string{out}}
	}
	m := &Model{Opset: 18, Graph: &Graph{
		Inputs:  []Value{{Name: "x", DType: Float32, Shape: ShapeOf(1)}},
		Outputs: []Value{{Name: "e", DType: Float32, Shape: ShapeOf(1)}},
		Nodes:   []*Node{relu("x", "a", "r"), relu("a", "b", "r_1"), relu("b", "c", "r"), relu("c", "d", ""), relu("d", "e", "")},
	}}
	data, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"r", "r_1", "r_2", "", ""} {
		if got := again.Graph.Nodes[i].Name; got != want {
			t.Errorf("node %d is named %q, want %q", i, got, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(*Model){
		"no graph":        func(m *Model) { m.Graph = nil },
		"short tensor":    func(m *Model) { m.Graph.Initializers["w"].Data = nil },
		"no tensor":       func(m *Model) { m.Graph.Initializers["w"] = nil },
		"unknown element": func(m *Model) { m.Graph.Initializers["w"].DType = 99 },
		"empty attribute": func(m *Model) { m.Graph.Nodes[0].Attrs["k"] = Attr{} },
		"missing graph":   func(m *Model) { m.Graph.Nodes[0].Attrs["k"] = Attr{Kind: AttrGraph} },
	} {
		m := everything()
		change(m)
		if _, err := Encode(m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWriteKeepsOldFileOnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if err := Write(path, everything()); err != nil {
		t.Fatal(err)
	}
	if m, err := Read(path); err != nil || m.Graph.Name != "g" {
		t.Fatal(m, err)
	}
	bad := everything()
	bad.Graph.Initializers["w"] = nil
	if err := Write(path, bad); err == nil {
		t.Fatal("a bad model was written")
	}
	if _, err := Read(path); err != nil {
		t.Error(err)
	}
	if err := Write(filepath.Join(dir, "none", "m.onnx"), everything()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: got %v", err)
	}
	if err := Write(dir, everything()); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) != 0 {
		t.Errorf("files left behind: %v", left)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
}
