package infer

import (
	"slices"

	"winnow/onnx"
)

// kernelRules are of the project's own operators (package runtime/kernels).
var kernelRules = map[string]inferRule{
	onnx.KernelDomain + ".Conv3x3":       inferKernelConv,
	onnx.KernelDomain + ".Conv3x3Filter": inferKernelFilter,
	onnx.KernelDomain + ".FilterBlocks":  inferKernelFilterBlocks,
	onnx.KernelDomain + ".ChannelFilter": inferKernelChannelFilter,
	onnx.KernelDomain + ".Moments":       inferKernelSums,
	onnx.KernelDomain + ".NormSums":      inferKernelSums,
	onnx.KernelDomain + ".Affine":        inferLike,
	onnx.KernelDomain + ".Masked":        inferKernelSecond,
	onnx.KernelDomain + ".MaxPoolGrad":   inferKernelSecond,
	onnx.KernelDomain + ".Elementwise":   inferKernelElementwise,
	onnx.KernelDomain + ".LayerNorm":     inferKernelLayerNorm,
	onnx.KernelDomain + ".LayerNormGrad": inferKernelLayerNormGrad,
	onnx.KernelDomain + ".Permute":       inferTranspose,
	onnx.KernelDomain + ".ColumnSums":    inferKernelColumnSums,
}

// inferKernelSecond is of the second input's shape.
func inferKernelSecond(c call) error {
	c.set(0, c.dtype(0), c.shape(1))
	return nil
}

func inferKernelConv(c call) error {
	x, f, pads := c.shape(0), c.shape(1), c.n.Ints("pads", nil)
	if x == nil || f == nil {
		c.set(0, c.dtype(0), c.in.unknownShape(4))
		return nil
	}
	if len(x) != 4 || len(f) != 4 || len(pads) != 4 {
		return shapeErrorf("rank %d and filter of rank %d, padded by %v: 4 of each wanted", len(x), len(f), pads)
	}
	out := onnx.Shape{x[0], f[0], c.in.unknownDim(), c.in.unknownDim()}
	if c.n.Int("turned", 0) != 0 {
		out[1] = f[1]
	}
	for i := range 2 {
		if x[2+i].IsConst() {
			out[2+i] = onnx.Const(x[2+i].N + pads[i] + pads[2+i] - 2)
		}
	}
	c.set(0, c.dtype(0), out)
	return nil
}

// inferKernelElementwise is of any number of results, each of the whole's shape.
func inferKernelElementwise(c call) error {
	s, err := c.broadcastInputs()
	for i := range c.n.Outputs {
		c.set(i, c.dtype(0), s)
	}
	return err
}

func inferKernelLayerNorm(c call) error {
	s := c.shape(0)
	if s == nil {
		return nil
	}
	axis, err := c.axis(-1, len(s))
	if err != nil {
		return err
	}
	row := slices.Clone(s)
	for i := axis; i < len(row); i++ {
		row[i] = onnx.Const(1)
	}
	c.set(0, c.dtype(0), s)
	c.set(1, c.dtype(0), row)
	c.set(2, c.dtype(0), row)
	return nil
}

func inferKernelLayerNormGrad(c call) error {
	s := c.shape(1)
	if s == nil {
		return nil
	}
	axis, err := c.axis(-1, len(s))
	if err != nil {
		return err
	}
	c.set(0, c.dtype(1), s)
	c.set(1, c.dtype(1), s[axis:])
	c.set(2, c.dtype(1), s[axis:])
	return nil
}

func inferKernelFilterBlocks(c call) error {
	s := slices.Clone(c.shape(0))
	if group := c.n.Int("group", 1); len(s) >= 2 && c.n.Int("turned", 0) != 0 {
		if !s.IsConst() || group <= 0 || s[0].N%group != 0 {
			return shapeErrorf("a filter of %v in %d groups", s, group)
		}
		s[0], s[1] = onnx.Const(s[1].N*group), onnx.Const(s[0].N/group)
	}
	c.set(0, c.dtype(0), s)
	return nil
}

func inferKernelColumnSums(c call) error {
	s := slices.Clone(c.shape(0))
	axis := c.n.Int("axis", 0)
	if s == nil || axis < 0 || axis > int64(len(s)) {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	for i := range s[:axis] {
		s[i] = onnx.Const(1)
	}
	if c.n.Int("keepdims", 0) == 0 {
		s = s[axis:]
	}
	c.set(0, c.dtype(0), s)
	return nil
}

func inferKernelChannelFilter(c call) error {
	out, window := c.in.unknownShape(4), c.n.Ints("window", nil)
	if x := c.shape(0); len(x) == 4 && len(window) == 8 {
		out = onnx.Shape{x[1], onnx.Const(1), onnx.Const(window[0]), onnx.Const(window[1])}
	}
	c.set(0, c.dtype(0), out)
	return nil
}

// inferKernelSums is of two numbers for each channel.
func inferKernelSums(c call) error {
	out := c.in.unknownShape(1)
	for i := range c.n.Inputs {
		if s := c.shape(i); len(s) == 4 {
			out = onnx.Shape{s[1]}
		}
	}
	for i := range c.n.Outputs {
		c.set(i, c.dtype(0), out)
	}
	return nil
}

func inferKernelFilter(c call) error {
	out := onnx.Shape{c.in.unknownDim(), c.in.unknownDim(), onnx.Const(3), onnx.Const(3)}
	for i := range 2 {
		switch s := c.shape(i); {
		case len(s) == 4:
			out[1-i] = s[1]
		case s != nil:
			return shapeErrorf("rank %d, 4 wanted", len(s))
		}
	}
	c.set(0, c.dtype(0), out)
	return nil
}
