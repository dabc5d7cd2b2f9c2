package export

import (
	"regexp"
	"slices"
	"strings"

	"winnow/onnx"
)

// role is what a graph does with a tensor of the file, and what follows from
// it where the file itself does not say whether the tensor is a parameter.
type role struct {
	name   string
	fixed  bool // no weight
	unsure bool // a guess
}

// outranks orders the roles of a tensor with several uses: what is a weight in
// one place is one, and what is sure counts before what is guessed.
func (r role) outranks(s role) bool {
	if r.unsure != s.unsure {
		return s.unsure
	}
	return !r.fixed && s.fixed
}

// inputRoles are the roles that an operator gives its inputs by their place.
var inputRoles = map[string]map[int]role{
	"Conv":                  {1: {name: "filters"}, 2: {name: "bias"}},
	"ConvTranspose":         {1: {name: "filters"}, 2: {name: "bias"}},
	"Gemm":                  {2: {name: "bias"}},
	"BatchNormalization":    {1: {name: "scale"}, 2: {name: "shift"}, 3: {name: "running mean", fixed: true}, 4: {name: "running variance", fixed: true}},
	"LayerNormalization":    {1: {name: "scale"}, 2: {name: "shift"}},
	"GroupNormalization":    {1: {name: "scale"}, 2: {name: "shift"}},
	"InstanceNormalization": {1: {name: "scale"}, 2: {name: "shift"}},
	"RMSNormalization":      {1: {name: "scale"}},
	"PRelu":                 {1: {name: "slope"}},
	"LSTM":                  {1: {name: "weights"}, 2: {name: "weights"}, 3: {name: "bias"}, 5: {name: "first state", fixed: true, unsure: true}, 6: {name: "first state", fixed: true, unsure: true}, 7: {name: "peepholes"}},
	"GRU":                   {1: {name: "weights"}, 2: {name: "weights"}, 3: {name: "bias"}, 5: {name: "first state", fixed: true, unsure: true}},
	"RNN":                   {1: {name: "weights"}, 2: {name: "weights"}, 3: {name: "bias"}, 5: {name: "first state", fixed: true, unsure: true}},
	"Attention":             {3: {name: "mask", fixed: true}},
	"Clip":                  {1: {name: "bound", fixed: true}, 2: {name: "bound", fixed: true}},
	"Pad":                   {2: {name: "padding", fixed: true}},
	"Dropout":               {1: {name: "ratio", fixed: true}},
	"Resize":                {1: {name: "region", fixed: true}, 2: {name: "scales", fixed: true}},
	"Pow":                   {1: {name: "exponent", fixed: true}},
	"Mod":                   {1: {name: "divisor", fixed: true}},
	"GridSample":            {1: {name: "sampling grid", fixed: true, unsure: true}},
	"QuantizeLinear":        {1: {name: "quantisation scale", fixed: true}},
	"DequantizeLinear":      {1: {name: "quantisation scale", fixed: true}},
	"OneHot":                {2: {name: "values of a one-hot code", fixed: true}},
}

// carriers hand on the values of their first input, whatever the others are.
var carriers = map[string]bool{
	"Identity": true, "Reshape": true, "Transpose": true, "Unsqueeze": true, "Squeeze": true, "Flatten": true, "Expand": true,
	"Tile": true, "Slice": true, "Split": true, "Cast": true, "CastLike": true, "Resize": true, "Gather": true, "Pad": true,
	"QuantizeLinear": true, "DequantizeLinear": true,
}

// pointwise lists operators that keep an image an image, by which the raw
// images are followed to the first layer.
var pointwise = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Neg": true, "Clip": true, "Concat": true, "Sqrt": true, "Max": true, "Min": true,
	"Abs": true, "Pow": true, "Reciprocal": true,
}

// layers are what a bias is added behind.
var layers = map[string]bool{"MatMul": true, "Gemm": true, "Conv": true, "ConvTranspose": true, "Einsum": true}

