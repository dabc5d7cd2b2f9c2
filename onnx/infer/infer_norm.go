package infer

import "winnow/onnx"

func inferLayerNorm(c call) error {
	s := c.shape(0)
	var stat onnx.Shape
	if s != nil {
		axis, err := c.axis(-1, len(s))
		if err != nil {
			return err
		}
		stat = append(onnx.Shape{}, s...)
		for i := axis; i < len(s); i++ {
			stat[i] = onnx.Const(1)
		}
		for i := 1; i <= 2; i++ {
			if _, err := c.in.broadcast(s, c.shape(i)); c.has(i) && err != nil {
				return err
			}
		}
	}
	c.set(0, c.dtype(0), s)
	c.set(1, onnx.DType(c.n.Int("stash_type", 1)), stat)
	c.set(2, onnx.DType(c.n.Int("stash_type", 1)), stat)
	return nil
}

func inferBatchNorm(c call) error {
	s := c.shape(0)
	channels := c.in.unknownDim()
	if s != nil {
		if len(s) == 0 {
			return shapeErrorf("a scalar has no channels")
		}
		channels = onnx.Const(1)
		if len(s) > 1 {
			channels = s[1]
		}
	}
	for i := 1; i <= 4; i++ {
		if t := c.shape(i); t != nil {
			if len(t) != 1 {
				return shapeErrorf("input %d has rank %d, not 1", i, len(t))
			}
			var err error
			if channels, err = same(channels, t[0]); err != nil {
				return err
			}
		}
	}
	if len(s) > 1 && s[1] != channels {
		s = append(onnx.Shape{}, s...)
		s[1] = channels
	}
	c.set(0, c.dtype(0), s)
	for i := 1; i < len(c.n.Outputs); i++ {
		c.set(i, c.dtype(min(i+2, 4)), onnx.Shape{channels})
	}
	return nil
}
