package nchwc

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// Domain has ONNX Runtime's CPU operators on blocked images: in memory
// [N, C/b, H, W, b] with b channels to a block, though the shape still reads
// [N, C, H, W]. Their convolution takes filters that are no constants. The
// library turns to them by itself only where filters are constants, which
// those of a training graph never are.
const Domain = "com.microsoft.nchwc"

// Layout is a graph's use of the blocked layout: the blocked form of values
// that were made from one stands beside the plain form, which is dropped where
// nothing reads it.
type Layout struct {
	*emit.Builder
	Lowering autodiff.Lowering // the forms that are asked for, as in the walk
	Kernels  bool              // convolutions of 3x3 and normalisations take the operators of package runtime/kernels

	block int64             // channels to a block
	whole string            // boolean [1]: whether the number of images is a multiple of block
	of    map[string]string // the blocked form of a value that was made from one

	composed map[string]bool       // values that a LayerNormalization made in parts
	normed   map[string]layerStats // values that an operator of runtime/kernels made of one

	scaled map[string]*scaled       // how a blocked value was made
	rules  map[string]autodiff.Rule // by operator, over the plain ones
}

var _ emit.Layout = (*Layout)(nil)

// New turns a graph for the CPU to the blocked layout, with block channels
// to a block. The number of images is that of labels, and unknown for "".
func New(e *emit.Builder, block int64, labels string) *Layout {
	l := &Layout{Builder: e, block: block, of: map[string]string{}, composed: map[string]bool{}, normed: map[string]layerStats{}, scaled: map[string]*scaled{}}
	l.rules = l.over()
	l.Layout, l.CPU = l, true
	if labels != "" {
		n := l.Emit("Shape", emit.Attrs{"start": onnx.IntAttr(0), "end": onnx.IntAttr(1)}, labels)
		l.whole = l.Emit("Equal", nil, l.Emit("Mod", nil, n, l.Int64s(block)), l.Int64s(0))
	}
	return l
}

// Elementwise emits an operator on blocked images.
func (l *Layout) Elementwise(op string, a emit.Attrs, inputs []string) string {
	if in := l.blockedOperands(op, inputs); in != nil {
		return l.ToPlain(l.EmitIn("", op, 1, a, in...)[0])
	}
	return ""
}

// ChannelSum sums positions first, then images.
func (l *Layout) ChannelSum(x string) string {
	if b := l.of[x]; b != "" {
		return l.blockedSum(b)
	}
	return ""
}

// PositionSum is the mean over positions, which is a pooling, times their number.
func (l *Layout) PositionSum(x string) string {
	if b := l.of[x]; b != "" {
		s := l.Shape(x)
		return l.Mul(l.blockedMean(b), l.Scalar(float64(s[2].N*s[3].N)))
	}
	return ""
}

// Block is how many channels a block has.
func (l *Layout) Block() int64 { return l.block }

// Blocked is whether a value has a blocked form.
func (l *Layout) Blocked(value string) bool { return l.of[value] != "" }

// Forward emits a node of the model in blocks; false where it has no form in
// them. Of a normalisation by statistics of the batch, centred is the image
// less its mean.
func (l *Layout) Forward(n *onnx.Node, centred string) bool {
	if l.layerNorm(n) {
		return true
	}
	y := l.forwardBlocked(n, centred)
	if y == "" || l.Err != nil {
		return false
	}
	last := l.Graph.Nodes[len(l.Graph.Nodes)-1]
	if last.Outputs[0] == y { // it is what the model's node has become
		last.Name = n.Name
	}
	l.Append(&onnx.Node{
		Name: l.Fresh("reorderoutput"), Op: "ReorderOutput", Domain: Domain, Inputs: []string{y}, Outputs: n.Outputs[:1],
		Attrs: emit.Attrs{"channels": onnx.IntAttr(l.channels(y))},
	})
	l.of[n.Outputs[0]] = y
	return true
}

// forwardBlocked is the blocked output of a node of the model, "" if it has none.
func (l *Layout) forwardBlocked(n *onnx.Node, centred string) string {
	switch {
	case l.Err != nil || n.Domain != "":
	case n.Op == "Conv":
		return l.forwardConv(n)
	case n.Op == "BatchNormalization":
		return l.blockedNorm(n, centred)
	case n.Op == "MaxPool":
		return l.blockedPool(n)
	case n.Op == "AveragePool":
		return l.blockedMeans(n)
	case n.Op == "Concat":
		return l.blockedConcat(n)
	case n.Op == "Identity" || n.Op == "Dropout" && len(n.Inputs) < 3: // of evaluation
		return l.of[n.Inputs[0]]
	case n.Op == "GlobalAveragePool" && l.of[n.Inputs[0]] != "":
		return l.blockedMean(l.of[n.Inputs[0]])
	case n.Op == "Relu" && l.scaled[l.of[n.Inputs[0]]] != nil:
		a := *l.scaled[l.of[n.Inputs[0]]]
		a.relu = true
		return l.scaleBlocked(a)
	default:
		if n.Op == "Add" {
			if y := l.addScaled(n.Inputs); y != "" {
				return y
			}
		}
		if inputs := l.blockedOperands(n.Op, n.Inputs); inputs != nil {
			return l.EmitIn("", n.Op, 1, n.Attrs, inputs...)[0]
		}
	}
	return ""
}

