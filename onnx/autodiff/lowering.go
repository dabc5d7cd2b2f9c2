package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/infer"
)

// Forms of a convolution's gradient with respect to its input.
const (
	DataTranspose = "transpose" // ConvTranspose with the same filter
	DataFlip      = "flip"      // Conv with the filter turned around; stride 1 only
	DataBlocked   = "blocked"   // the same in the blocked layout, a Conv for each phase of the stride
)

// Forms of a convolution's gradient with respect to its filter.
const (
	WeightGemm   = "gemm"   // one product over the whole batch, patches channel first
	WeightImages = "images" // one product an image, summed
	WeightTaps   = "taps"   // one product over the whole batch for each tap of the filter, without patches
	WeightBatch  = "batch"  // a convolution over images; blocked layout only
	WeightEach   = "each"   // a convolution for each image, by channel; blocked layout only
)

// Forms of a maximum pooling's gradient.
const (
	PoolScatter = "scatter" // g scattered to the indices that the pooling gives
	PoolCompare = "compare" // the image compared with its maxima; windows side by side only
	PoolBlocked = "blocked" // the same in the blocked layout
)

// Lowering picks the form of each gradient that has several; an empty field
// leaves the choice to the shape. A form that a shape does not allow is passed over.
type Lowering struct {
	Data, Weight, Pool string
	// Forms has the form of single gradients by Case.Key; it goes before the fields above.
	Forms map[string]string
	// Block is how many channels ONNX Runtime's CPU provider puts into a block
	// on this machine (runtime.Device.ConvBlock): convolutions then take the
	// provider's own operators. 0 leaves a graph of standard operators.
	Block int64
	// Insist makes it an error that the graph in blocks cannot be made; else
	// it is left out with a warning.
	Insist bool

	seen func(Case) // told of each gradient that has several forms
}

// pick is the form that a gradient takes: the one for its key, else the one
// asked for in general, else the shape's own.
func (l Lowering) pick(c Case, general string) string {
	if l.seen != nil && len(c.Forms) > 1 {
		l.seen(c)
	}
	for _, want := range []string{l.Forms[c.Key], general} {
		if slices.Contains(c.Forms, want) {
			return want
		}
	}
	return c.Forms[0]
}

// flipArea is the smallest output area at which the flipped filter was measured
// faster than ConvTranspose (ONNX Runtime CPU provider, 3x3 filters of 16 to 512 channels).
const flipArea = 144

func (l Lowering) data(c conv) string {
	w := c.window
	able := w.unitStride()
	for i := range w.in {
		able = able && w.extent(i)-1 >= max(w.begin[i], w.end[i])
	}
	forms := []string{DataTranspose}
	switch {
	case able && w.area() >= flipArea:
		forms = []string{DataFlip, DataTranspose}
	case able:
		forms = []string{DataTranspose, DataFlip}
	}
	if c.canBlockData() {
		forms = append([]string{DataBlocked}, forms...)
	}
	return l.pick(c.asCase(gradData, forms), l.Data)
}

// weight takes a convolution over images where that has a form and spares
// patches, else one of weightPlain's products.
func (l Lowering) weight(c conv) string {
	forms := c.plainForms()
	if c.canWeighImages() {
		forms = append([]string{WeightEach}, forms...)
	}
	if c.canBlockWeight() {
		if c.tapCount() > 1 {
			forms = append([]string{WeightBatch}, forms...)
		} else {
			forms = append(forms, WeightBatch)
		}
	}
	return l.pick(c.asCase(gradFilter, forms), l.Weight)
}

// plainForms takes one product an image where its result is smaller than its
// operands, else one over the batch: where the two cross is where they were
// measured equally fast. A grouped convolution has one form only.
func (c conv) plainForms() []string {
	columns := c.groupC * c.tapCount()
	switch {
	case c.group > 1:
		return []string{WeightImages}
	case c.outC*columns > c.area()*(c.outC+columns):
		return []string{WeightGemm, WeightImages, WeightTaps}
	}
	return []string{WeightImages, WeightGemm, WeightTaps}
}

func (l Lowering) pool(n *node, w window) string {
	forms := []string{PoolScatter}
	if n.canComparePool(w) {
		forms = append([]string{PoolCompare}, forms...)
	}
	if n.canBlockPool(w) {
		forms = append([]string{PoolBlocked}, forms...)
	}
	return l.pick(poolCase(n, w, forms), l.Pool)
}

// Gradients that have several forms.
const (
	gradData   = "Conv data"
	gradFilter = "Conv filter"
	gradPool   = "MaxPool"
)

// Case is one gradient of one geometry that has several forms: what can be
// timed by itself, and chosen in Lowering.Forms.
type Case struct {
	// Key names gradient, layout and geometry, whatever the batch size.
	Key string
	// Forms are those that the geometry allows, the default first.
	Forms []string
	// Block is Lowering.Block of the graph that the gradient stands in.
	Block int64
	// Insist makes it an error that the graph in blocks cannot be made; else
	// it is left out with a warning.
	Insist bool

	gradient           string
	window             window
	channels, outC     int64 // of the image, and of what is made of it
	group              int64
	xBlocked, yBlocked bool // whether the image and the adjoint are in blocks where the gradient is wanted
	float32            bool
	attrs              attrs // of a pooling's forward node
}

func (c conv) asCase(gradient string, forms []string) Case {
	return Case{
		Forms: forms, gradient: gradient, window: c.window, channels: c.groupC * c.group, outC: c.outC, group: c.group,
	}.in(c.node)
}

func poolCase(n *node, w window, forms []string) Case {
	channels := n.shape(n.Inputs[0])[1].N
	return Case{Forms: forms, gradient: gradPool, window: w, channels: channels, outC: channels, group: 1, attrs: n.Attrs}.in(n)
}