// modulePath is what a tensor of a PyTorch module is named by; names that the
// TorchScript exporter makes up, "onnx::Mul_214" or "/fc/Constant_output_0", are none.
var modulePath = regexp.MustCompile(`^[A-Za-z_]\w*(\.\w+)*$`)

// madeUp is what PyTorch's exporter by torch.export calls constants of its own.
var madeUp = regexp.MustCompile(`^val_\d+$`)

// ofModule is whether a name can be that of a tensor of a PyTorch module.
func ofModule(name string) bool { return modulePath.MatchString(name) && !madeUp.MatchString(name) }

type use struct {
	node *onnx.Node
	at   int
}

// roles finds what initializers are for.
type roles struct {
	g        *onnx.Graph
	image    onnx.Value
	readers  map[string][]use
	producer map[string]*onnx.Node
	dynamic  map[string]bool // depends on the images
	raw      map[string]bool // the images, before any layer
}

func newRoles(g *onnx.Graph, image onnx.Value) *roles {
	r := &roles{g: g, image: image, readers: map[string][]use{}, producer: map[string]*onnx.Node{}, dynamic: map[string]bool{}, raw: map[string]bool{image.Name: true}}
	for _, in := range g.Inputs {
		r.dynamic[in.Name] = true
	}
	for _, n := range g.Nodes {
		raw, dynamic := pointwise[n.Op] || carriers[n.Op], false
		for i, in := range n.Inputs {
			r.readers[in] = append(r.readers[in], use{n, i})
			if i > 0 && carriers[n.Op] {
				continue
			}
			dynamic = dynamic || r.dynamic[in]
			raw = raw && (r.raw[in] || !r.dynamic[in] && n.Op != "Concat")
		}
		for _, o := range n.Outputs {
			r.producer[o] = n
			r.dynamic[o], r.raw[o] = dynamic, raw && dynamic
		}
	}
	return r
}

// of is the role of a float32 initializer.
func (r *roles) of(name string) role {
	t := r.g.Initializers[name]
	if r.waves(name, map[string]bool{}) && longAxes(t.Dims) < 2 {
		return role{name: "frequencies or positions of sine waves", fixed: true}
	}
	var best role
	found := false
	seen := map[string]bool{}
	var visit func(value string, spread bool)
	visit = func(value string, spread bool) {
		if seen[value] {
			return
		}
		seen[value] = true
		for _, u := range r.readers[value] {
			is, on := r.at(u, name, value, spread)
			if is.name != "" && (!found || is.outranks(best)) {
				best, found = is, true
			}
			if on {
				for _, o := range u.node.Outputs {
					visit(o, spread || u.node.Op == "Expand" || u.node.Op == "Tile")
				}
			}
		}
	}
	visit(name, false)
	if !found {
		return role{name: "reaches no output", fixed: true}
	}
	if best.unsure { // for what is sure, no copy of its numbers
		if pattern := patternOf(t); pattern != "" {
			return role{name: pattern, fixed: true}
		}
	}
	return best
}

// waves is whether a value that no image reaches goes into a sine or cosine.
func (r *roles) waves(value string, seen map[string]bool) bool {
	if seen[value] || r.dynamic[value] {
		return false
	}
	seen[value] = true
	for _, u := range r.readers[value] {
		switch {
		case u.node.Op == "Sin" || u.node.Op == "Cos":
			return true
		case carriers[u.node.Op] && u.at == 0, pointwise[u.node.Op], u.node.Op == "MatMul", u.node.Op == "Einsum", u.node.Op == "Exp":
			if slices.ContainsFunc(u.node.Outputs, func(o string) bool { return r.waves(o, seen) }) {
				return true
			}
		}
	}
	return false
}

