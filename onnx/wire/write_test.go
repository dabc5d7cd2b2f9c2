package wire

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"

	"winnow/onnx"
)

// everything is a model with each kind of content.
func everything() *onnx.Model {
	branch := func(name string) *onnx.Graph {
		return &onnx.Graph{
			Name: name, Initializers: map[string]*onnx.Tensor{name + "_w": onnx.FromFloat32([]float32{1}, 1)}, Values: map[string]onnx.Value{},
			Nodes:   []*onnx.Node{{Name: "inner", Op: "Add", Inputs: []string{"x", name + "_w"}, Outputs: []string{name + "_y"}}},
			Outputs: []onnx.Value{{Name: name + "_y", DType: onnx.Float32}},
		}
	}
	return &onnx.Model{
		IRVersion: 9, Opset: 18, Domains: map[string]int64{"local": 1, "other": 2}, Producer: "winnow",
		Metadata: map[string]string{"b": "2", "a": "1"},
		Functions: []*onnx.Function{{
			Name: "F:big", Domain: "local", Inputs: []string{"a"}, Outputs: []string{"b"}, Attrs: []string{"k"},
			Defaults: map[string]onnx.Attr{"slope": onnx.FloatAttr(0.5)}, Opset: 18, Domains: map[string]int64{},
			Nodes: []*onnx.Node{{Name: "l", Op: "LeakyRelu", Inputs: []string{"a"}, Outputs: []string{"b"},
				Attrs: map[string]onnx.Attr{"alpha": {Kind: onnx.AttrFloat, Ref: "slope"}}}},
		}},
		Graph: &onnx.Graph{
			Name:    "g",
			Inputs:  []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3)}}, {Name: "c", DType: onnx.Bool, Shape: onnx.Shape{}}},
			Outputs: []onnx.Value{{Name: "z", DType: onnx.Float32, Shape: onnx.Shape{{N: 2, Sym: "N"}, onnx.Const(3)}}},
			Values:  map[string]onnx.Value{"y": {Name: "y", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(3)}}},
			Initializers: map[string]*onnx.Tensor{
				"w": onnx.FromFloat32([]float32{1, 2, 3}, 3), "k": onnx.FromInt64([]int64{-1}), "e": onnx.NewTensor(onnx.Float16, 0, 2),
				"s": {DType: onnx.String, Dims: []int64{1}, Strings: []string{"text"}},
			},
			Nodes: []*onnx.Node{
				{Name: "f", Op: "F:big", Domain: "local", Inputs: []string{"x"}, Outputs: []string{"f"}, Attrs: map[string]onnx.Attr{"k": onnx.IntAttr(0)}},
				{Name: "if", Op: "If", Inputs: []string{"c"}, Outputs: []string{"y"},
					Attrs: map[string]onnx.Attr{"then_branch": {Kind: onnx.AttrGraph, G: branch("t")}, "else_branch": {Kind: onnx.AttrGraph, G: branch("e")}}},
				{Name: "all", Op: "Made", Domain: "other", Inputs: []string{"y", "", "w"}, Outputs: []string{"z", ""}, Attrs: map[string]onnx.Attr{
					"i": onnx.IntAttr(0), "f": onnx.FloatAttr(float32(math.Inf(-1))), "s": onnx.StringAttr(""), "is": onnx.IntsAttr(1, -2),
					"fs": {Kind: onnx.AttrFloats, Floats: []float32{0.5}}, "ss": {Kind: onnx.AttrStrings, Strings: []string{"a", ""}}, "t": onnx.TensorAttr(onnx.FromInt64([]int64{7})),
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
	relu := func(in, out, name string) *onnx.Node {
		return &onnx.Node{Name: name, Op: "Relu", Inputs: []string{in}, Outputs: []string{out}}
	}
	m := &onnx.Model{Opset: 18, Graph: &onnx.Graph{
		Inputs:  []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(1)}},
		Outputs: []onnx.Value{{Name: "e", DType: onnx.Float32, Shape: onnx.ShapeOf(1)}},
		Nodes:   []*onnx.Node{relu("x", "a", "r"), relu("a", "b", "r_1"), relu("b", "c", "r"), relu("c", "d", ""), relu("d", "e", "")},
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
	for name, change := range map[string]func(*onnx.Model){
		"no graph":        func(m *onnx.Model) { m.Graph = nil },
		"short tensor":    func(m *onnx.Model) { m.Graph.Initializers["w"].Data = nil },
		"no tensor":       func(m *onnx.Model) { m.Graph.Initializers["w"] = nil },
		"unknown element": func(m *onnx.Model) { m.Graph.Initializers["w"].DType = 99 },
		"empty attribute": func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["k"] = onnx.Attr{} },
		"missing graph":   func(m *onnx.Model) { m.Graph.Nodes[0].Attrs["k"] = onnx.Attr{Kind: onnx.AttrGraph} },
	} {
		m := everything()
		change(m)
		if _, err := Encode(m); !errors.Is(err, onnx.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
