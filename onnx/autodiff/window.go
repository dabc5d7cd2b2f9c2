package autodiff

import (
	"fmt"
	"math"
	"slices"

	"winnow/onnx"
)

// window is the geometry of a convolution or a pooling over spatial axes of
// known size; begin and end hold the padding of each axis.
type window struct {
	in, out, kernel, stride, dilation, begin, end []int64
}

// extent is how many input positions one window spans along an axis.
func (w window) extent(i int) int64 { return (w.kernel[i]-1)*w.dilation[i] + 1 }

func (w window) rank() int { return len(w.in) }

// area is how many positions the output has.
func (w window) area() int64 { return product(w.out) }

// tapCount is how many elements the kernel has.
func (w window) tapCount() int64 { return product(w.kernel) }

// symmetric reports whether both sides of every axis are padded alike.
func (w window) symmetric() bool {
	for i := range w.begin {
		if w.begin[i] != w.end[i] {
			return false
		}
	}
	return true
}

func (w window) unitStride() bool {
	for _, s := range w.stride {
		if s != 1 {
			return false
		}
	}
	return true
}

// taps calls f with the position of every element of the kernel, in row-major order.
func (w window) taps(f func(tap []int64)) {
	tap := make([]int64, w.rank())
	for {
		f(tap)
		i := w.rank() - 1
		for ; i >= 0; i-- {
			if tap[i]++; tap[i] < w.kernel[i] {
				break
			}
			tap[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// windowOf reads a node's geometry. kernel is nil where the node says it itself.
func (n *node) windowOf(kernel []int64) (window, error) {
	x, y := n.shape(n.Inputs[0]), n.shape(n.Outputs[0])
	if len(x) < 3 || len(y) != len(x) {
		return window{}, fmt.Errorf("input of shape %v: %w", x, ErrModel)
	}
	in, out := x[2:].Ints(), y[2:].Ints()
	if in == nil || out == nil {
		return window{}, fmt.Errorf("the image size %v is not fixed; export with a fixed height and width: %w", x, ErrModel)
	}
	r := len(in)
	if kernel == nil {
		kernel = n.Ints("kernel_shape", nil)
	}
	ones := make([]int64, r)
	for i := range ones {
		ones[i] = 1
	}
	w := window{in: in, out: out, kernel: kernel, stride: n.Ints("strides", ones), dilation: n.Ints("dilations", ones)}
	if len(w.kernel) != r || len(w.stride) != r || len(w.dilation) != r {
		return window{}, fmt.Errorf("kernel, strides or dilations do not fit the rank of %v: %w", x, ErrModel)
	}
	w.begin, w.end = make([]int64, r), make([]int64, r)
	switch auto := n.Str("auto_pad", "NOTSET"); auto {
	case "NOTSET", "":
		pads := n.Ints("pads", make([]int64, 2*r))
		if len(pads) != 2*r {
			return window{}, fmt.Errorf("%d pads for %d spatial axes: %w", len(pads), r, ErrModel)
		}
		copy(w.begin, pads[:r])
		copy(w.end, pads[r:])
	case "VALID":
	case "SAME_UPPER", "SAME_LOWER":
		for i := range r {
			total := max((out[i]-1)*w.stride[i]+w.extent(i)-in[i], 0)
			if w.extent(i) != w.kernel[i] { // ONNX Runtime pools pad for the kernel as it is without dilation
				total = max(((in[i]-1)/w.stride[i])*w.stride[i]+w.kernel[i]-in[i], 0)
			}
			w.begin[i], w.end[i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				w.begin[i], w.end[i] = w.end[i], w.begin[i]
			}
		}
	default:
		return window{}, fmt.Errorf("auto_pad %q: %w", auto, ErrModel)
	}
	return w, w.check()
}

// Bounds of a window, far above any model's.
const (
	maxExtent = 1 << 20 // kernel, stride, dilation, padding along one axis
	maxTaps   = 1 << 12 // elements of a kernel
	maxArea   = 1 << 24 // positions of an output
	maxFilter = 1 << 22 // elements of a filter that a rule makes
)

func (w window) check() error {
	taps, area := int64(1), int64(1)
	for i := range w.in {
		for _, v := range []int64{w.kernel[i], w.stride[i], w.dilation[i], w.in[i], w.out[i]} {
			if v < 1 || v > maxExtent {
				return fmt.Errorf("kernel %v, strides %v, dilations %v on an image of %v: %w", w.kernel, w.stride, w.dilation, w.in, ErrModel)
			}
		}
		for _, v := range []int64{w.begin[i], w.end[i]} {
			if v < 0 || v > maxExtent {
				return fmt.Errorf("pads %v and %v: %w", w.begin, w.end, ErrModel)
			}
		}
		if taps *= w.kernel[i]; taps > maxTaps {
			return fmt.Errorf("a kernel of %v: %w", w.kernel, ErrModel)
		}
		if area *= w.out[i]; area > maxArea {
			return fmt.Errorf("an output of %v: %w", w.out, ErrModel)
		}
	}
	return nil
}

// pad puts zeros around the spatial axes of x, the last len(begin) ones.
func (e *emitter) pad(x string, begin, end []int64) string {
	rank := len(e.shape(x))
	lead := rank - len(begin)
	pads := make([]int64, 2*rank)
	some := false
	for i := range begin {
		pads[lead+i], pads[rank+lead+i] = begin[i], end[i]
		some = some || begin[i] != 0 || end[i] != 0
	}
	if !some {
		return x
	}
	return e.op("Pad", nil, x, e.ints(pads...), e.number(0, x))
}

// crop takes size elements from start on along the spatial axes.
func (e *emitter) crop(x string, start, size []int64) string {
	lead := len(e.shape(x)) - len(start)
	ends, axes, steps := make([]int64, len(start)), make([]int64, len(start)), make([]int64, len(start))
	whole := true
	for i := range start {
		ends[i], axes[i], steps[i] = start[i]+size[i], int64(lead+i), 1
		whole = whole && start[i] == 0 && e.shape(x)[lead+i] == onnx.Const(size[i])
	}
	if whole {
		return x
	}
	return e.slice(x, start, ends, axes, steps)
}

// Largest kernel whose patches a convolution takes: its work grows with the
// square of the taps, that of slices with the taps alone.
const maxPickTaps = 49

// patches is, for every channel and tap of the window, the elements of x that
// the tap meets: [N, C, taps, positions].
func (e *emitter) patches(x string, w window) string {
	shape := e.shape(x)
	channels, taps, area := shape[1].N, w.tapCount(), w.area()
	end := w.reached()
	if taps == 1 && w.unitStride() && area == product(w.in) {
		return e.flat(x, 0, channels, 1, area)
	}
	if taps <= maxPickTaps && channels*taps*taps <= maxFilter {
		return e.flat(e.pick(x, w, channels, end), 0, channels, taps, area)
	}
	x = e.pad(x, w.begin, end)
	var parts []string
	w.taps(func(tap []int64) { parts = append(parts, e.flat(e.met(x, w, tap), 0, channels, 1, area)) })
	return e.op("Concat", attrs{"axis": onnx.IntAttr(2)}, parts...)
}

// reached is the padding at the end that windows need: one may overhang what
// the operator pads (ceil_mode).
func (w window) reached() []int64 {
	end := make([]int64, w.rank())
	for i := range end {
		end[i] = max(w.end[i], (w.out[i]-1)*w.stride[i]+w.extent(i)-w.in[i]-w.begin[i])
	}
	return end
}

// met is what a tap meets in the padded image x: of the size of the output.
func (e *emitter) met(x string, w window, tap []int64) string {
	r := w.rank()
	starts, ends, axes := make([]int64, r), make([]int64, r), make([]int64, r)
	for i := range r {
		starts[i] = tap[i] * w.dilation[i]
		ends[i] = starts[i] + (w.out[i]-1)*w.stride[i] + 1
		axes[i] = int64(2 + i)
	}
	return e.slice(x, starts, ends, axes, w.stride)
}

// pick is a convolution whose filters hold a single 1 each: channel c*taps + t
// of the result is what tap t meets in channel c. It was measured 2 to 5 times
// faster than slices joined together.
func (e *emitter) pick(x string, w window, channels int64, end []int64) string {
	taps := w.tapCount()
	filter := make([]float32, channels*taps*taps)
	for row := range channels * taps {
		filter[row*taps+row%taps] = 1
	}
	return e.op("Conv", attrs{
		"kernel_shape": onnx.IntsAttr(w.kernel...), "strides": onnx.IntsAttr(w.stride...), "dilations": onnx.IntsAttr(w.dilation...),
		"pads": onnx.IntsAttr(slices.Concat(w.begin, end)...), "group": onnx.IntAttr(channels),
	}, x, e.floats(filter, append([]int64{channels * taps, 1}, w.kernel...)...))
}

func product(dims []int64) int64 {
	p := int64(1)
	for _, d := range dims {
		p *= d
	}
	return p
}

// reversed flips the last r axes of x.
func (e *emitter) reversed(x string, kernel []int64) string {
	rank := len(e.shape(x))
	var starts, ends, axes, steps []int64
	for i, k := range kernel {
		if k > 1 {
			starts, ends = append(starts, -1), append(ends, math.MinInt32)
			axes, steps = append(axes, int64(rank-len(kernel)+i)), append(steps, -1)
		}
	}
	if len(axes) == 0 {
		return x
	}
	return e.slice(x, starts, ends, axes, steps)
}

// spatialAxes are the axes from 2 on, with the batch axis in front if asked.
func spatialAxes(rank int, batch bool) []int64 {
	var axes []int64
	if batch {
		axes = append(axes, 0)
	}
	for i := 2; i < rank; i++ {
		axes = append(axes, int64(i))
	}
	return axes
}
