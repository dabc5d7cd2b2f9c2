package autodiff

import (
	"fmt"
	"math"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// Largest interpolation matrix, in elements; one side is an image's height or width.
const maxResizeMatrix = 1 << 24

// y = x resampled: along each axis y = M*x with a constant matrix M, so dx = M^T*g.
func gradResize(n *Node) ([]string, error) {
	x, y := n.Shape(n.Inputs[0]), n.Shape(n.Outputs[0])
	if x == nil || len(y) != len(x) {
		return nil, fmt.Errorf("input of shape %v to %v: %w", x, y, emit.ErrModel)
	}
	scales, err := n.resizeScales(len(x))
	if err != nil {
		return nil, err
	}
	crops, err := n.resizeCrops(len(x))
	if err != nil {
		return nil, err
	}
	g := n.Dy[0]
	rank := len(x)
	for axis := range x {
		scale := scales[axis]
		if x[axis] == y[axis] && (scale == 1 || scale == 0) && crops[axis] == [2]float64{0, 1} {
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
			return nil, fmt.Errorf("axis %d from %d to %d: %w", axis, in, out, emit.ErrModel)
		}
		if scale == 0 {
			scale = float64(out) / float64(in)
		}
		m, err := n.resample(in, out, scale, crops[axis])
		if err != nil {
			return nil, err
		}
		// Bring the axis last, multiply by M, and put it back.
		perm := make([]int64, rank)
		for i := range perm {
			perm[i] = int64(i)
		}
		perm[axis], perm[rank-1] = perm[rank-1], perm[axis]
		g = n.Transpose(n.MatMul(n.Transpose(g, perm...), n.Float32s(m, out, in)), perm...)
	}
	return one(g)
}

// resizeScales is the scale of each axis: 1 where it is left alone, 0 where a
// size is given in its place.
func (n *Node) resizeScales(rank int) ([]float64, error) {
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
		t := n.Graph.Initializers[name]
		if t == nil {
			return nil, fmt.Errorf("scales %q are computed at run time: %w", name, emit.ErrModel)
		}
		given = t.Float32s()
	}
	if len(given) > 0 && len(given) != len(axes) {
		return nil, fmt.Errorf("%d scales for %d axes: %w", len(given), len(axes), emit.ErrModel)
	}
	for i, a := range axes {
		axis, err := emit.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		scales[axis] = 0
		if policy := n.Str("keep_aspect_ratio_policy", "stretch"); len(given) == 0 && policy != "stretch" {
			if scales[axis], err = n.keptRatio(axes, policy == "not_larger"); err != nil {
				return nil, err
			}
		}
		if len(given) > 0 {
			if !(given[i] > 0) {
				return nil, fmt.Errorf("a scale of %v: %w", given[i], emit.ErrModel)
			}
			scales[axis] = float64(given[i])
		}
	}
	return scales, nil
}

// keptRatio is the one scale of all axes by a keep_aspect_ratio_policy: the
// least or largest of size/length.
func (n *Node) keptRatio(axes []int64, least bool) (float64, error) {
	sizes, err := n.known(3)
	if err != nil {
		return 0, err
	}
	var ratio float64
	for i, a := range axes {
		axis, err := emit.Axis(a, len(n.Shape(n.Inputs[0])))
		if err != nil {
			return 0, err
		}
		length, err := n.fixedDim(n.Inputs[0], axis)
		if err != nil {
			return 0, err
		}
		if len(sizes) != len(axes) || sizes[i] < 1 || length < 1 {
			return 0, fmt.Errorf("sizes %v for %d axes: %w", sizes, len(axes), emit.ErrModel)
		}
		if r := float64(float32(sizes[i]) / float32(length)); i == 0 || least == (r < ratio) {
			ratio = r
		}
	}
	return ratio, nil
}

