package autodiff

import (
	"fmt"
	"math"
)

// Largest interpolation matrix, in elements; one side is an image's height or width.
const maxResizeMatrix = 1 << 24

// y = x resampled: along each axis y = M*x with a constant matrix M, so dx = M^T*g.
func gradResize(n *node) ([]string, error) {
	x, y := n.shape(n.Inputs[0]), n.shape(n.Outputs[0])
	if x == nil || len(y) != len(x) || n.Ints("axes", nil) != nil {
		return nil, fmt.Errorf("input of shape %v to %v: %w", x, y, ErrModel)
	}
	if n.Int("antialias", 0) != 0 {
		return nil, fmt.Errorf("antialiasing has no gradient: %w", ErrNoRule)
	}
	var scales []float32
	if t := n.graph.Initializers[n.Input(2)]; t != nil {
		scales = t.Float32s()
	}
	g := n.dy[0]
	rank := len(x)
	for axis := range x {
		scale := 1.0
		if len(scales) == rank {
			scale = float64(scales[axis])
		}
		if x[axis] == y[axis] && scale == 1 {
			continue
		}
		in, err := n.fixedDim(n.Inputs[0], axis)
		if err != nil {
			return nil, err
		}
		out, err := n.fixedDim(n.Outputs[0], axis)
		if err != nil {
			return nil, err
		}
		if in*out > maxResizeMatrix || in < 1 || out < 1 {
			return nil, fmt.Errorf("axis %d from %d to %d: %w", axis, in, out, ErrModel)
		}
		if len(scales) != rank {
			scale = float64(out) / float64(in)
		}
		m, err := n.resample(in, out, scale)
		if err != nil {
			return nil, err
		}
		// Bring the axis last, multiply by M, and put it back.
		perm := make([]int64, rank)
		for i := range perm {
			perm[i] = int64(i)
		}
		perm[axis], perm[rank-1] = perm[rank-1], perm[axis]
		g = n.transpose(n.matmul(n.transpose(g, perm...), n.floats(m, out, in)), perm...)
	}
	return one(g)
}

// resample is the matrix, out by in, of one axis, after the definitions of the
// ONNX operator Resize.
func (n *node) resample(in, out int64, scale float64) ([]float32, error) {
	transform := n.Str("coordinate_transformation_mode", "half_pixel")
	source := func(o float64) float64 {
		switch transform {
		case "asymmetric":
			return o / scale
		case "align_corners":
			if out == 1 {
				return 0
			}
			return o * float64(in-1) / float64(out-1)
		case "pytorch_half_pixel":
			if out == 1 {
				return 0
			}
		case "half_pixel_symmetric":
			adjust := float64(out) / (scale * float64(in))
			center := float64(in) / 2
			return center*(1-adjust) + (o+0.5)/scale - 0.5
		}
		return (o+0.5)/scale - 0.5
	}
	switch transform {
	case "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric":
	default:
		return nil, fmt.Errorf("coordinates %q have no gradient: %w", transform, ErrNoRule)
	}
	clamp := func(i float64) int64 { return int64(min(max(i, 0), float64(in-1))) }
	m := make([]float32, in*out)
	for o := range out {
		at := source(float64(o))
		row := m[o*in : (o+1)*in]
		switch mode := n.Str("mode", "nearest"); mode {
		case "nearest":
			round, err := nearest(n.Str("nearest_mode", "round_prefer_floor"))
			if err != nil {
				return nil, err
			}
			row[clamp(round(at))] = 1
		case "linear":
			low := math.Floor(at)
			row[clamp(low)] += float32(1 - (at - low))
			row[clamp(low+1)] += float32(at - low)
		default:
			return nil, fmt.Errorf("mode %q has no gradient: %w", mode, ErrNoRule)
		}
	}
	return m, nil
}

// nearest is how a fractional position becomes a whole one.
func nearest(mode string) (func(float64) float64, error) {
	switch mode {
	case "round_prefer_floor":
		return func(x float64) float64 { return math.Ceil(x - 0.5) }, nil
	case "round_prefer_ceil":
		return func(x float64) float64 { return math.Floor(x + 0.5) }, nil
	case "floor":
		return math.Floor, nil
	case "ceil":
		return math.Ceil, nil
	}
	return nil, fmt.Errorf("nearest_mode %q has no gradient: %w", mode, ErrNoRule)
}
