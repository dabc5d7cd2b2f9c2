package opset

import (
	"math"

	"winnow/onnx"
)

// What opsets 7 to 10 had as attributes, or under another name.

// Until opset 8, spatial=0 asked for statistics of every activation.
func convertOldBatchNormalization(c *converter, n *onnx.Node) bool {
	if n.Int("spatial", 1) == 0 {
		c.refuse(n, "spatial 0, statistics for every position")
		return false
	}
	delete(n.Attrs, "spatial")
	return true
}

// Before opset 11 the limits were attributes.
func convertClip(c *converter, n *onnx.Node, source int64) {
	if source < 11 {
		for i, name := range []string{"min", "max"} {
			a, ok := n.Attrs[name]
			delete(n.Attrs, name)
			if ok && math.Abs(float64(a.F)) < math.MaxFloat32 {
				limit, fine := c.scalar(n, name, n.Input(0), float64(a.F))
				if !fine {
					return
				}
				setInput(n, 1+i, limit)
			}
		}
	}
	c.emit(n)
}

// Before opset 11 the widths and the value were attributes.
func convertPad(c *converter, n *onnx.Node, source int64) {
	if source < 11 {
		setInput(n, 1, c.ints(n, "pads", n.Ints("pads", nil)))
		if v := n.Float("value", 0); v != 0 {
			value, ok := c.scalar(n, "value", n.Input(0), float64(v))
			if !ok {
				return
			}
			setInput(n, 2, value)
		}
		delete(n.Attrs, "pads")
		delete(n.Attrs, "value")
	}
	c.emit(n)
}

// Scatter became ScatterElements with opset 11.
func convertScatter(c *converter, n *onnx.Node, _ int64) {
	n.Op = "ScatterElements"
	c.emit(n)
}

// Before opset 10 the ranges were attributes.
func convertSlice(c *converter, n *onnx.Node, source int64) {
	if source < 10 {
		for i, name := range []string{"starts", "ends", "axes"} {
			if v, ok := n.Attrs[name]; ok {
				setInput(n, 1+i, c.ints(n, name, v.Ints))
			}
			delete(n.Attrs, name)
		}
	}
	c.emit(n)
}

// Before opset 10 the number of elements was an attribute.
func convertTopK(c *converter, n *onnx.Node, source int64) {
	if source < 10 {
		setInput(n, 1, c.ints(n, "k", []int64{n.Int("k", 0)}))
		delete(n.Attrs, "k")
	}
	c.emit(n)
}

// Scan had a batch axis of its own in opset 8.
func convertScan(c *converter, n *onnx.Node, source int64) {
	if source < 9 {
		c.refuse(n, "the form of opset 8, over batches")
		return
	}
	c.emit(n)
}

// Upsample, and Resize of opset 10, took positions times the scale, rounded
// down; Resize says so by attributes since opset 11.
func convertUpsample(c *converter, n *onnx.Node, source int64) {
	scales := n.Input(1)
	if source < 9 {
		a := n.Attrs["scales"]
		scales = c.constInput(baseName(n), "scales", onnx.FromFloat32(a.Floats, int64(len(a.Floats))))
	}
	n.Op, n.Inputs = "Resize", []string{n.Input(0), "", scales}
	n.Attrs = map[string]onnx.Attr{
		"mode":                           onnx.StringAttr(n.Str("mode", "nearest")),
		"coordinate_transformation_mode": onnx.StringAttr("asymmetric"),
		"nearest_mode":                   onnx.StringAttr("floor"),
	}
	c.emit(n)
}