// in fills in what follows from the place in a graph, and the key.
func (c Case) in(n *node) Case {
	c.Block = n.blocks.size
	c.xBlocked, c.yBlocked = n.blocks.of[n.Inputs[0]] != "", n.blocks.of[n.Outputs[0]] != ""
	c.float32 = n.dtype(n.Inputs[0]) == onnx.Float32
	c.Key = c.key()
	return c
}

func (c Case) key() string {
	var b strings.Builder
	if c.Block > 0 {
		fmt.Fprintf(&b, "nchwc%d ", c.Block)
	}
	side := func(blocked bool, channels int64, size []int64) string {
		text := by(append([]int64{channels}, size...), "x")
		if blocked {
			text = "blocked " + text
		}
		return text
	}
	w := c.window
	fmt.Fprintf(&b, "%s: %s -> %s, kernel %s, strides %s, pads %s", c.gradient,
		side(c.xBlocked, c.channels, w.in), side(c.yBlocked, c.outC, w.out),
		by(w.kernel, "x"), by(w.stride, "x"), by(slices.Concat(w.begin, w.end), ","))
	if slices.ContainsFunc(w.dilation, func(d int64) bool { return d != 1 }) {
		fmt.Fprintf(&b, ", dilations %s", by(w.dilation, "x"))
	}
	if c.group > 1 {
		fmt.Fprintf(&b, ", groups %d", c.group)
	}
	return b.String()
}

func by(v []int64, sep string) string {
	parts := make([]string, len(v))
	for i, x := range v {
		parts[i] = fmt.Sprint(x)
	}
	return strings.Join(parts, sep)
}

// cases lists the gradients with several forms that building the training
// graphs meets, each key once, in the order backward; the portable graph's first.
// Where there can be no blocked graph, o is told.
func (f *forward) cases(told *Options) ([]Case, error) {
	var list []Case
	o := *told
	o.Lowering.seen = func(c Case) {
		if c.float32 && !slices.ContainsFunc(list, func(x Case) bool { return x.Key == c.Key }) {
			list = append(list, c)
		}
	}
	portable := o
	portable.Lowering.Block = 0
	if err := buildTrain(f, portable, scratch(o)); err != nil {
		return nil, err
	}
	if o.Lowering.Block == 0 {
		return list, nil
	}
	if err := buildTrain(f, o, scratch(o)); err != nil {
		list = slices.DeleteFunc(list, func(c Case) bool { return c.Block != 0 })
		return list, told.leaveBlocksOut(err)
	}
	return list, nil
}

// FormsFor are the forms that a batch of n can take: a convolution over
// images needs whole blocks of them.
func (c Case) FormsFor(n int64) []string {
	return slices.DeleteFunc(slices.Clone(c.Forms), func(form string) bool {
		return form == WeightBatch && n%c.Block != 0
	})
}

// Graph writes one form of the gradient as a graph by itself, for batches of n:
// float32 inputs are what the gradient takes, the image, a convolution's
// filter for its data gradient, and the adjoint, blocked ones as they lie in
// memory; the outputs what it gives, and of a pooling the forward pass too,
// since a form may ask more of it.
func (c Case) Graph(form string, n int64) (model []byte, inputs, outputs []onnx.Value, err error) {
	if !slices.Contains(c.FormsFor(n), form) {
		return nil, nil, nil, optionError("form", "%s has none called %q for batches of %d", c.Key, form, n)
	}
	g := &onnx.Graph{Name: "form", Initializers: map[string]*onnx.Tensor{}}
	e := newEmitter(g, infer.New(g))
	e.blockImages(c.Block, "")
	input := func(name string, blocked bool, dims ...int64) string {
		v := onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(dims...)}
		g.Inputs = append(g.Inputs, v)
		e.taken[name] = true
		e.inf.Set(v)
		if blocked { // the memory of such an image, in the shape of a plain one
			return e.blockOut(name)
		}
		return name
	}
	w := c.window
	in, out := slices.Concat([]int64{n, c.channels}, w.in), slices.Concat([]int64{n, c.outC}, w.out)
	x := "x"
	if c.gradient != gradData {
		x = input("x", c.xBlocked, in...)
	}
	dy := input("dy", c.yBlocked, out...)
	lower := Lowering{Data: form, Weight: form, Pool: form, Block: c.Block}
	node := &node{emitter: e, dy: []string{dy}, lower: lower, Node: &onnx.Node{Op: "Conv", Inputs: []string{x, "filter"}, Outputs: []string{"y"}}}
	result := func(value string, blocked bool) {
		if blocked {
			value = e.blockIn(value)
		}
		e.output(value)
	}
	conv := conv{node: node, window: w, group: c.group, outC: c.outC, groupC: c.channels / c.group}
	switch c.gradient {
	case gradData:
		input("filter", false, slices.Concat([]int64{c.outC, c.channels / c.group}, w.kernel)...)
		result(conv.data(), c.xBlocked)
	case gradFilter:
		result(conv.weight(), false)
	case gradPool:
		node.Node = &onnx.Node{Name: "pool", Op: "MaxPool", Inputs: []string{x}, Outputs: []string{"y"}, Attrs: c.attrs}
		e.taken["y"] = true
		e.forward(node.Node)
		dx, err := gradMaxPool(node)
		if err != nil {
			return nil, nil, nil, err
		}
		result("y", c.yBlocked)
		result(dx[0], c.xBlocked)
	}
	if e.err != nil {
		return nil, nil, nil, e.err
	}
	if model, err = encode(g); err != nil {
		return nil, nil, nil, err
	}
	return model, g.Inputs, g.Outputs, nil
}
