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
	if x == nil || len(y) != len(x) {
		return nil, fmt.Errorf("input of shape %v to %v: %w", x, y, ErrModel)
	}
	if n.Int("antialias", 0) != 0 {
		return nil, fmt.Errorf("antialiasing has no gradient: %w", ErrNoRule)
	}
	scales, err := n.resizeScales(len(x))
	if err != nil {
		return nil, err
	}
	g := n.dy[0]
	rank := len(x)
	for axis := range x {
		scale := scales[axis]
		if x[axis] == y[axis] && (scale == 1 || scale == 0) {
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
		if scale == 0 {
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

// resizeScales is the scale of each axis: 1 where it is left alone, 0 where a
// size is given in its place.
func (n *node) resizeScales(rank int) ([]float64, error) {
	scales := make([]float64, rank)
	axes := n.Ints("axes", nil)
	if axes == nil {
		for i := range scales {
			axes = append(axes, int64(i))
		}
	} else {
		for i := range scales {
			scales[i] = 1
		}
	}
	var given []float32
	if name := n.Input(2); name != "" {
		t := n.graph.Initializers[name]
		if t == nil {
			return nil, fmt.Errorf("scales %q are computed at run time: %w", name, ErrModel)
		}
		given = t.Float32s()
	}
	if len(given) > 0 && len(given) != len(axes) {
		return nil, fmt.Errorf("%d scales for %d axes: %w", len(given), len(axes), ErrModel)
	}
	for i, a := range axes {
		axis, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		scales[axis] = 0
		if len(given) > 0 {
			if !(given[i] > 0) {
				return nil, fmt.Errorf("a scale of %v: %w", given[i], ErrModel)
			}
			scales[axis] = float64(given[i])
		}
	}
	return scales, nil
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
		}
		return (o+0.5)/scale - 0.5
	}
	switch transform {
	case "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel":
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
		case "cubic":
			low := math.Floor(at)
			weights := cubic(at-low, float64(n.Float("cubic_coeff_a", -0.75)))
			sum := 1.0
			if n.Int("exclude_outside", 0) != 0 {
				sum = 0
				for k := range weights {
					if i := low - 1 + float64(k); i < 0 || i >= float64(in) {
						weights[k] = 0
					}
					sum += weights[k]
				}
			}
			for k, w := range weights {
				row[clamp(low-1+float64(k))] += float32(w / sum)
			}
		default:
			return nil, fmt.Errorf("mode %q has no gradient: %w", mode, ErrNoRule)
		}
	}
	return m, nil
}

// cubic is the weights of the four elements around a position, f behind the
// second of them, by convolution with the kernel of Keys (IEEE Transactions on
// Acoustics, Speech, and Signal Processing 29(6), 1981, equation 4) with the
// free coefficient a.
func cubic(f, a float64) [4]float64 {
	near := func(x float64) float64 { return ((a+2)*x-(a+3))*x*x + 1 }
	far := func(x float64) float64 { return ((a*x-5*a)*x+8*a)*x - 4*a }
	return [4]float64{far(1 + f), near(f), near(1 - f), far(2 - f)}
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