// at is the role that one use gives an initializer, or value, which is computed
// from it and other constants; onward is whether the node's output tells more.
func (r *roles) at(u use, name, value string, spread bool) (is role, onward bool) {
	n, t := u.node, r.g.Initializers[name]
	if is, ok := inputRoles[n.Op][u.at]; ok {
		if u.at == 1 && n.Op == "Conv" && n.Int("group", 1) > 1 && (spread || value == name && sameForEachGroup(t, n.Int("group", 1))) {
			return role{name: "filters, the same for every channel", fixed: true, unsure: spread}, false
		}
		if r.neutral(u, name, t) {
			return role{name: is.name + " of a normalisation that has none", fixed: true}, false
		}
		return is, false
	}
	dynamic := r.dynamic[n.Outputs[0]]
	if is, ok := r.setting(u, t, value == name, dynamic); ok {
		return is, false
	}
	switch {
	case n.Op == "Gather" && u.at == 0 && longAxes(t.Dims) > 1:
		return role{name: "table", unsure: patternOf(t) != ""}, false
	case carriers[n.Op]:
		return role{}, u.at == 0
	case n.Op == "MatMul" || n.Op == "Gemm" || n.Op == "Einsum":
		if u.at == 0 && !r.dynamic[n.Input(1)] && n.Op != "Einsum" {
			return role{name: "input of a layer", fixed: fewValues(t), unsure: true}, false
		}
		return role{name: "weights"}, false
	case n.Op == "Concat" && dynamic:
		return role{name: "joined to what images give, as a token", unsure: true}, false
	case n.Op == "Concat" && r.keyBias(u, t):
		return role{name: "bias of keys, zero", fixed: true}, false
	case !dynamic && n.Op == "Add" && longAxes(t.Dims) == 1 && r.behindLayer(n.Input(1-u.at)):
		return role{name: "bias"}, false
	case !dynamic:
		return role{}, true
	case n.Op == "Add" || n.Op == "Sub" || n.Op == "Mul" || n.Op == "Div":
		return r.arithmetic(u, name, t), false
	}
	return role{name: "input of " + n.Op, fixed: t.Len() == 1, unsure: true}, false
}

// setting is the role of a number that steers a node and is nobody's weight.
// alone is whether the node reads the initializer itself.
func (r *roles) setting(u use, t *onnx.Tensor, alone, dynamic bool) (role, bool) {
	n := u.node
	switch {
	case n.Op == "Where" && u.at > 0 && (t.Len() == 1 || equalElements(t)) && dynamic:
		return role{name: "value under a mask", fixed: true, unsure: t.Len() > 1}, true
	case n.Op == "Equal" || n.Op == "Less" || n.Op == "Greater" || n.Op == "LessOrEqual" || n.Op == "GreaterOrEqual":
		return role{name: "compared with", fixed: true}, true
	case t.Len() == 1 && alone && r.epsilon(n, t):
		return role{name: "epsilon", fixed: true}, true
	case (n.Op == "Max" || n.Op == "Min") && t.Len() == 1:
		return role{name: "bound", fixed: true}, true
	}
	return role{}, false
}

// neutral is whether a normalisation's scale of ones or shift of zeros is the
// exporter's own, as its name is.
func (r *roles) neutral(u use, name string, t *onnx.Tensor) bool {
	want := map[int]float32{1: 1, 2: 0}
	v, scale := want[u.at]
	if !scale || !strings.HasSuffix(u.node.Op, "Normalization") || slices.ContainsFunc(t.Float32s(), func(x float32) bool { return x != v }) {
		return false
	}
	return madeUp.MatchString(name)
}

