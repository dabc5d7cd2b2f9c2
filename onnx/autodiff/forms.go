package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// Forms of a convolution's gradient with respect to its input.
const (
	DataTranspose = "transpose" // ConvTranspose with the same filter
	DataFlip      = "flip"      // Conv with the filter turned around; stride 1 only
	DataBlocked   = "blocked"   // the same in the blocked layout, a Conv for each phase of the stride
	DataWinograd  = "winograd"  // the same with half the products, 3x3 of stride 1 only; the forward pass takes it too
)

// Forms of a convolution's gradient with respect to its filter.
const (
	WeightGemm   = "gemm"   // one product over the whole batch, patches channel first
	WeightImages = "images" // one product an image, summed
	WeightTaps   = "taps"   // one product over the whole batch for each tap of the filter, without patches
	WeightBatch  = "batch"  // a convolution over images; blocked layout only
	WeightEach   = "each"   // a convolution for each image, by channel; blocked layout only

	WeightWinograd = "winograd" // as batch, with half the products, 3x3 of stride 1 only; blocked layout only
)

// Kernel is a form that stands for an operator of the project's own (runtime/kernels):
// where it goes first it is taken, and there is nothing to choose.
const Kernel = "kernel"

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
}

// Form is one way to write a gradient that has several.
type Form struct {
	Name string
	Emit func() string
}

// choose emits a gradient in the form that is chosen for its case, else in the one
// asked for in general, else in the shape's own, the first.
func (n *Node) choose(c Case, general string, forms []Form) string {
	if forms[0].Name == Kernel {
		return forms[0].Emit()
	}
	for _, f := range forms {
		c.Forms = append(c.Forms, f.Name)
	}
	if n.Walk.Record != nil && len(forms) > 1 && n.DType(n.Inputs[0]) == onnx.Float32 {
		n.Walk.Record(c)
	}
	for _, want := range []string{n.Walk.Lowering.Forms[c.Key], general} {
		for _, f := range forms {
			if f.Name == want {
				return f.Emit()
			}
		}
	}
	return forms[0].Emit()
}

// Gradients that have several forms.
const (
	ConvData   = "Conv data"
	ConvFilter = "Conv filter"
	PoolData   = "MaxPool"
)

// Case is one gradient of one geometry that has several forms: what can be
// timed by itself, and chosen in Lowering.Forms.
type Case struct {
	// Key names gradient, layout and geometry, whatever the batch size.
	Key string
	// Forms are those that the geometry allows, the default first.
	Forms []string
	// Block is how many channels a block has of the graph that the gradient stands in; 0 in the plain one.
	Block int64
	Geometry
}

// Geometry is what a case's gradient follows from but for the number of images.
type Geometry struct {
	Gradient           string
	Window             Window
	Channels, OutC     int64 // of the image, and of what is made of it
	Group              int64
	XBlocked, YBlocked bool       // whether the image and the adjoint are in blocks where the gradient is wanted
	Attrs              emit.Attrs // of a pooling's forward node
}

func (c Conv) asCase(gradient string) Case {
	return caseOf(c.Node, Geometry{Gradient: gradient, Window: c.Window, Channels: c.GroupC * c.Group, OutC: c.OutC, Group: c.Group})
}

// DataKey is the key of the data gradient's case in a layout with block
// channels to a block, of an image and what is made of it that have a form in it or not.
func (c Conv) DataKey(block int64, x, y bool) string {
	return Case{Block: block, Geometry: Geometry{
		Gradient: ConvData, Window: c.Window, Channels: c.GroupC * c.Group, OutC: c.OutC, Group: c.Group, XBlocked: x, YBlocked: y,
	}}.key()
}

func poolCase(n *Node, w Window) Case {
	channels := n.Shape(n.Inputs[0])[1].N
	return caseOf(n, Geometry{Gradient: PoolData, Window: w, Channels: channels, OutC: channels, Group: 1, Attrs: n.Attrs})
}

// caseOf fills in what follows from the place in a graph, and the key.
func caseOf(n *Node, g Geometry) Case {
	c := Case{Geometry: g}
	if l := n.Walk.Layout; l != nil {
		c.Block, c.XBlocked, c.YBlocked = l.Block(), l.Blocked(n.Inputs[0]), l.Blocked(n.Outputs[0])
	}
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
	w := c.Window
	fmt.Fprintf(&b, "%s: %s -> %s, kernel %s, strides %s, pads %s", c.Gradient,
		side(c.XBlocked, c.Channels, w.In), side(c.YBlocked, c.OutC, w.Out),
		by(w.Kernel, "x"), by(w.Stride, "x"), by(slices.Concat(w.Begin, w.End), ","))
	if slices.ContainsFunc(w.Dilation, func(d int64) bool { return d != 1 }) {
		fmt.Fprintf(&b, ", dilations %s", by(w.Dilation, "x"))
	}
	if c.Group > 1 {
		fmt.Fprintf(&b, ", groups %d", c.Group)
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

// FormsFor are the forms that a batch of n can take: a convolution over
// images needs whole blocks of them.
func (c Case) FormsFor(n int64) []string {
	return slices.DeleteFunc(slices.Clone(c.Forms), func(form string) bool {
		return (form == WeightBatch || form == WeightWinograd && c.Gradient == ConvFilter) && n%c.Block != 0
	})
}
