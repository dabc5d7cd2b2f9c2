package main

import (
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"

	"winnow/onnx/onnxpb"
)

// models are broken forms of the small model.
func models(g *good) []*sample {
	var list []*sample
	add := func(kind string, changes []change) {
		for _, c := range changes {
			list = append(list, single(kind, c.name, aModel, "broken.onnx", c.data))
		}
	}
	add("model, bytes", cuts(g.model, 25))
	add("model, bytes", flips(g.model[:700], 60, 1))
	for i := range list { // of the structure at the start; the rest follows
		if strings.HasPrefix(list[i].name, "bit") {
			c := flips(g.model[:700], 60, 1)[i-25]
			list[i] = single("model, bytes", c.name, aModel, "broken.onnx", append(c.data, g.model[700:]...))
		}
	}
	add("model, bytes", flips(g.model, 20, 2))
	add("model, bytes", strange())
	for _, p := range places[1:] {
		list = append(list, &sample{kind: "model, bytes", name: p.name, of: aModel, file: "broken.onnx", make: func(dir string) (string, error) {
			path := dir + "/broken.onnx"
			return path, p.make(path)
		}})
	}
	add("model, fields", fieldChanges(g.model))
	add("model, operators", operatorChanges(g.model))
	return list
}

// with gives the small model after an edit.
func with(model []byte, name string, edit func(*onnxpb.ModelProto)) change {
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(model, &m); err != nil {
		panic(err) // it was written by this program
	}
	edit(&m)
	data, err := proto.Marshal(&m)
	if err != nil {
		panic(err) // only of strings that are no UTF-8
	}
	return change{name, data}
}

func dims(v ...int64) *onnxpb.TensorShapeProto {
	s := &onnxpb.TensorShapeProto{}
	for _, d := range v {
		s.Dim = append(s.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
	}
	return s
}

func intAttr(name string, v int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: name, Type: onnxpb.AttributeProto_INT, I: &v}
}

func floatAttr(name string, v float32) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: name, Type: onnxpb.AttributeProto_FLOAT, F: &v}
}

func intsAttr(name string, v ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: name, Type: onnxpb.AttributeProto_INTS, Ints: v}
}

func stringAttr(name, v string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: name, Type: onnxpb.AttributeProto_STRING, S: []byte(v)}
}

// setAttr replaces an attribute, or adds it.
func setAttr(n *onnxpb.NodeProto, a *onnxpb.AttributeProto) {
	for i, old := range n.Attribute {
		if old.Name == a.Name {
			n.Attribute[i] = a
			return
		}
	}
	n.Attribute = append(n.Attribute, a)
}

const steering = "\x1b[2J\x1b]0;x\a\u009b31m\u202e"

