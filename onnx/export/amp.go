package export

import (
	"math"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// Precisions in which a training graph can compute its heavy operators.
const (
	Float16  = "float16"
	BFloat16 = "bfloat16"
)

// halfTypes are the element types of the precisions.
var halfTypes = map[string]onnx.DType{Float16: onnx.Float16, BFloat16: onnx.BFloat16}

// Operators by how torch.autocast treats their like: products run in half
// precision; what follows runs in the widest type of its operands; all others
// run in float32: sums, exponentials, logarithms, powers, softmax, losses,
// normalisations. An operator is listed for a type only where ONNX Runtime's
// CUDA provider has a kernel at opset 18 (its OperatorKernels.md, 1.24 and
// later), which for bfloat16 leaves out convolutions, poolings and comparisons.
var (
	halfProducts = map[onnx.DType]map[string]bool{
		onnx.Float16:  operatorSet("Gemm MatMul Conv ConvTranspose Einsum"),
		onnx.BFloat16: operatorSet("Gemm MatMul"),
	}
	halfFollowers = map[onnx.DType]map[string]bool{
		onnx.Float16: operatorSet(bothFollow + " Equal Greater GreaterOrEqual Less LessOrEqual Clip LeakyRelu PRelu Elu Selu" +
			" HardSigmoid HardSwish Softsign Resize MaxPool AveragePool GlobalAveragePool GlobalMaxPool " + bothMove + " " + halfMove),
		onnx.BFloat16: operatorSet(bothFollow + " " + bothMove),
	}
	// halfMovers copy elements and compute none, so that rounding may come before or after them.
	halfMovers = map[onnx.DType]map[string]bool{
		onnx.Float16:  operatorSet(bothMove + " " + halfMove),
		onnx.BFloat16: operatorSet(bothMove),
	}
)

const (
	bothFollow = "Add Sub Mul Div Neg Abs Sign Max Min Sum Where Relu Sigmoid Tanh ScatterElements ScatterND"
	bothMove   = "Identity Reshape Flatten Squeeze Unsqueeze Transpose Slice Split Concat Expand Tile Gather GatherElements GatherND Trilu"
	halfMove   = "Pad DepthToSpace SpaceToDepth"
)

func operatorSet(names string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(names) {
		set[name] = true
	}
	return set
}

// halver rewrites a float32 graph so that part of it computes in half
// precision. A value keeps its name in float32; its half version has another,
// and exactly one of the two is computed, the other a cast of it, made when
// first needed and shared.
type halver struct {
	*emit.Builder
	half           onnx.DType
	halves         map[string]string // value -> its half version, where there is one
	computedInHalf map[string]bool   // values computed in half precision
	hasFloat32     map[string]bool   // of those: the float32 version exists too
	maskOf         map[string]string // float32 values that are a cast of a boolean -> that
	exact          map[string]bool   // float32 values without a type of their own, like constants: masks, scaled or not
	onlyRounded    map[string]bool   // values that nothing but products read, directly or moved
	fromProduct    map[string]bool   // values that a product makes
	ofLoss         map[string]bool   // values of a model's own loss, from its scores on
}

// halve is torch.autocast for the nodes emitted so far. Nodes from loss up to
// grad are the loss, those from grad on the gradients; scores are where a model
// with a loss of its own ends, else "". Values in keep are needed in float32.
func halve(e *emit.Builder, half onnx.DType, loss, grad int, scores string, keep []string) {
	h := &halver{
		Builder: e, half: half, halves: map[string]string{}, computedInHalf: map[string]bool{}, hasFloat32: map[string]bool{}, maskOf: map[string]string{},
		exact: map[string]bool{}, fromProduct: map[string]bool{}, ofLoss: map[string]bool{},
	}
	for _, o := range e.Graph.Outputs {
		keep = append(keep, o.Name)
	}
	nodes := e.Graph.Nodes
	h.findOnlyRounded(nodes, keep)
	if scores != "" {
		h.ofLoss[scores] = true
	}
	e.Graph.Nodes = nil
	for i, n := range nodes {
		late := i < loss && slices.ContainsFunc(n.Inputs, func(in string) bool { return h.ofLoss[in] })
		for _, out := range n.Outputs {
			h.ofLoss[out] = out != "" && (h.ofLoss[out] || late)
		}
		switch {
		case i >= loss && i < grad || late:
			h.keepFloat32(n)
		case halfProducts[half][n.Op] && h.DType(n.Outputs[0]) == onnx.Float32:
			h.computeInHalf(n)
			h.fromProduct[n.Outputs[0]] = true
		case h.follows(n) || i < loss && h.isBias(n):
			h.computeInHalf(n)
		case i < loss && (n.Op == "BatchNormalization" || n.Op == "InstanceNormalization") && h.computedInHalf[n.Inputs[0]]:
			h.normalised(n)
		default:
			h.keepFloat32(n)
		}
	}
	for _, name := range keep {
		h.inFloat32(name)
	}
	// What is emitted from now on may share constants, but not values that may be gone.
	e.Forget()
}

// findOnlyRounded marks the values that would be rounded wherever they are read.
func (h *halver) findOnlyRounded(nodes []*onnx.Node, keep []string) {
	h.onlyRounded = map[string]bool{}
	wide := map[string]bool{}
	for _, name := range keep {
		wide[name] = true
	}
	for _, n := range slices.Backward(nodes) {
		rounds := halfProducts[h.half][n.Op] || halfMovers[h.half][n.Op] && !slices.ContainsFunc(n.Outputs, func(o string) bool { return !h.onlyRounded[o] })
		for _, in := range onnx.Uses(n) {
			wide[in] = wide[in] || !rounds
			h.onlyRounded[in] = !wide[in]
		}
	}
}

// floats are the float32 operands whose type goes with the output's.
func (h *halver) floats(n *onnx.Node) []string {
	inputs := n.Inputs
	if n.Op == "Resize" { // scales stay float32
		inputs = inputs[:1]
	}
	var list []string
	for _, in := range inputs {
		if in != "" && h.DType(in) == onnx.Float32 {
			list = append(list, in)
		}
	}
	return list
}

// follows is whether a node runs in half precision because its operands are in it.
func (h *halver) follows(n *onnx.Node) bool {
	switch {
	case n.Op == "Cast": // to another type than float32, half precision will do as well
		return h.computedInHalf[n.Inputs[0]] && h.DType(n.Outputs[0]) != onnx.Float32
	case !halfFollowers[h.half][n.Op] || strings.HasPrefix(n.Op, "Scatter") && n.Str("reduction", "none") != "none":
		return false
	case halfMovers[h.half][n.Op] && h.DType(n.Outputs[0]) == onnx.Float32 && !slices.ContainsFunc(n.Outputs, func(o string) bool { return !h.onlyRounded[o] }):
		return true
	case n.Op == "Where" && h.isTrue(n.Inputs[0]): // the second operand spread to the shape of the third, a value like it
		return h.computedInHalf[n.Inputs[2]] && (h.Graph.Initializers[n.Inputs[1]] == nil || h.fits(n.Inputs[1]))
	}
	some := false
	for _, in := range h.floats(n) {
		if !h.computedInHalf[in] && !h.exact[in] && !h.fits(in) {
			return false
		}
		some = some || h.computedInHalf[in]
	}
	return some
}

func (h *halver) isTrue(name string) bool {
	t := h.Graph.Initializers[name]
	return t != nil && t.DType == onnx.Bool && t.Len() == 1 && t.Data[0] != 0
}

// isBias is whether a node adds a vector to a product, as exporters write a
// linear layer of more than two axes: autocast rounds its bias.
func (h *halver) isBias(n *onnx.Node) bool {
	if n.Op != "Add" || len(n.Inputs) != 2 {
		return false
	}
	for i, in := range n.Inputs {
		bias := n.Inputs[1-i]
		fed := h.Graph.Initializers[bias] != nil || slices.ContainsFunc(h.Graph.Inputs, func(v onnx.Value) bool { return v.Name == bias })
		if h.fromProduct[in] && fed && len(h.Shape(bias)) == 1 {
			return true
		}
	}
	return false
}

// fits is whether a name is a constant that half precision holds to its full
// number of digits: neither beyond the range nor among the subnormal numbers.
func (h *halver) fits(name string) bool {
	t := h.Graph.Initializers[name]
	if t == nil || t.DType != onnx.Float32 {
		return false
	}
	least, most := 0x1p-14, 65504.0
	if h.half == onnx.BFloat16 {
		least, most = 0x1p-126, 0x1.fep127
	}
	for _, v := range t.Float32s() {
		if a := math.Abs(float64(v)); a != 0 && !(a >= least && (a <= most || math.IsInf(a, 0))) {
			return false
		}
	}
	return true
}

// inHalf is the half version of a value.
func (h *halver) inHalf(v string) string {
	if name := h.halves[v]; name != "" {
		return name
	}
	if t := h.Graph.Initializers[v]; t != nil {
		narrow, err := t.Narrow(h.half)
		if err != nil {
			h.Fail("constant %q: %w", v, err)
			return v
		}
		h.halves[v] = h.Constant(narrow)
		return h.halves[v]
	}
	name, from := h.halfName(v), v
	if mask := h.maskOf[v]; mask != "" {
		from = mask
	}
	h.emitCast(from, name, h.half)
	h.halves[v] = name
	return name
}

// inFloat32 makes sure that the float32 version of a value exists.
func (h *halver) inFloat32(v string) {
	if h.computedInHalf[v] && !h.hasFloat32[v] {
		h.hasFloat32[v] = true
		h.emitCast(h.halves[v], v, onnx.Float32)
	}
}

func (h *halver) emitCast(from, to string, d onnx.DType) {
	h.Graph.Nodes = append(h.Graph.Nodes, &onnx.Node{
		Name: to, Op: "Cast", Inputs: []string{from}, Outputs: []string{to}, Attrs: emit.Attrs{"to": onnx.IntAttr(int64(d))},
	})
}

// halfName takes a name for the half version of a value and declares its type.
func (h *halver) halfName(v string) string {
	name := h.Unique(v + "." + h.half.String())
	h.Inf.Set(onnx.Value{Name: name, DType: h.half, Shape: h.Shape(v)})
	return name
}

// keepFloat32 leaves a node in float32.
func (h *halver) keepFloat32(n *onnx.Node) {
	for _, in := range onnx.Uses(n) {
		h.inFloat32(in)
	}
	h.Graph.Nodes = append(h.Graph.Nodes, n)
	switch {
	case n.Op == "Cast" && h.DType(n.Inputs[0]) == onnx.Bool && h.DType(n.Outputs[0]) == onnx.Float32:
		h.maskOf[n.Outputs[0]], h.exact[n.Outputs[0]] = n.Inputs[0], true
	case n.Op == "Mul" || n.Op == "Div": // a mask scaled by a constant, as dropout has it
		h.exact[n.Outputs[0]] = h.maskOf[n.Inputs[0]] != "" && h.fits(n.Inputs[1])
	}
}

// computeInHalf runs a node in half precision.
func (h *halver) computeInHalf(n *onnx.Node) {
	c := *n
	c.Inputs, c.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
	floats := h.floats(n)
	for i, in := range n.Inputs {
		if slices.Contains(floats, in) {
			c.Inputs[i] = h.inHalf(in)
		}
	}
	for i, out := range n.Outputs {
		if out != "" && h.DType(out) == onnx.Float32 {
			c.Outputs[i] = h.halfName(out)
			h.halves[out], h.computedInHalf[out] = c.Outputs[i], true
		}
	}
	h.Graph.Nodes = append(h.Graph.Nodes, &c)
}

// normalised computes a normalisation of a half value in float32 and rounds
// what comes out, as PyTorch's batch normalisation does under autocast.
func (h *halver) normalised(n *onnx.Node) {
	c := *n
	y := n.Outputs[0]
	c.Outputs = slices.Clone(n.Outputs)
	c.Outputs[0] = h.Unique(y + "." + onnx.Float32.String())
	h.Inf.Set(onnx.Value{Name: c.Outputs[0], DType: onnx.Float32, Shape: h.Shape(y)})
	h.keepFloat32(&c)
	h.halves[y], h.computedInHalf[y] = h.halfName(y), true
	h.emitCast(c.Outputs[0], h.halves[y], h.half)
}
