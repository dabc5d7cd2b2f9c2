package runtime

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// graph writes an ONNX file, field by field, for tests: the package may not
// import the project's own writer.
type graph struct {
	nodes, tensors, inputs, outputs []byte
}

func field(n protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), body)
}

func intField(n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), uint64(v))
}

func concat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// attr is an integer attribute (AttributeProto: name, i, type INT).
func attr(name string, v int64) []byte {
	return field(5, concat(field(1, []byte(name)), intField(3, v), intField(20, 2)))
}

// node adds an operator with one output.
func (g *graph) node(op, output string, inputs []string, attrs ...[]byte) {
	var body []byte
	for _, in := range inputs {
		body = append(body, field(1, []byte(in))...)
	}
	body = append(body, field(2, []byte(output))...)
	body = append(body, field(4, []byte(op))...)
	g.nodes = append(g.nodes, field(1, append(body, concat(attrs...)...))...)
}

func (g *graph) floats(name string, shape []int64, v ...float32) {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	g.tensor(name, Float32, shape, raw)
}

func (g *graph) ints(name string, shape []int64, v ...int64) {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	g.tensor(name, Int64, shape, raw)
}

func (g *graph) tensor(name string, dtype DType, shape []int64, raw []byte) {
	var body []byte
	for _, d := range shape {
		body = append(body, intField(1, d)...)
	}
	body = append(body, concat(intField(2, int64(dtype)), field(8, []byte(name)), field(9, raw))...)
	g.tensors = append(g.tensors, field(5, body)...)
}

func info(slot Slot) []byte {
	var dims []byte
	for _, d := range slot.Shape {
		dim := intField(1, d)
		if d == -1 {
			dim = field(2, []byte("N"))
		}
		dims = append(dims, field(1, dim)...)
	}
	tensor := concat(intField(1, int64(slot.DType)), field(2, dims))
	return concat(field(1, []byte(slot.Name)), field(2, field(1, tensor)))
}

func (g *graph) input(s Slot)  { g.inputs = append(g.inputs, field(11, info(s))...) }
func (g *graph) output(s Slot) { g.outputs = append(g.outputs, field(12, info(s))...) }

func (g *graph) model() []byte {
	body := concat(g.nodes, field(2, []byte("test")), g.tensors, g.inputs, g.outputs)
	return concat(intField(1, 8), field(7, body), field(8, intField(2, 18)))
}

// Shapes of the test model: linear softmax over 1x4x4 images, 3 classes.
const (
	testPixels  = 16
	testClasses = 3
	momentum    = 0.9
)

// testRoles says which optional inputs and outputs the test graph has.
type testRoles struct {
	weights, lossScale, random, perSample, logits bool
}

var allRoles = testRoles{true, true, true, true, true}

