package infer

import (
	"slices"

	"winnow/onnx"
)

var indexRules = map[string]inferRule{
	"Gather": inferGather, "GatherElements": inferGatherElements, "GatherND": inferGatherND,
	"OneHot": inferOneHot, "NonZero": inferNonZero, "Compress": inferCompress,
}

func inferGather(c call) error {
	x, idx := c.shape(0), c.shape(1)
	if x == nil || idx == nil {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	axis, err := c.axis(0, len(x))
	if err != nil {
		return err
	}
	c.set(0, c.dtype(0), joined(x[:axis], idx, x[axis+1:]))
	return nil
}

// joined puts shapes one behind the other; of none it is that of a single number.
func joined(parts ...onnx.Shape) onnx.Shape { return append(onnx.Shape{}, slices.Concat(parts...)...) }

func inferGatherElements(c call) error {
	x, idx := c.shape(0), c.shape(1)
	if x != nil && idx != nil && len(x) != len(idx) {
		return shapeErrorf("indices of rank %d into rank %d", len(idx), len(x))
	}
	if x != nil {
		if _, err := c.axis(0, len(x)); err != nil {
			return err
		}
	}
	c.set(0, c.dtype(0), idx)
	return nil
}

func inferGatherND(c call) error {
	x, idx := c.shape(0), c.shape(1)
	if x == nil || len(idx) == 0 || !idx[len(idx)-1].IsConst() {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	b, k := c.n.Int("batch_dims", 0), idx[len(idx)-1].N
	if b < 0 || b >= int64(len(idx)) || k < 1 || k > int64(len(x)) || b+k > int64(len(x)) {
		return shapeErrorf("tuples of %d after %d batch axes", k, b)
	}
	c.set(0, c.dtype(0), joined(idx[:len(idx)-1], x[b+k:]))
	return nil
}

func inferOneHot(c call) error {
	idx := c.shape(0)
	if idx == nil {
		c.set(0, c.dtype(2), nil)
		return nil
	}
	axis, err := c.axis(-1, len(idx)+1)
	if err != nil {
		return err
	}
	depth := c.in.unknownDim()
	if v, ok := c.content(1); ok && len(v) == 1 && !anyElement(v[0]) {
		depth = v[0]
	}
	c.set(0, c.dtype(2), joined(idx[:axis], onnx.Shape{depth}, idx[axis:]))
	return nil
}

func inferNonZero(c call) error {
	rank := c.in.unknownDim()
	if x := c.shape(0); x != nil {
		rank = onnx.Const(int64(len(x)))
	}
	c.set(0, onnx.Int64, onnx.Shape{rank, c.in.unknownDim()})
	return nil
}

func inferCompress(c call) error {
	x := slices.Clone(c.shape(0))
	if _, ok := c.n.Attrs["axis"]; !ok {
		x = onnx.Shape{c.in.unknownDim()}
	} else if x != nil {
		axis, err := c.axis(0, len(x))
		if err != nil {
			return err
		}
		x[axis] = c.in.unknownDim()
	}
	c.set(0, c.dtype(0), x)
	return nil
}