// fieldChanges sets fields of the model, its values, tensors and nodes to what they must not be.
func fieldChanges(model []byte) []change {
	var list []change
	edit := func(name string, f func(*onnxpb.ModelProto)) { list = append(list, with(model, name, f)) }
	for _, v := range []int64{-1, 0, 1, 15, math.MaxInt64} {
		edit(fmt.Sprintf("IR version %d", v), func(m *onnxpb.ModelProto) { m.IrVersion = v })
		edit(fmt.Sprintf("opset %d", v), func(m *onnxpb.ModelProto) { m.OpsetImport[0].Version = v })
	}
	edit("no opset", func(m *onnxpb.ModelProto) { m.OpsetImport = nil })
	edit("no graph", func(m *onnxpb.ModelProto) { m.Graph = nil })
	edit("no nodes", func(m *onnxpb.ModelProto) { m.Graph.Node = nil })
	edit("no inputs", func(m *onnxpb.ModelProto) { m.Graph.Input = nil })
	edit("no outputs", func(m *onnxpb.ModelProto) { m.Graph.Output = nil })
	edit("no weights", func(m *onnxpb.ModelProto) { m.Graph.Initializer = nil })
	edit("the input twice", func(m *onnxpb.ModelProto) { m.Graph.Input = append(m.Graph.Input, m.Graph.Input[0]) })
	edit("a producer of commands", func(m *onnxpb.ModelProto) { m.ProducerName = steering })
	edit("a producer of a million characters", func(m *onnxpb.ModelProto) { m.ProducerName = strings.Repeat("x", 1<<20) })
	for _, shape := range [][]int64{{}, {1}, {-1, -1, -1, -1}, {0, 0, 0, 0}, {1, 1, 28, 28}, {1, 3, 28, 28}, {1 << 40, 1, 28, 28}, {2, 1, 1 << 20, 1 << 20}, {1, 1, 28, 28, 1, 1, 1, 1, 1, 1}} {
		edit(fmt.Sprintf("input of shape %v", shape), func(m *onnxpb.ModelProto) { m.Graph.Input[0].Type.GetTensorType().Shape = dims(shape...) })
		edit(fmt.Sprintf("output of shape %v", shape), func(m *onnxpb.ModelProto) { m.Graph.Output[0].Type.GetTensorType().Shape = dims(shape...) })
	}
	for _, d := range []int32{-1, 0, 8, 11, 16, 99} {
		edit(fmt.Sprintf("input of type %d", d), func(m *onnxpb.ModelProto) { m.Graph.Input[0].Type.GetTensorType().ElemType = d })
		edit(fmt.Sprintf("weights of type %d", d), func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].DataType = d })
	}
	for i := range 4 {
		for _, shape := range [][]int64{nil, {-1}, {0}, {1 << 62, 4}, {1 << 31, 1 << 31, 4}, {7}} {
			edit(fmt.Sprintf("weights %d of shape %v", i, shape), func(m *onnxpb.ModelProto) { m.Graph.Initializer[i].Dims = shape })
		}
		edit(fmt.Sprintf("weights %d without name", i), func(m *onnxpb.ModelProto) { m.Graph.Initializer[i].Name = "" })
		edit(fmt.Sprintf("weights %d of commands", i), func(m *onnxpb.ModelProto) { m.Graph.Initializer[i].Name = steering })
		edit(fmt.Sprintf("weights %d without data", i), func(m *onnxpb.ModelProto) { m.Graph.Initializer[i].RawData = nil })
		for _, where := range []string{"none.bin", "../none.bin", "/dev/zero", "broken.onnx", "."} {
			edit(fmt.Sprintf("weights %d in %s", i, where), func(m *onnxpb.ModelProto) {
				t := m.Graph.Initializer[i]
				t.RawData, t.DataLocation = nil, onnxpb.TensorProto_EXTERNAL
				t.ExternalData = []*onnxpb.StringStringEntryProto{{Key: "location", Value: where}, {Key: "offset", Value: "-4"}}
			})
		}
		for _, offset := range []string{"0", "9223372036854775807", "18446744073709551616", "x"} {
			edit(fmt.Sprintf("weights %d at %s", i, offset), func(m *onnxpb.ModelProto) {
				t := m.Graph.Initializer[i]
				t.RawData, t.DataLocation = nil, onnxpb.TensorProto_EXTERNAL
				t.ExternalData = []*onnxpb.StringStringEntryProto{{Key: "location", Value: "broken.onnx"}, {Key: "offset", Value: offset}, {Key: "length", Value: offset}}
			})
		}
	}
	edit("weights that are not finite", func(m *onnxpb.ModelProto) { copy(m.Graph.Initializer[0].RawData, []byte{0, 0, 0xc0, 0x7f}) })
	return append(list, nodeChanges(model)...)
}

// nodeChanges does to every node what can be done to any.
func nodeChanges(model []byte) []change {
	var list []change
	for i := range 5 {
		edit := func(name string, f func(*onnxpb.NodeProto, *onnxpb.GraphProto)) {
			list = append(list, with(model, fmt.Sprintf("node %d: %s", i, name), func(m *onnxpb.ModelProto) { f(m.Graph.Node[i], m.Graph) }))
		}
		edit("an input that nothing makes", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.Input[0] = "gone" })
		edit("its own output as input", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.Input[0] = n.Output[0] })
		edit("the last value as input", func(n *onnxpb.NodeProto, g *onnxpb.GraphProto) { n.Input[0] = "logits" })
		edit("no inputs", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.Input = nil })
		edit("no outputs", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.Output = nil })
		edit("empty inputs", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { clear(n.Input) })
		edit("many inputs", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) {
			for range 1000 {
				n.Input = append(n.Input, n.Input[0])
			}
		})
		edit("many outputs", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) {
			for k := range 1000 {
				n.Output = append(n.Output, fmt.Sprint("o", k))
			}
		})
		for _, op := range []string{"", "Nothing", "Loop", "If", "Scan", "SequenceAt", "Einsum", "LSTM", "NonZero", "Add", "Conv", "Reshape", "BatchNormalization", steering} {
			edit("operator "+fmt.Sprintf("%.12q", op), func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.OpType = op })
		}
		edit("another domain", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.Domain = "com.example" + steering })
		edit("a name of commands", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { n.Name, n.Input[0] = steering, steering })
		edit("a name of a million characters", func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) {
			n.Name, n.Input[0] = strings.Repeat("n", 1<<20), "gone"
		})
		for _, name := range []string{"unknown_attr", "kernel_shape", "strides", "pads", "dilations", "group", "axis", "transB", "alpha", "auto_pad"} {
			for k, a := range []*onnxpb.AttributeProto{intAttr(name, -1), intAttr(name, math.MaxInt64), floatAttr(name, 1.5), intsAttr(name, 0, -7), intsAttr(name, 1<<40, 1<<40), stringAttr(name, "HUH")} {
				if name == "unknown_attr" && a.Type != onnxpb.AttributeProto_INT {
					continue
				}
				edit(fmt.Sprintf("%s is of value %d", name, k), func(n *onnxpb.NodeProto, _ *onnxpb.GraphProto) { setAttr(n, a) })
			}
		}
	}
	return some(list, 200)
}