// elementwise lists operators that work on blocked images as on plain ones.
var elementwise = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Sum": true, "Max": true, "Min": true, "Neg": true, "Abs": true,
	"Relu": true, "LeakyRelu": true, "Elu": true, "Sigmoid": true, "HardSigmoid": true, "HardSwish": true, "Tanh": true,
	"Exp": true, "Sqrt": true, "Softplus": true, "Clip": true,
}

// blockedOperands are the blocked forms of the inputs of an elementwise
// operator, nil unless one of them has such a form and the others are of its
// shape, one position of it, or scalars.
func (l *Layout) blockedOperands(op string, inputs []string) []string {
	if !elementwise[op] {
		return nil
	}
	like := ""
	for _, in := range inputs {
		if l.of[in] != "" && (like == "" || emit.OnePosition(l.Shape(like))) {
			like = in
		}
	}
	if like == "" {
		return nil
	}
	blocked := make([]string, len(inputs))
	for i, in := range inputs {
		switch s, shape := l.Shape(in), l.Shape(like); {
		case in == "" || s != nil && len(s) == 0:
			blocked[i] = in
		case s.Equal(shape):
			blocked[i] = l.ToBlocks(in)
		case emit.OnePosition(s) && s[0] == shape[0] && s[1] == shape[1]:
			blocked[i] = l.blockedSpread(in, like)
		default:
			return nil
		}
	}
	return blocked
}

// blockedSpread is images of one position repeated at every position of like, in blocks.
func (l *Layout) blockedSpread(x, like string) string {
	s := l.images(like)
	return l.enlargeBlocked(x, s[2].N, s[3].N)
}

// enlargeBlocked repeats every position of blocked images in h rows and w columns.
func (l *Layout) enlargeBlocked(x string, h, w int64) string {
	s := l.images(x)
	y := l.EmitIn(Domain, "Upsample", 1, emit.Attrs{"scales": onnx.IntsAttr(1, 1, h, w), "mode": onnx.StringAttr("nearest")}, x)[0]
	l.Inf.Set(onnx.Value{Name: y, DType: l.DType(x), Shape: onnx.Shape{s[0], s[1], onnx.Const(s[2].N * h), onnx.Const(s[3].N * w)}})
	return y
}

// canConcat is whether joining these along axis joins whole blocks of channels.
func (l *Layout) canConcat(axis int64, images ...string) bool {
	if axis != 1 && axis != -3 {
		return false
	}
	for _, x := range images {
		s := l.Shape(x)
		if len(s) != 4 || l.DType(x) != onnx.Float32 || !s[1].IsConst() || s[1].N%l.block != 0 || !s[2].IsConst() || !s[3].IsConst() {
			return false
		}
	}
	return true
}

// blockRows is blocked images with their blocks as the second of three dimensions.
func (l *Layout) blockRows(x string) string {
	s, b := l.images(x), l.block
	return l.Flat(x, 0, s[1].N/b, s[2].N*s[3].N*b)
}

// blockedConcat joins images in blocks along their channels.
func (l *Layout) blockedConcat(n *onnx.Node) string {
	if !slices.ContainsFunc(n.Inputs, func(x string) bool { return l.of[x] != "" }) || !l.canConcat(n.Int("axis", 0), n.Inputs...) {
		return ""
	}
	s, channels := l.images(n.Inputs[0]), int64(0)
	parts := make([]string, len(n.Inputs))
	for i, x := range n.Inputs {
		channels += l.channels(x)
		parts[i] = l.blockRows(l.ToBlocks(x))
	}
	return l.Flat(l.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(1)}, parts...), 0, channels, s[2].N, s[3].N)
}

// scaled is scale*x + shift by channel of blocked images, plus other images,
// and then perhaps a Relu: a convolution of 1x1 by channel is the one
// operator that does it in one pass over blocks.
//
// With a mean it is scale*(x - mean) + shift + times*plus, by an operator of
// runtime/kernels.
type scaled struct {
	x, scale, shift, plus string // scale and shift are [C]; shift and plus may be ""
	mean, times           string // [C], may be ""
	relu                  bool
}

func (l *Layout) scaleBlocked(s scaled) string {
	if s.mean != "" {
		return l.affine(s)
	}
	channels := l.channels(s.x)
	a := emit.Attrs{"kernel_shape": onnx.IntsAttr(1, 1), "group": onnx.IntAttr(channels)}
	if s.relu {
		a["activation"] = onnx.StringAttr("Relu")
	}
	inputs := []string{s.x, l.Flat(s.scale, channels, 1, 1, 1)}
	if s.shift != "" || s.plus != "" {
		inputs = append(inputs, s.shift)
	}
	if s.plus != "" {
		inputs = append(inputs, s.plus)
	}
	y := l.EmitIn(Domain, "Conv", 1, a, inputs...)[0]
	if !s.relu {
		l.scaled[y] = &s
	}
	return y
}

