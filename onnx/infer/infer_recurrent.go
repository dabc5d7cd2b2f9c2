package infer

import (
	"slices"

	"winnow/onnx"
)

var recurrentRules = map[string]inferRule{"LSTM": inferRecurrent, "GRU": inferRecurrent, "RNN": inferRecurrent, "Scan": inferScan}

// inferRecurrent gives all states [T, D, N, H] and the last ones [D, N, H], of
// sequences [T, N, I]; with layout 1 the batch comes first.
func inferRecurrent(c call) error {
	x, r := c.shape(0), c.shape(2)
	if x != nil && len(x) != 3 {
		return shapeErrorf("sequences of rank %d, not 3", len(x))
	}
	if r != nil && len(r) != 3 {
		return shapeErrorf("recurrent weights of rank %d, not 3", len(r))
	}
	length, batch, hidden := c.in.unknownDim(), c.in.unknownDim(), c.in.unknownDim()
	first := c.n.Int("layout", 0) != 0
	if x != nil {
		if length, batch = x[0], x[1]; first {
			length, batch = batch, length
		}
	}
	if h := c.n.Int("hidden_size", 0); h > 0 {
		hidden = onnx.Const(h)
	} else if r != nil {
		hidden = r[2]
	}
	if w := c.shape(1); x != nil && len(w) == 3 {
		if _, err := same(x[2], w[2]); err != nil {
			return shapeErrorf("%v features for weights %v", x[2], w)
		}
	}
	directions := onnx.Const(1)
	if c.n.Str("direction", "forward") == "bidirectional" {
		directions = onnx.Const(2)
	}
	all, last := onnx.Shape{length, directions, batch, hidden}, onnx.Shape{directions, batch, hidden}
	if first {
		all, last = onnx.Shape{batch, length, directions, hidden}, onnx.Shape{batch, directions, hidden}
	}
	c.set(0, c.dtype(0), all)
	c.set(1, c.dtype(0), last)
	c.set(2, c.dtype(0), last)
	return nil
}

// inferScan infers the body for one step: states keep their types, and what
// the body gives besides is stacked along a new axis.
func inferScan(c call) error {
	g := c.n.Attrs["body"].G
	scanned := int(c.n.Int("num_scan_inputs", 0))
	if g == nil || scanned < 1 || scanned > len(c.n.Inputs) || len(g.Inputs) != len(c.n.Inputs) || len(g.Outputs) != len(c.n.Outputs) {
		return shapeErrorf("a body that does not fit its node")
	}
	states := len(c.n.Inputs) - scanned
	if states > len(g.Outputs) {
		return shapeErrorf("%d states and %d outputs", states, len(g.Outputs))
	}
	in := newInference(g, nil, c.in)
	length := c.in.unknownDim()
	axes := c.n.Ints("scan_input_axes", nil)
	for i, v := range g.Inputs {
		of := c.value(i)
		of.Name = v.Name
		if i >= states && of.Shape != nil {
			axis := int64(0)
			if k := i - states; k < len(axes) {
				axis = axes[k]
			}
			at, err := normAxis(axis, len(of.Shape))
			if err != nil {
				return err
			}
			length = of.Shape[at]
			of.Shape = slices.Delete(slices.Clone(of.Shape), at, at+1)
		}
		in.Set(of)
	}
	if c.depth() <= maxDepth {
		for _, n := range g.Nodes {
			if err := in.Node(n); err != nil {
				return err
			}
		}
	}
	axes = c.n.Ints("scan_output_axes", nil)
	for i, o := range g.Outputs {
		v, _ := in.Type(o.Name)
		if i < states {
			v = c.value(i)
		} else if v.Shape != nil {
			axis := int64(0)
			if k := i - states; k < len(axes) {
				axis = axes[k]
			}
			at, err := normAxis(axis, len(v.Shape)+1)
			if err != nil {
				return err
			}
			v.Shape = slices.Insert(slices.Clone(v.Shape), at, length)
		}
		c.set(i, v.DType, v.Shape)
	}
	return nil
}

// depth is how many graphs lie around this one.
func (c call) depth() int {
	depth := 0
	for s := c.in; s != nil; s = s.outer {
		depth++
	}
	return depth
}
