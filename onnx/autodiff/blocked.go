package autodiff

import (
	"slices"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// blockedDomain has ONNX Runtime's CPU operators on blocked images: in memory
// [N, C/b, H, W, b] with b channels to a block, though the shape still reads
// [N, C, H, W]. Their convolution takes filters that are no constants. The
// library turns to them by itself only where filters are constants, which
// those of a training graph never are.
const blockedDomain = "com.microsoft.nchwc"

// blocks is an emitter's use of the blocked layout.
type blocks struct {
	size  int64             // channels to a block; 0 where only standard operators are wanted
	whole string            // boolean [1]: whether the number of images is a multiple of size
	of    map[string]string // the blocked form of a value that was made from one

	scaled map[string]*scaled // how a blocked value was made
}

// blockImages turns to the blocked layout, with size channels to a block.
func (e *emitter) blockImages(size int64, labels string) {
	e.blocks = blocks{size: size, of: map[string]string{}, scaled: map[string]*scaled{}}
	if size == 0 || labels == "" {
		return
	}
	n := e.op("Shape", attrs{"start": onnx.IntAttr(0), "end": onnx.IntAttr(1)}, labels)
	e.blocks.whole = e.op("Equal", nil, e.op("Mod", nil, n, e.ints(size)), e.ints(0))
}

// forward adds a node of the model, in the blocked layout where that is asked
// for and the node has a form in it.
func (e *emitter) forward(n *onnx.Node) {
	e.within(bundle.PartForward, n)
	if y := e.forwardBlocked(n); y != "" && e.err == nil {
		last := e.graph.Nodes[len(e.graph.Nodes)-1]
		if last.Outputs[0] == y { // it is what the model's node has become
			last.Name = n.Name
		}
		e.add(&onnx.Node{
			Name: e.fresh("reorderoutput"), Op: "ReorderOutput", Domain: blockedDomain, Inputs: []string{y}, Outputs: n.Outputs[:1],
			Attrs: attrs{"channels": onnx.IntAttr(e.channels(y))},
		})
		e.blocks.of[n.Outputs[0]] = y
		return
	}
	e.add(n)
}

// forwardBlocked is the blocked output of a node of the model, "" if it has none.
func (e *emitter) forwardBlocked(n *onnx.Node) string {
	switch {
	case e.blocks.size == 0 || e.err != nil || n.Domain != "":
	case n.Op == "Conv":
		return e.blockedConv(n)
	case n.Op == "BatchNormalization":
		return e.blockedNorm(n)
	case n.Op == "MaxPool":
		return e.blockedPool(n)
	case n.Op == "AveragePool":
		return e.blockedMeans(n)
	case n.Op == "Concat":
		return e.blockedConcat(n)
	case n.Op == "GlobalAveragePool" && e.blocks.of[n.Inputs[0]] != "":
		return e.blockedMean(e.blocks.of[n.Inputs[0]])
	case n.Op == "Relu" && e.blocks.scaled[e.blocks.of[n.Inputs[0]]] != nil:
		a := *e.blocks.scaled[e.blocks.of[n.Inputs[0]]]
		a.relu = true
		return e.scaleBlocked(a)
	default:
		if inputs := e.blockedOperands(n.Op, n.Inputs); inputs != nil {
			return e.opsIn("", n.Op, 1, n.Attrs, e.levelled(n.Op, inputs)...)[0]
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
func (e *emitter) blockedOperands(op string, inputs []string) []string {
	if !elementwise[op] || e.blocks.size == 0 {
		return nil
	}
	like := ""
	for _, in := range inputs {
		if e.blocks.of[in] != "" && (like == "" || onePosition(e.shape(like))) {
			like = in
		}
	}
	if like == "" {
		return nil
	}
	blocked := make([]string, len(inputs))
	for i, in := range inputs {
		switch s, shape := e.shape(in), e.shape(like); {
		case in == "" || s != nil && len(s) == 0:
			blocked[i] = in
		case s.Equal(shape):
			blocked[i] = e.blockIn(in)
		case onePosition(s) && s[0] == shape[0] && s[1] == shape[1]:
			blocked[i] = e.blockedSpread(in, like)
		default:
			return nil
		}
	}
	return blocked
}

// onePosition is whether images of shape s have one: their blocks lie in
// memory as they do without.
func onePosition(s onnx.Shape) bool {
	return len(s) == 4 && s[2] == onnx.Const(1) && s[3] == onnx.Const(1)
}

// blockedSpread is images of one position repeated at every position of like, in blocks.
func (e *emitter) blockedSpread(x, like string) string {
	s := e.images(like)
	return e.enlargeBlocked(x, s[2].N, s[3].N)
}

// enlargeBlocked repeats every position of blocked images in h rows and w columns.
func (e *emitter) enlargeBlocked(x string, h, w int64) string {
	s := e.images(x)
	y := e.opsIn(blockedDomain, "Upsample", 1, attrs{"scales": onnx.IntsAttr(1, 1, h, w), "mode": onnx.StringAttr("nearest")}, x)[0]
	e.inf.Set(onnx.Value{Name: y, DType: e.dtype(x), Shape: onnx.Shape{s[0], s[1], onnx.Const(s[2].N * h), onnx.Const(s[3].N * w)}})
	return y
}

// joinable is whether joining these along axis joins whole blocks of channels.
func (e *emitter) joinable(axis int64, images ...string) bool {
	if axis != 1 && axis != -3 || e.blocks.size == 0 {
		return false
	}
	for _, x := range images {
		s := e.shape(x)
		if len(s) != 4 || e.dtype(x) != onnx.Float32 || !s[1].IsConst() || s[1].N%e.blocks.size != 0 || !s[2].IsConst() || !s[3].IsConst() {
			return false
		}
	}
	return true
}

// rows is blocked images with their blocks as the second of three dimensions.
func (e *emitter) rows(x string) string {
	s, b := e.images(x), e.blocks.size
	return e.flat(x, 0, s[1].N/b, s[2].N*s[3].N*b)
}

// blockedConcat joins images in blocks along their channels.
func (e *emitter) blockedConcat(n *onnx.Node) string {
	if !slices.ContainsFunc(n.Inputs, func(x string) bool { return e.blocks.of[x] != "" }) || !e.joinable(n.Int("axis", 0), n.Inputs...) {
		return ""
	}
	s, channels := e.images(n.Inputs[0]), int64(0)
	parts := make([]string, len(n.Inputs))
	for i, x := range n.Inputs {
		channels += e.channels(x)
		parts[i] = e.rows(e.blockIn(x))
	}
	return e.flat(e.op("Concat", attrs{"axis": onnx.IntAttr(1)}, parts...), 0, channels, s[2].N, s[3].N)
}

// scaled is scale*x + shift by channel of blocked images, plus other images,
// and then perhaps a Relu: a convolution of 1x1 by channel is the one
// operator that does it in one pass over blocks.
type scaled struct {
	x, scale, shift, plus string // scale and shift are [C]; shift and plus may be ""
	relu                  bool
}

func (e *emitter) scaleBlocked(s scaled) string {
	channels := e.channels(s.x)
	a := attrs{"kernel_shape": onnx.IntsAttr(1, 1), "group": onnx.IntAttr(channels)}
	if s.relu {
		a["activation"] = onnx.StringAttr("Relu")
	}
	inputs := []string{s.x, e.flat(s.scale, channels, 1, 1, 1)}
	if s.shift != "" || s.plus != "" {
		inputs = append(inputs, s.shift)
	}
	if s.plus != "" {
		inputs = append(inputs, s.plus)
	}
	y := e.opsIn(blockedDomain, "Conv", 1, a, inputs...)[0]
	if !s.relu {
		e.blocks.scaled[y] = &s
	}
	return y
}

// blockedNorm emits a normalisation by statistics of the batch.
func (e *emitter) blockedNorm(n *onnx.Node) string {
	stats, ok := e.stats[n]
	centered := e.blocks.of[stats.centered]
	if !ok || centered == "" {
		return ""
	}
	eps := e.scalar(float64(n.Float("epsilon", 1e-5)))
	inv := e.op("Reciprocal", nil, e.op("Sqrt", nil, e.addOp(n.Inputs[4], eps)))
	return e.scaleBlocked(scaled{x: centered, scale: e.mul(n.Inputs[1], inv), shift: n.Inputs[2]})
}

// lessMean is x less the mean of its channel.
func (e *emitter) lessMean(x, mean string) string {
	if b := e.blocks.of[x]; b != "" {
		ones := make([]float32, e.channels(x))
		for i := range ones {
			ones[i] = 1
		}
		return e.blockOut(e.scaleBlocked(scaled{x: b, scale: e.floats(ones, int64(len(ones))), shift: e.neg(mean)}))
	}
	return e.sub(x, e.reshape(mean, e.perChannel(mean, len(e.shape(x)))))
}

// maxPooled is the most positions that are added up one after the other.
const maxPooled = 1024

// blockedSum is channelSum of blocked images: positions first, then images.
func (e *emitter) blockedSum(x string) string {
	s := e.images(x)
	sums := e.sum(e.flat(e.blockedMean(x), 0, s[1].N), false, 0)
	return e.mul(sums, e.scalar(float64(s[2].N*s[3].N)))
}

// blockedMean is the mean of blocked images over their positions, [N, C, 1, 1]:
// by pooling, in two steps where they are many.
func (e *emitter) blockedMean(x string) string {
	h, w := e.images(x)[2].N, e.images(x)[3].N
	if h*w > maxPooled {
		row := onnx.IntsAttr(1, w)
		x = e.opsIn(blockedDomain, "AveragePool", 1, attrs{"kernel_shape": row, "strides": row}, x)[0]
	}
	return e.opsIn(blockedDomain, "GlobalAveragePool", 1, nil, x)[0]
}

// interleave moves the second of four dimensions inwards by blocks: the
// memory of the result is [d0, d1/b, d2, d3, b].
func (e *emitter) interleave(x string, dims ...int64) string {
	return e.reorder(e.flat(x, dims...), nil)
}

// exchange makes [N, H, 1, W*b] into the memory of [N, W, H, b].
func (e *emitter) exchange(x string) string {
	return e.reorder(x, attrs{"channels_last": onnx.IntAttr(1)})
}

// reorder moves values into blocks of channels, of which the last may be
// filled up with zeros: inference, which does not know the size of a block, is
// told how many channels there are.
func (e *emitter) reorder(x string, a attrs) string {
	y := e.opsIn(blockedDomain, "ReorderInput", 1, a, x)[0]
	v, _ := e.inf.Type(y)
	s := e.shape(x)
	if len(s) != 4 || len(v.Shape) != 4 {
		return y
	}
	channels := s[1]
	if a != nil { // channels_last
		channels = s[3]
	}
	if b := e.blocks.size; channels.IsConst() {
		v.Shape[1] = onnx.Const((channels.N + b - 1) / b * b)
		e.inf.Set(v)
	}
	return y
}

// images is the shape of images of known channels and size; others fail the graph.
func (e *emitter) images(x string) onnx.Shape {
	s := e.shape(x)
	if len(s) == 4 && s[1:].IsConst() {
		return s
	}
	e.fail("%q has the shape %v, which is not that of images of a known size: %w", x, s, ErrModel)
	return onnx.ShapeOf(1, e.blocks.size, 1, 1)
}

// channels is how many channels images have, whatever their size.
func (e *emitter) channels(x string) int64 {
	if s := e.shape(x); len(s) > 1 && s[1].IsConst() {
		return s[1].N
	}
	return e.images(x)[1].N
}

// blockIn is the blocked form of images.
func (e *emitter) blockIn(x string) string {
	if b := e.blocks.of[x]; b != "" {
		return b
	}
	return e.reorder(x, nil)
}

// blockOut is the plain form of blocked images.
func (e *emitter) blockOut(b string) string {
	x := e.opsIn(blockedDomain, "ReorderOutput", 1, attrs{"channels": onnx.IntAttr(e.channels(b))}, b)[0]
	e.blocks.of[x] = b
	return x
}