// linearSpec is a training graph written by hand: x = images/255 (times a
// random mask), logits = xW + b, cross-entropy, its gradient, and SGD with
// momentum. Its state is W, b and their momenta, as linearState lists them.
func linearSpec(roles testRoles) TrainSpec {
	g := &graph{}
	spec := TrainSpec{
		Images:       Slot{"images", Uint8, []int64{-1, 1, 4, 4}},
		Labels:       &Slot{"labels", Int64, []int64{-1}},
		LearningRate: Slot{"lr", Float32, nil},
		Loss:         "loss",
	}
	g.input(spec.Images)
	g.input(*spec.Labels)
	g.input(spec.LearningRate)
	for _, s := range linearState(nil) {
		g.input(Slot{s.Input, s.DType, s.Shape})
		g.output(Slot{s.Output, s.DType, s.Shape})
	}
	g.output(Slot{"loss", Float32, nil})
	linearForward(g)
	x := "x"
	if roles.random {
		spec.Random = []Slot{{"mask", Float32, []int64{-1, testPixels}}}
		g.input(spec.Random[0])
		g.node("Mul", "masked", []string{"x", "mask"})
		x = "masked"
	}
	g.node("Gemm", "logits", []string{x, "w", "b"})
	g.node("LogSoftmax", "logp", []string{"logits"}, attr("axis", 1))
	g.ints("depth", []int64{1}, testClasses)
	g.floats("offon", []int64{2}, 0, 1)
	g.node("OneHot", "hot", []string{"labels", "depth", "offon"}, attr("axis", 1))
	g.node("Mul", "picked", []string{"logp", "hot"})
	g.ints("axis1", []int64{1}, 1)
	g.ints("axis0", []int64{1}, 0)
	g.node("ReduceSum", "negloss", []string{"picked", "axis1"}, attr("keepdims", 0))
	g.node("Neg", "each", []string{"negloss"})
	g.node("ReduceMean", "loss", []string{"each"}, attr("keepdims", 0))
	g.node("Exp", "p", []string{"logp"})
	g.node("Sub", "diff", []string{"p", "hot"})
	g.node("ReduceSum", "n", []string{"hot"}, attr("keepdims", 0)) // Size would be on the CPU
	g.node("Div", "grad", []string{"diff", "n"})
	grad := "grad"
	if roles.weights {
		spec.SampleWeights = &Slot{"weights", Float32, []int64{-1}}
		g.input(*spec.SampleWeights)
		g.node("Unsqueeze", "weights2", []string{"weights", "axis1"})
		g.node("Mul", "gradw", []string{grad, "weights2"})
		grad = "gradw"
	}
	if roles.lossScale {
		spec.LossScale = &Slot{"scale", Float32, nil}
		g.input(*spec.LossScale)
		g.node("Mul", "grads", []string{grad, "scale"})
		grad = "grads"
	}
	g.node("Gemm", "dw", []string{x, grad}, attr("transA", 1))
	g.node("ReduceSum", "db", []string{grad, "axis0"}, attr("keepdims", 0))
	g.floats("momentum", nil, momentum)
	for _, name := range []string{"w", "b"} {
		g.node("Mul", "decayed_"+name, []string{"v" + name, "momentum"})
		g.node("Add", "v"+name+"_next", []string{"decayed_" + name, "d" + name})
		g.node("Mul", "move_"+name, []string{"v" + name + "_next", "lr"})
		g.node("Sub", name+"_next", []string{name, "move_" + name})
	}
	if roles.perSample {
		spec.PerSampleLoss = "each"
		g.output(Slot{"each", Float32, []int64{-1}})
	}
	if roles.logits {
		spec.Logits = &Slot{"logits", Float32, []int64{-1, testClasses}}
		g.output(*spec.Logits)
	}
	spec.Model = g.model()
	return spec
}

func linearForward(g *graph) {
	g.floats("max", nil, 255)
	g.ints("flat", []int64{2}, -1, testPixels)
	g.node("Cast", "pixels", []string{"images"}, attr("to", int64(Float32)))
	g.node("Div", "unit", []string{"pixels", "max"})
	g.node("Reshape", "x", []string{"unit", "flat"})
}

// linearEval is the matching inference graph over W and b.
func linearEval() EvalSpec {
	g := &graph{}
	spec := EvalSpec{
		Images: Slot{"images", Uint8, []int64{-1, 1, 4, 4}},
		Logits: Slot{"logits", Float32, []int64{-1, testClasses}},
		State:  map[string]int{"weight": 0, "bias": 1},
	}
	g.input(spec.Images)
	g.input(Slot{"weight", Float32, []int64{testPixels, testClasses}})
	g.input(Slot{"bias", Float32, []int64{testClasses}})
	g.output(spec.Logits)
	linearForward(g)
	g.node("Gemm", "logits", []string{"x", "weight", "bias"})
	spec.Model = g.model()
	return spec
}

// linearState lists the state of linearSpec with w as the first weights.
func linearState(w []float32) []StateSlot {
	slots := []StateSlot{
		{Input: "w", Shape: []int64{testPixels, testClasses}},
		{Input: "b", Shape: []int64{testClasses}},
		{Input: "vw", Shape: []int64{testPixels, testClasses}},
		{Input: "vb", Shape: []int64{testClasses}},
	}
	for i := range slots {
		slots[i].DType = Float32
		slots[i].Output = slots[i].Input + "_next"
	}
	for _, x := range w {
		slots[0].Init = binary.LittleEndian.AppendUint32(slots[0].Init, math.Float32bits(x))
	}
	return slots
}