// arithmetic is the role of t as one side of a sum, a product or a quotient
// whose other side depends on the images.
func (r *roles) arithmetic(u use, name string, t *onnx.Tensor) role {
	n := u.node
	other := n.Input(1 - u.at)
	long := longAxes(t.Dims)
	if r.raw[other] && (long < 2 || n.Op == "Sub" || n.Op == "Div") {
		return role{name: "normalises the images", fixed: true, unsure: long > 0 && t.Len() > maxColours && n.Op != "Sub" && n.Op != "Div"}
	}
	sum := n.Op == "Add" || n.Op == "Sub"
	switch {
	case sum && r.behindLayer(other) && (long == 1 || t.Len() == 1 && len(t.Dims) > 0):
		return role{name: "bias"}
	case t.Len() == 1:
		return role{name: "number in " + n.Op, fixed: len(t.Dims) == 0 || !ofModule(name), unsure: true}
	case long == 1 && (n.Op == "Mul" && r.shifted(n) || n.Op == "Add" && r.scaled(r.behind(other))):
		return role{name: map[bool]string{true: "shift", false: "scale"}[sum]}
	case sum && r.toSoftmax(n.Outputs[0], 0):
		return role{name: "added before a Softmax", unsure: true}
	case sum && long > 1:
		return role{name: "position table", unsure: true}
	case sum:
		return role{name: "shift", unsure: true}
	}
	return role{name: "factor", unsure: true}
}

// behind is what makes a value, whatever hands it on.
func (r *roles) behind(value string) *onnx.Node {
	n := r.producer[value]
	for n != nil && carriers[n.Op] {
		n = r.producer[n.Inputs[0]]
	}
	return n
}

func (r *roles) behindLayer(value string) bool {
	n := r.behind(value)
	return n != nil && layers[n.Op]
}

// vector is whether a value is an initializer with one long axis.
func (r *roles) vector(value string) bool {
	t := r.g.Initializers[value]
	return t != nil && t.DType == onnx.Float32 && longAxes(t.Dims) == 1
}

// shifted is whether a sum with a vector follows a product, and scaled whether one side of a product is a vector.
func (r *roles) shifted(mul *onnx.Node) bool {
	readers := r.readers[mul.Outputs[0]]
	return len(readers) == 1 && readers[0].node.Op == "Add" && r.vector(readers[0].node.Input(1-readers[0].at))
}

func (r *roles) scaled(mul *onnx.Node) bool {
	return mul != nil && mul.Op == "Mul" && slices.ContainsFunc(mul.Inputs, r.vector)
}

// toSoftmax is whether a sum goes into a Softmax.
func (r *roles) toSoftmax(value string, depth int) bool {
	const far = 6
	return depth < far && slices.ContainsFunc(r.readers[value], func(u use) bool {
		switch {
		case u.node.Op == "Softmax":
			return true
		case carriers[u.node.Op] && u.at == 0, u.node.Op == "Add", u.node.Op == "Where":
			return r.toSoftmax(u.node.Outputs[0], depth+1)
		}
		return false
	})
}

// epsilon is whether a small number keeps a root, a quotient or a logarithm finite.
func (r *roles) epsilon(n *onnx.Node, t *onnx.Tensor) bool {
	const largest = 0.011
	v := t.Float32s()[0]
	if n.Op != "Add" && n.Op != "Max" && n.Op != "Clip" || !(v > 0 && v < largest) {
		return false
	}
	return slices.ContainsFunc(r.readers[n.Outputs[0]], func(u use) bool {
		switch u.node.Op {
		case "Sqrt", "Pow", "Reciprocal", "Log":
			return true
		}
		return u.node.Op == "Div" && u.at == 1
	})
}

// keyBias is whether t stands, all zero, in the middle of three vectors of one
// length: the biases of queries, keys and values, of which that of the keys
// changes nothing and is no parameter (BEiT, arXiv 2106.08254).
func (r *roles) keyBias(u use, t *onnx.Tensor) bool {
	n := u.node
	if len(n.Inputs) != 3 || u.at != 1 || len(t.Dims) != 1 || slices.ContainsFunc(t.Float32s(), func(v float32) bool { return v != 0 }) {
		return false
	}
	return !slices.ContainsFunc(n.Inputs, func(in string) bool {
		other := r.g.Initializers[in]
		return other == nil || !slices.Equal(other.Dims, t.Dims)
	})
}
