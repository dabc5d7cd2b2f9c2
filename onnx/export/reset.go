package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/emit"
)

// replaceHead gives the model's last layer another number of classes, with
// new weights drawn from seed, and returns that layer's name. The layer is the
// last Gemm, MatMul or Conv before the output, with at most shape changes,
// activations and averages behind it.
func replaceHead(g *onnx.Graph, classes int64, seed uint64) (string, error) {
	producer := map[string]*onnx.Node{}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			producer[o] = n
		}
	}
	if len(g.Outputs) == 0 {
		return "", fmt.Errorf("export: the model has no output: %w", emit.ErrModel)
	}
	value := g.Outputs[0].Name
	var bias *onnx.Node // an Add behind a MatMul
	for {
		n := producer[value]
		if n == nil {
			return "", fmt.Errorf("export: no last layer found before output %q to give %d classes: %w", g.Outputs[0].Name, classes, emit.ErrModel)
		}
		switch n.Op {
		case "Identity", "Flatten", "Squeeze", "Dropout", "Relu", "GlobalAveragePool", "AveragePool", "Softmax", "LogSoftmax", "Sigmoid", "Cast":
			value = n.Inputs[0]
			continue
		case "Add":
			side := slices.IndexFunc(n.Inputs, func(in string) bool { return g.Initializers[in] != nil })
			if side < 0 || bias != nil {
				return "", fmt.Errorf("export: node %q (Add) before the output is no layer's bias; cannot give the model %d classes: %w", n.Name, classes, emit.ErrModel)
			}
			bias = n
			value = n.Inputs[1-side]
			continue
		case "Gemm", "MatMul", "Conv":
			return n.Name, resizeLayer(g, n, bias, classes, seed)
		}
		return "", fmt.Errorf("export: node %q (%s) stands between the last layer and the output; cannot give the model %d classes: %w", n.Name, n.Op, classes, emit.ErrModel)
	}
}

func resizeLayer(g *onnx.Graph, n, add *onnx.Node, classes int64, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	w := g.Initializers[n.Inputs[1]]
	if w == nil || len(w.Dims) < 2 || w.Len() == 0 {
		return fmt.Errorf("export: node %q (%s): its weights are no initializer: %w", n.Name, n.Op, emit.ErrModel)
	}
	axis := 1 // of the classes in the weights
	if n.Op == "Conv" || n.Op == "Gemm" && n.Int("transB", 0) != 0 {
		axis = 0
	}
	old := w.Dims[axis]
	bound := math.Sqrt(float64(old) / float64(w.Len())) // one over the root of the fan in
	dims := slices.Clone(w.Dims)
	dims[axis] = classes
	replace(g, n, 1, uniform(r, bound, dims))
	bias, at := n, 2
	if add != nil {
		bias = add
		if at = 0; g.Initializers[add.Inputs[0]] == nil {
			at = 1
		}
	}
	if b := bias.Input(at); b != "" {
		dims := []int64{classes}
		if t := g.Initializers[b]; t != nil { // [K, 1, 1] behind a convolution
			dims = slices.Clone(t.Dims)
			for i, d := range slices.Backward(dims) {
				if d == old {
					dims[i] = classes
					break
				}
			}
		}
		replace(g, bias, at, uniform(r, bound, dims))
	}
	g.Values = nil // the exporter's claims are about the old number of classes
	for i := range g.Outputs {
		g.Outputs[i].Shape = nil
	}
	return nil
}

// replace makes t the i-th input of n. It takes the old input's name, or a name
// of its own where other nodes read the old input.
func replace(g *onnx.Graph, n *onnx.Node, i int, t *onnx.Tensor) {
	name, readers := n.Inputs[i], 0
	for _, m := range g.Nodes {
		for _, in := range m.Inputs {
			if in == name {
				readers++
			}
		}
	}
	if readers > 1 || g.Initializers[name] == nil {
		name = emit.New(g, nil).Unique(name)
		n.Inputs[i] = name
	}
	g.Initializers[name] = t
}

func uniform(r *rand.Rand, bound float64, dims []int64) *onnx.Tensor {
	return drawn(dims, func() float64 { return bound * (2*r.Float64() - 1) })
}

func drawn(dims []int64, next func() float64) *onnx.Tensor {
	n, _ := elements.Count(dims)
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(next())
	}
	return onnx.FromFloat32(v, dims...)
}

// Deviation of embeddings, tokens and other parameters that no layer's fan
// defines: that of ViT (arXiv 2010.11929) as torchvision has it.
const looseDeviation = 0.02

// reinit draws every parameter anew by the layer it belongs to, and resets
// running statistics: filters from a normal distribution of deviation
// sqrt(2/fan out) (He et al., arXiv 1502.01852, as torchvision's networks
// start), dense weights uniformly within 1/sqrt(fan in) and so their biases
// (PyTorch's Linear), scales 1, other biases 0. A parameter without dimensions
// keeps its value: nothing tells where a temperature starts.
func (f *forward) reinit(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	init := f.graph.Initializers
	fresh := map[string]*onnx.Tensor{}
	set := func(name string, t *onnx.Tensor) {
		if init[name] != nil && slices.Contains(f.params, name) && fresh[name] == nil {
			fresh[name] = t
		}
	}
	fill := func(name string, v float64) {
		if t := init[name]; t != nil {
			set(name, drawn(t.Dims, func() float64 { return v }))
		}
	}
	for _, n := range f.graph.Nodes {
		switch n.Op {
		case "Conv", "ConvTranspose":
			if w := init[n.Inputs[1]]; w != nil && len(w.Dims) > 2 {
				out := w.Dims[0] / max(n.Int("group", 1), 1)
				for _, k := range w.Dims[2:] {
					out *= k
				}
				set(n.Inputs[1], drawn(w.Dims, func() float64 { return math.Sqrt(2/float64(out)) * r.NormFloat64() }))
				fill(n.Input(2), 0)
			}
		case "Gemm", "MatMul":
			if w := init[n.Inputs[1]]; w != nil && len(w.Dims) == 2 {
				in := w.Dims[0]
				if n.Int("transB", 0) != 0 {
					in = w.Dims[1]
				}
				bound := 1 / math.Sqrt(float64(in))
				set(n.Inputs[1], uniform(r, bound, w.Dims))
				if b := init[n.Input(2)]; b != nil {
					set(n.Input(2), uniform(r, bound, b.Dims))
				}
			}
		case "BatchNormalization", "LayerNormalization", "InstanceNormalization":
			fill(n.Input(1), 1)
			fill(n.Input(2), 0)
			if n.Op == "BatchNormalization" {
				for i, v := range []float64{0, 1} {
					if t := init[n.Input(3+i)]; t != nil {
						fresh[n.Input(3+i)] = drawn(t.Dims, func() float64 { return v })
					}
				}
			}
		}
	}
	for _, p := range f.params {
		t := fresh[p]
		if len(init[p].Dims) == 0 {
			t = init[p]
		}
		if t == nil && len(init[p].Dims) == 1 {
			t = drawn(init[p].Dims, func() float64 { return 0 })
		}
		if t == nil {
			t = drawn(init[p].Dims, func() float64 { return looseDeviation * r.NormFloat64() })
		}
		init[p] = t
	}
	for _, b := range f.buffers {
		if fresh[b] != nil {
			init[b] = fresh[b]
		}
	}
}
