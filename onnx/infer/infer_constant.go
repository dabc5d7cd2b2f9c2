package infer

import (
	"math"

	"winnow/onnx"
)

func inferConstant(c call) error {
	t, err := constantTensor(c.n)
	if err != nil {
		return err
	}
	if o := c.n.Output(0); o != "" && t != nil {
		c.in.setTensor(o, t, c.in.keep == nil || !c.in.keep(o))
	}
	return nil
}

// constantTensor is the value of a Constant node; nil if it is of a kind without tensor.
func constantTensor(n *onnx.Node) (*onnx.Tensor, error) {
	for name, a := range n.Attrs {
		switch name {
		case "value":
			if a.T == nil {
				return nil, shapeErrorf("a constant without a value")
			}
			if _, ok := elementsOf(a.T); !ok {
				return nil, shapeErrorf("constant of shape %v holds %d bytes", a.T.Dims, len(a.T.Data))
			}
			return a.T, nil
		case "value_int":
			return onnx.FromInt64([]int64{a.I}), nil
		case "value_ints":
			return onnx.FromInt64(a.Ints, int64(len(a.Ints))), nil
		case "value_float":
			return onnx.FromFloat32([]float32{a.F}), nil
		case "value_floats":
			return onnx.FromFloat32(a.Floats, int64(len(a.Floats))), nil
		case "value_string":
			return &onnx.Tensor{DType: onnx.String, Dims: []int64{}, Strings: []string{a.S}}, nil
		case "value_strings":
			return &onnx.Tensor{DType: onnx.String, Dims: []int64{int64(len(a.Strings))}, Strings: a.Strings}, nil
		}
	}
	return nil, nil
}

func inferConstantOfShape(c call) error {
	dt := onnx.Float32
	if a, ok := c.n.Attrs["value"]; ok && a.T != nil {
		dt = a.T.DType
	}
	t, ok := c.target(0)
	if !ok {
		c.set(0, dt, nil)
		return nil
	}
	s, err := c.dims(t)
	c.set(0, dt, s)
	return err
}

func inferRange(c call) error {
	n := c.in.unknownDim()
	start, ok1 := c.content(0)
	limit, ok2 := c.content(1)
	delta, ok3 := c.ints(2)
	if ok1 && ok2 && ok3 && len(start) == 1 && len(limit) == 1 && len(delta) == 1 {
		switch {
		case delta[0] == 0:
			return shapeErrorf("step 0")
		case start[0].IsConst() && limit[0].IsConst():
			n = onnx.Const(rangeLen(start[0].N, limit[0].N, delta[0]))
		case start[0] == onnx.Const(0) && !anyElement(limit[0]) && delta[0] == 1:
			n = limit[0]
		}
	}
	c.set(0, c.dtype(0), onnx.Shape{n})
	return nil
}

func rangeLen(start, limit, delta int64) int64 {
	span, ok := add64(limit, -start)
	if !ok || delta == 0 || delta == math.MinInt64 || start == math.MinInt64 {
		return 0
	}
	if delta < 0 {
		span, delta = -span, -delta
	}
	return max(0, ceilDiv(span, delta))
}
