package opset

import "winnow/onnx"

// convertQuantize takes QuantizeLinear and DequantizeLinear of bytes, by one
// scale or one a channel. Opset 19 added other types, 21 blocks.
func convertQuantize(c *converter, n *onnx.Node, _ int64) {
	if size := n.Int("block_size", 0); size != 0 {
		c.refuse(n, "block_size %d", size)
		return
	}
	to := onnx.DType(n.Int("output_dtype", 0))
	zero := c.typeOf(n.Input(2)).DType
	bytes := func(d onnx.DType) bool { return d == onnx.Undefined || d == onnx.Int8 || d == onnx.Uint8 }
	if n.Op == "DequantizeLinear" {
		if !bytes(zero) && zero != onnx.Int32 || to != onnx.Undefined && to != onnx.Float32 {
			c.refuse(n, "of %s to %s", zero, to)
			return
		}
	} else {
		switch {
		case !bytes(zero) || !bytes(to):
			c.refuse(n, "to %s", max(zero, to))
			return
		case to == onnx.Int8 && n.Input(2) == "":
			if s := c.typeOf(n.Input(1)).Shape; s == nil || len(s) > 0 {
				c.refuse(n, "to int8 by scales of channels without zero points")
				return
			}
			setInput(n, 2, c.constInput(baseName(n), "zero", onnx.NewTensor(onnx.Int8)))
		}
	}
	for _, name := range []string{"saturate", "block_size", "output_dtype", "precision"} {
		delete(n.Attrs, name)
	}
	c.emit(n)
}