// blockedNorm emits a normalisation by statistics of the batch.
func (l *Layout) blockedNorm(n *onnx.Node, centred string) string {
	b, mean := l.of[centred], ""
	if centred == "" && l.Kernels {
		b, mean = l.of[n.Inputs[0]], n.Inputs[3]
	}
	if b == "" {
		return ""
	}
	eps := l.Scalar(float64(n.Float("epsilon", 1e-5)))
	inv := l.Emit("Reciprocal", nil, l.Emit("Sqrt", nil, l.Add(n.Inputs[4], eps)))
	return l.scaleBlocked(scaled{x: b, mean: mean, scale: l.Mul(n.Inputs[1], inv), shift: n.Inputs[2]})
}

// centre is x less the mean of its channel, "" where x has no blocked form.
func (l *Layout) centre(x, mean string) string {
	b := l.of[x]
	if b == "" {
		return ""
	}
	ones := make([]float32, l.channels(x))
	for i := range ones {
		ones[i] = 1
	}
	return l.ToPlain(l.scaleBlocked(scaled{x: b, scale: l.Float32s(ones, int64(len(ones))), shift: l.Neg(mean)}))
}

// maxPooled is the most positions that are added up one after the other.
const maxPooled = 1024

// blockedSum is channelSum of blocked images: positions first, then images.
func (l *Layout) blockedSum(x string) string {
	s := l.images(x)
	sums := l.Sum(l.Flat(l.blockedMean(x), 0, s[1].N), false, 0)
	return l.Mul(sums, l.Scalar(float64(s[2].N*s[3].N)))
}

// blockedMean is the mean of blocked images over their positions, [N, C, 1, 1]:
// by pooling, in two steps where they are many.
func (l *Layout) blockedMean(x string) string {
	h, w := l.images(x)[2].N, l.images(x)[3].N
	if h*w > maxPooled {
		row := onnx.IntsAttr(1, w)
		x = l.EmitIn(Domain, "AveragePool", 1, emit.Attrs{"kernel_shape": row, "strides": row}, x)[0]
	}
	return l.EmitIn(Domain, "GlobalAveragePool", 1, nil, x)[0]
}

// interleave moves the second of four dimensions inwards by blocks: the
// memory of the result is [d0, d1/b, d2, d3, b].
func (l *Layout) interleave(x string, dims ...int64) string {
	return l.reorder(l.Flat(x, dims...), nil)
}

// swapBlocks exchanges rows and columns of images in blocks: x reads
// [N, H, 1, W*b], and the result lies in memory as [N, W, H, b].
func (l *Layout) swapBlocks(x string) string {
	return l.reorder(x, emit.Attrs{"channels_last": onnx.IntAttr(1)})
}

// reorder moves values into blocks of channels, of which the last may be
// filled up with zeros: inference, which does not know the size of a block, is
// told how many channels there are.
func (l *Layout) reorder(x string, a emit.Attrs) string {
	y := l.EmitIn(Domain, "ReorderInput", 1, a, x)[0]
	v, _ := l.Inf.Type(y)
	s := l.Shape(x)
	if len(s) != 4 || len(v.Shape) != 4 {
		return y
	}
	channels := s[1]
	if a != nil { // channels_last
		channels = s[3]
	}
	if b := l.block; channels.IsConst() {
		v.Shape[1] = onnx.Const((channels.N + b - 1) / b * b)
		l.Inf.Set(v)
	}
	return y
}

// images is the shape of images of known channels and size; others fail the graph.
func (l *Layout) images(x string) onnx.Shape {
	s := l.Shape(x)
	if len(s) == 4 && s[1:].IsConst() {
		return s
	}
	l.Fail("%q has the shape %v, which is not that of images of a known size: %w", x, s, emit.ErrModel)
	return onnx.ShapeOf(1, l.block, 1, 1)
}

// channels is how many channels images have, whatever their size.
func (l *Layout) channels(x string) int64 {
	if s := l.Shape(x); len(s) > 1 && s[1].IsConst() {
		return s[1].N
	}
	return l.images(x)[1].N
}

// ToBlocks is the blocked form of images.
func (l *Layout) ToBlocks(x string) string {
	if b := l.of[x]; b != "" {
		return b
	}
	return l.reorder(x, nil)
}

// ToPlain is the plain form of blocked images.
func (l *Layout) ToPlain(b string) string {
	x := l.EmitIn(Domain, "ReorderOutput", 1, emit.Attrs{"channels": onnx.IntAttr(l.channels(b))}, b)[0]
	l.of[x] = b
	return x
}
