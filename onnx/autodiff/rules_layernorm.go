package autodiff

import (
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// y = scale*xhat + bias, xhat = (x - mean)*inv over the axes from axis on:
//
//	dscale = sum(g*xhat), dbias = sum(g), h = g*scale
//	dx     = inv*(h - mean(h) - xhat*mean(h*xhat))
func gradLayerNorm(n *Node) ([]string, error) { return GradLayerNorm(n, false) }

// GradLayerNorm is the rule of LayerNormalization. composed is whether xhat was
// emitted in the forward pass, so that the operator's own statistics are not asked for.
func GradLayerNorm(n *Node, composed bool) ([]string, error) {
	if slices.ContainsFunc(n.Dy[1:], func(dy string) bool { return dy != "" }) {
		return nil, fmt.Errorf("its mean or deviation is used, and has no gradient: %w", ErrNoRule)
	}
	x, scale, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	axes, err := n.layerAxes()
	if err != nil {
		return nil, err
	}
	var mean, inv string
	if composed {
		mean, inv = n.moments(x, axes, n.Float("epsilon", 1e-5))
	} else {
		mean, inv = n.layerStats(axes)
	}
	xhat := n.Mul(n.Sub(x, mean), inv)
	dx := []string{"", n.Mul(g, xhat), g}
	if n.Want[0] {
		dx[0] = n.centred(n.Mul(g, scale), xhat, inv, axes)
	}
	return dx, nil
}

// layerAxes are the axes from axis on.
func (n *Node) layerAxes() (axes []int64, err error) {
	rank := len(n.Shape(n.Inputs[0]))
	first, err := emit.Axis(n.Int("axis", -1), rank)
	for i := first; i < rank; i++ {
		axes = append(axes, int64(i))
	}
	return axes, err
}

// Standardised is xhat of a LayerNormalization, as its rule takes it where it is composed.
func (n *Node) Standardised() (string, error) {
	axes, err := n.layerAxes()
	if err != nil {
		return "", err
	}
	mean, inv := n.moments(n.Inputs[0], axes, n.Float("epsilon", 1e-5))
	return n.Mul(n.Sub(n.Inputs[0], mean), inv), nil
}

// y = scale*xhat + bias by channel, xhat = (x - mean)*inv over the positions of
// one image and channel: as LayerNormalization, with h = g*scale.
func gradInstanceNorm(n *Node) ([]string, error) {
	x, scale, g := n.Inputs[0], n.Inputs[1], n.Dy[0]
	rank := len(n.Shape(x))
	axes := emit.SpatialAxes(rank, false)
	mean, inv := n.moments(x, axes, n.Float("epsilon", 1e-5))
	xhat := n.Mul(n.Sub(x, mean), inv)
	dx := []string{"", "", ""}
	if n.Want[0] {
		dx[0] = n.centred(n.Mul(g, n.Reshape(scale, n.PerChannel(scale, rank))), xhat, inv, axes)
	}
	if n.Want[1] {
		dx[1] = n.ChannelSum(n.Mul(g, xhat))
	}
	if n.Want[2] {
		dx[2] = n.ChannelSum(g)
	}
	return dx, nil
}

// layerStats is the mean and inverse deviation that the operator has as its
// optional outputs in float32; in other types they are computed.
func (n *Node) layerStats(axes []int64) (mean, inv string) {
	x := n.Inputs[0]
	if n.DType(x) == onnx.Float32 {
		shape := append(onnx.Shape{}, n.Shape(x)...)
		for _, a := range axes {
			shape[a] = onnx.Const(1)
		}
		for len(n.Outputs) < 3 {
			n.Outputs = append(n.Outputs, "")
		}
		for i := 1; i < 3; i++ {
			if n.Outputs[i] == "" {
				n.Outputs[i] = n.Fresh("LayerStats")
				n.Inf.Set(onnx.Value{Name: n.Outputs[i], DType: onnx.Float32, Shape: shape})
			}
		}
		return n.Outputs[1], n.Outputs[2]
	}
	return n.moments(x, axes, n.Float("epsilon", 1e-5))
}

// moments is the mean and inverse deviation of x over axes.
func (n *Node) moments(x string, axes []int64, eps float32) (mean, inv string) {
	mean = n.Mean(x, axes)
	d := n.Sub(x, mean)
	variance := n.Mean(n.Mul(d, d), axes)
	return mean, n.Emit("Reciprocal", nil, n.Emit("Sqrt", nil, n.Add(variance, n.Number(float64(eps), x))))
}

// centred is inv*(h - mean(h) - xhat*mean(h*xhat)) over axes: what a
// normalisation by its own mean and deviation leaves of the adjoint h.
func (n *Node) centred(h, xhat, inv string, axes []int64) string {
	return n.Mul(inv, n.Sub(n.Sub(h, n.Mean(h, axes)), n.Mul(xhat, n.Mean(n.Mul(h, xhat), axes))))
}