// resizeCrops is the part of each axis that tf_crop_and_resize takes, from
// start to end, as fractions of its length; [0, 1] in other modes.
func (n *Node) resizeCrops(rank int) ([][2]float64, error) {
	crops := make([][2]float64, rank)
	axes := n.Ints("axes", nil)
	for i := range crops {
		crops[i] = [2]float64{0, 1}
		if n.Ints("axes", nil) == nil {
			axes = append(axes, int64(i))
		}
	}
	if n.Str("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize" {
		return crops, nil
	}
	t := n.Graph.Initializers[n.Input(1)]
	if t == nil || t.DType != onnx.Float32 || t.Len() != 2*len(axes) {
		return nil, fmt.Errorf("the region %q is no constant of %d float32 numbers: %w", n.Input(1), 2*len(axes), emit.ErrModel)
	}
	for i, a := range axes {
		axis, err := emit.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		crops[axis] = [2]float64{float64(t.Float32s()[i]), float64(t.Float32s()[len(axes)+i])}
	}
	return crops, nil
}

// source is where element o of the output lies in the input, after the
// definition of the ONNX operator Resize.
func source[F float32 | float64](transform string, o, in, out, scale F, crop [2]F) (F, error) {
	switch transform {
	case "asymmetric":
		return o / scale, nil
	case "align_corners":
		if out == 1 {
			return 0, nil
		}
		return o * (in - 1) / (out - 1), nil
	case "tf_crop_and_resize":
		if out == 1 {
			return 0.5 * (crop[0] + crop[1]) * (in - 1), nil
		}
		return crop[0]*(in-1) + o*(crop[1]-crop[0])*(in-1)/(out-1), nil
	case "half_pixel_symmetric":
		return in/2*(1-out/(scale*in)) + (o+0.5)/scale - 0.5, nil
	case "tf_half_pixel_for_nn":
		return (o + 0.5) / scale, nil
	case "pytorch_half_pixel":
		if out == 1 {
			return 0, nil
		}
		fallthrough
	case "half_pixel":
		return (o+0.5)/scale - 0.5, nil
	}
	return 0, fmt.Errorf("coordinates %q have no gradient: %w", transform, ErrNoRule)
}

// resample is the matrix, out by in, of one axis. What a position decides, the
// nearest element and what lies outside, it decides in float32, as ONNX Runtime does.
func (n *Node) resample(in, out int64, scale float64, crop [2]float64) ([]float32, error) {
	transform := n.Str("coordinate_transformation_mode", "half_pixel")
	isCrop := transform == "tf_crop_and_resize"
	m := make([]float32, in*out)
	for o := range out {
		at, err := source(transform, float64(o), float64(in), float64(out), scale, crop)
		if err != nil {
			return nil, err
		}
		if isCrop || n.Str("mode", "nearest") == "nearest" {
			rounded, _ := source(transform, float32(o), float32(in), float32(out), float32(scale), [2]float32{float32(crop[0]), float32(crop[1])})
			at = float64(rounded)
		}
		if isCrop && (at < 0 || at > float64(in-1)) {
			continue // the extrapolation_value
		}
		if err := n.spreadWeights(m[o*in:(o+1)*in], at, scale); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// spreadWeights adds to a row what each element of the input counts at a position.
func (n *Node) spreadWeights(row []float32, at, scale float64) error {
	in := float64(len(row))
	add := func(i, w float64) { row[int64(min(max(i, 0), in-1))] += float32(w) }
	outside := n.Int("exclude_outside", 0) != 0
	a := float64(n.Float("cubic_coeff_a", -0.75))
	mode := n.Str("mode", "nearest")
	if n.Int("antialias", 0) != 0 && (mode == "linear" || mode == "cubic") {
		smoothWeights(in, at, scale, mode == "cubic", a, outside, add)
		return nil
	}
	low := math.Floor(at)
	switch mode {
	case "nearest":
		round, err := nearest(n.Str("nearest_mode", "round_prefer_floor"))
		if err != nil {
			return err
		}
		add(round(at), 1)
	case "linear":
		add(low, 1-(at-low))
		add(low+1, at-low)
	case "cubic":
		weights := cubic(at-low, a)
		sum := 1.0
		if outside {
			sum = 0
			for k := range weights {
				if i := low - 1 + float64(k); i < 0 || i >= in {
					weights[k] = 0
				}
				sum += weights[k]
			}
		}
		for k, w := range weights {
			add(low-1+float64(k), w/sum)
		}
	default:
		return fmt.Errorf("mode %q has no gradient: %w", mode, ErrNoRule)
	}
	return nil
}

// smoothWeights is interpolation with a filter that is stretched by 1/scale
// where that shrinks, so that every element of the input counts.
func smoothWeights(in, at, scale float64, isCubic bool, a float64, outside bool, add func(i, w float64)) {
	stretch := max(1/scale, 1)
	support := stretch
	filter := func(x float64) float64 { return max(1-math.Abs(x), 0) }
	if isCubic {
		support = 2 * stretch
		filter = func(x float64) float64 {
			x = math.Abs(x)
			low := math.Floor(x)
			switch w := cubic(x-low, a); low {
			case 0:
				return w[1]
			case 1:
				return w[0]
			}
			return 0
		}
	}
	center := at + 0.5
	first, last := math.Floor(center-support+0.5), math.Floor(center+support+0.5)
	if outside {
		first, last = max(first, 0), min(last, in)
	}
	sum := 0.0
	for i := first; i < last; i++ {
		sum += filter((i - center + 0.5) / stretch)
	}
	for i := first; i < last; i++ {
		add(i, filter((i-center+0.5)/stretch)/sum)
	}
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
