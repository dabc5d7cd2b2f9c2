package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
)

// y = scale*xhat + bias, xhat = (x - mean)*inv over the axes from axis on:
//
//	dscale = sum(g*xhat), dbias = sum(g), h = g*scale
//	dx     = inv*(h - mean(h) - xhat*mean(h*xhat))
func gradLayerNorm(n *node) ([]string, error) {
	if slices.ContainsFunc(n.dy[1:], func(dy string) bool { return dy != "" }) {
		return nil, fmt.Errorf("its mean or deviation is used, and has no gradient: %w", ErrNoRule)
	}
	x, scale, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	rank := len(n.shape(x))
	first, err := axisOf(n.Int("axis", -1), rank)
	if err != nil {
		return nil, err
	}
	var axes []int64
	for i := first; i < rank; i++ {
		axes = append(axes, int64(i))
	}
	mean, inv := n.layerStats(axes)
	xhat := n.mul(n.sub(x, mean), inv)
	dx := []string{"", n.mul(g, xhat), g}
	if n.want[0] {
		dx[0] = n.centred(n.mul(g, scale), xhat, inv, axes)
	}
	return dx, nil
}

// centred is inv*(h - mean(h) - xhat*mean(h*xhat)) over axes: what a
// normalisation by its own mean and deviation leaves of the adjoint h.
func (e *emitter) centred(h, xhat, inv string, axes []int64) string {
	return e.mul(inv, e.sub(e.sub(h, e.mean(h, axes)), e.mul(xhat, e.mean(e.mul(h, xhat), axes))))
}

func (e *emitter) mean(v string, axes []int64) string {
	return e.op("ReduceMean", attrs{"keepdims": onnx.IntAttr(1)}, v, e.ints(axes...))
}

// moments is the mean and inverse deviation of x over axes.
func (e *emitter) moments(x string, axes []int64, eps float32) (mean, inv string) {
	mean = e.mean(x, axes)
	d := e.sub(x, mean)
	variance := e.mean(e.mul(d, d), axes)
	return mean, e.op("Reciprocal", nil, e.op("Sqrt", nil, e.addOp(variance, e.number(float64(eps), x))))
}

// y = scale*xhat + bias by channel, xhat = (x - mean)*inv over the positions of
// one image and channel: as LayerNormalization, with h = g*scale.
func gradInstanceNorm(n *node) ([]string, error) {
	x, scale, g := n.Inputs[0], n.Inputs[1], n.dy[0]
	rank := len(n.shape(x))
	axes := spatialAxes(rank, false)
	mean, inv := n.moments(x, axes, n.Float("epsilon", 1e-5))
	xhat := n.mul(n.sub(x, mean), inv)
	dx := []string{"", "", ""}
	if n.want[0] {
		dx[0] = n.centred(n.mul(g, n.reshape(scale, n.perChannel(scale, rank))), xhat, inv, axes)
	}
	if n.want[1] {
		dx[1] = n.channelSum(n.mul(g, xhat))
	}
	if n.want[2] {
		dx[2] = n.channelSum(g)
	}
	return dx, nil
}

// perChannel is the shape in which a vector by channel meets an image of the given rank.
func (e *emitter) perChannel(v string, rank int) onnx.Shape {
	shape := onnx.Shape{e.shape(v)[0]}
	for len(shape) < rank-1 {
		shape = append(shape, onnx.Const(1))
	}
	return shape
}

// layerStats is the mean and inverse deviation that the operator has as its
// optional outputs in float32; in other types they are computed.
func (n *node) layerStats(axes []int64) (mean, inv string) {
	x := n.Inputs[0]
	if n.dtype(x) == onnx.Float32 {
		shape := append(onnx.Shape{}, n.shape(x)...)
		for _, a := range axes {
			shape[a] = onnx.Const(1)
		}
		for len(n.Outputs) < 3 {
			n.Outputs = append(n.Outputs, "")
		}
		for i := 1; i < 3; i++ {
			if n.Outputs[i] == "" {
				n.Outputs[i] = n.fresh("LayerStats")
				n.inf.Set(onnx.Value{Name: n.Outputs[i], DType: onnx.Float32, Shape: shape})
			}
		}
		return n.Outputs[1], n.Outputs[2]
	}
	return n.moments(x, axes, n.Float("epsilon", 1e-5))
}