// operatorChanges adds operators whose results are large, deep or many.
func operatorChanges(model []byte) []change {
	var list []change
	edit := func(name string, f func(*onnxpb.GraphProto)) {
		list = append(list, with(model, name, func(m *onnxpb.ModelProto) { f(m.Graph) }))
	}
	// front puts nodes before the rest and what they make into the sum after the convolution.
	front := func(g *onnxpb.GraphProto, nodes ...*onnxpb.NodeProto) {
		last := nodes[len(nodes)-1].Output[0]
		nodes = append(nodes, &onnxpb.NodeProto{OpType: "ReduceMax", Name: "max", Input: []string{last}, Output: []string{"m"}, Attribute: []*onnxpb.AttributeProto{intAttr("keepdims", 0)}})
		g.Node = append(nodes, g.Node...)
		for _, n := range g.Node {
			if n.OpType == "Relu" {
				n.OpType, n.Input = "Add", []string{n.Input[0], "m"}
			}
		}
	}
	ints := func(g *onnxpb.GraphProto, name string, v ...int64) string {
		g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: name, DataType: 7, Dims: []int64{int64(len(v))}, Int64Data: v})
		return name
	}
	scalar := func(g *onnxpb.GraphProto, name string, v int64) string {
		g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: name, DataType: 7, Int64Data: []int64{v}})
		return name
	}
	floats := func(g *onnxpb.GraphProto, name string, v ...float32) string {
		g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: name, DataType: 1, Dims: []int64{int64(len(v))}, FloatData: v})
		return name
	}
	node := func(op string, in []string, out string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: op, Name: op, Input: in, Output: []string{out}, Attribute: attrs}
	}
	for _, n := range []int64{-1, 1 << 20, 1e9, 1 << 40, math.MaxInt64} {
		edit(fmt.Sprintf("ConstantOfShape of %d", n), func(g *onnxpb.GraphProto) { front(g, node("ConstantOfShape", []string{ints(g, "s", n)}, "k")) })
		edit(fmt.Sprintf("Expand to %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("Expand", []string{floats(g, "v", 1), ints(g, "s", n)}, "k"))
		})
		edit(fmt.Sprintf("Expand of weights to %d", n), func(g *onnxpb.GraphProto) { front(g, node("Expand", []string{"fc.bias", ints(g, "s", n, 10)}, "k")) })
		edit(fmt.Sprintf("Tile by %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("Tile", []string{floats(g, "v", 1, 2), ints(g, "s", n)}, "k"))
		})
		edit(fmt.Sprintf("Range to %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("Range", []string{scalar(g, "a", 0), scalar(g, "b", n), scalar(g, "d", 1)}, "i"), node("Cast", []string{"i"}, "k", intAttr("to", 1)))
		})
		edit(fmt.Sprintf("Pad by %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("Pad", []string{floats(g, "v", 1, 2), ints(g, "s", n, n)}, "k"))
		})
		edit(fmt.Sprintf("Resize to %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("Resize", []string{floats(g, "v", 1, 2), "", "", ints(g, "s", n)}, "k"))
		})
		edit(fmt.Sprintf("OneHot of %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("OneHot", []string{ints(g, "v", 1, 2), scalar(g, "s", n), floats(g, "z", 0, 1)}, "k"))
		})
		edit(fmt.Sprintf("EyeLike of %d", n), func(g *onnxpb.GraphProto) {
			front(g, node("ConstantOfShape", []string{ints(g, "s", n, n)}, "e"), node("EyeLike", []string{"e"}, "k"))
		})
		edit(fmt.Sprintf("Loop of %d", n), func(g *onnxpb.GraphProto) {
			body := &onnxpb.GraphProto{Name: "body", Input: []*onnxpb.ValueInfoProto{value("i", 7), value("c", 9), value("x", 1)},
				Output: []*onnxpb.ValueInfoProto{value("c1", 9), value("x1", 1)},
				Node:   []*onnxpb.NodeProto{node("Identity", []string{"c"}, "c1"), node("Add", []string{"x", "x"}, "x1")}}
			front(g, node("Loop", []string{scalar(g, "s", n), "", floats(g, "v", 1)}, "k", &onnxpb.AttributeProto{Name: "body", Type: onnxpb.AttributeProto_GRAPH, G: body}))
		})
	}
	edit("ConstantOfShape of 2^30 in four dimensions", func(g *onnxpb.GraphProto) {
		front(g, node("ConstantOfShape", []string{ints(g, "s", 1<<30, 1<<30, 1<<30, 1<<30)}, "k"))
	})
	for _, n := range []int{5, 30, 100} {
		edit(fmt.Sprintf("%d doublings", n), func(g *onnxpb.GraphProto) {
			nodes := []*onnxpb.NodeProto{node("Concat", []string{floats(g, "v", 1), "v"}, "d0", intAttr("axis", 0))}
			for i := range n {
				from := fmt.Sprint("d", i)
				nodes = append(nodes, node("Concat", []string{from, from}, fmt.Sprint("d", i+1), intAttr("axis", 0)))
			}
			front(g, nodes...)
		})
		edit(fmt.Sprintf("%d constants of 1 MB", n), func(g *onnxpb.GraphProto) {
			nodes := []*onnxpb.NodeProto{node("ConstantOfShape", []string{ints(g, "s", 1<<18)}, "d0")}
			for i := range n {
				nodes = append(nodes, node("Add", []string{fmt.Sprint("d", i), floats(g, fmt.Sprint("v", i), 1)}, fmt.Sprint("d", i+1)))
			}
			front(g, nodes...)
		})
	}
	for _, n := range []int{500, 20_000} {
		edit(fmt.Sprintf("%d nodes that nothing uses", n), func(g *onnxpb.GraphProto) {
			for i := range n {
				g.Node = append(g.Node, node("Relu", []string{"logits"}, fmt.Sprint("u", i)))
			}
		})
		edit(fmt.Sprintf("%d nodes with an input that nothing makes", n), func(g *onnxpb.GraphProto) {
			for i := range n {
				g.Node = append(g.Node, node("Relu", []string{fmt.Sprint("gone", i)}, fmt.Sprint("u", i)))
			}
		})
	}
	for _, depth := range []int{2, 10, 30, 1000} {
		edit(fmt.Sprintf("If nested %d deep", depth), func(g *onnxpb.GraphProto) {
			inner := &onnxpb.GraphProto{Name: "b", Node: []*onnxpb.NodeProto{node("Identity", []string{"fc.bias"}, "x0")}, Output: []*onnxpb.ValueInfoProto{value("x0", 1)}}
			for i := range depth {
				out := fmt.Sprint("x", i+1)
				n := node("If", []string{"cond"}, out)
				for _, b := range []string{"then_branch", "else_branch"} {
					if b == "else_branch" && depth > 10 {
						break
					}
					n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: b, Type: onnxpb.AttributeProto_GRAPH, G: inner})
				}
				inner = &onnxpb.GraphProto{Name: "b", Node: []*onnxpb.NodeProto{n}, Output: []*onnxpb.ValueInfoProto{value(out, 1)}}
			}
			g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: "cond", DataType: 9, Int32Data: []int32{1}})
			front(g, inner.Node...)
		})
	}
	list = append(list, with(model, "functions that call each other", func(m *onnxpb.ModelProto) {
		for _, f := range [][2]string{{"A", "B"}, {"B", "A"}} {
			call := node(f[1], []string{"x"}, "y")
			call.Domain = "own"
			m.Functions = append(m.Functions, &onnxpb.FunctionProto{Name: f[0], Domain: "own", Input: []string{"x"}, Output: []string{"y"}, Node: []*onnxpb.NodeProto{call}, OpsetImport: m.OpsetImport})
		}
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: "own", Version: 1})
		m.Graph.Node[1].OpType, m.Graph.Node[1].Domain = "A", "own"
	}), with(model, "functions that double 40 times", func(m *onnxpb.ModelProto) {
		for i := range 40 {
			f := &onnxpb.FunctionProto{Name: fmt.Sprint("F", i), Domain: "own", Input: []string{"x"}, Output: []string{"y"}, OpsetImport: m.OpsetImport}
			op, domain := fmt.Sprint("F", i-1), "own"
			if i == 0 {
				op, domain = "Relu", ""
			}
			for k, names := range [][2]string{{"x", "z"}, {"z", "y"}} {
				n := node(op, names[:1], names[1])
				n.Domain, n.Name = domain, fmt.Sprint("n", k)
				f.Node = append(f.Node, n)
			}
			m.Functions = append(m.Functions, f)
		}
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: "own", Version: 1})
		m.Graph.Node[1].OpType, m.Graph.Node[1].Domain = "F39", "own"
	}))
	return list
}

func value(name string, elem int32) *onnxpb.ValueInfoProto {
	return &onnxpb.ValueInfoProto{Name: name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: elem}}}}
}
