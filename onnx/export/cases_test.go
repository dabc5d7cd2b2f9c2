package export

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// casesOf lists what there is to choose in a fixture's model.
func casesOf(t *testing.T, file string, block int64) []autodiff.Case {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Blocks: Blocks{Size: block}}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	ready, err := prepare(m, &o)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := ready.cases(&o)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(cases, func(c autodiff.Case) bool { return c.Block != block })
}

func TestCases(t *testing.T) {
	list := func(cases []autodiff.Case) (lines []string) {
		for _, c := range cases {
			lines = append(lines, c.Key+": "+strings.Join(c.Forms, " "))
		}
		return lines
	}
	for block, want := range map[int64][]string{
		0: {
			"MaxPool: 32x14x14 -> 32x7x7, kernel 2x2, strides 2x2, pads 0,0,0,0: compare scatter",
			"Conv data: 16x14x14 -> 32x14x14, kernel 3x3, strides 1x1, pads 1,1,1,1: flip transpose",
			"Conv filter: 16x14x14 -> 32x14x14, kernel 3x3, strides 1x1, pads 1,1,1,1: images gemm taps",
			"MaxPool: 16x28x28 -> 16x14x14, kernel 2x2, strides 2x2, pads 0,0,0,0: compare scatter",
			"Conv filter: 1x28x28 -> 16x28x28, kernel 3x3, strides 1x1, pads 1,1,1,1: images gemm taps",
		},
		16: {
			"nchwc16 MaxPool: blocked 32x14x14 -> blocked 32x7x7, kernel 2x2, strides 2x2, pads 0,0,0,0: blocked compare scatter",
			"nchwc16 Conv data: blocked 16x14x14 -> blocked 32x14x14, kernel 3x3, strides 1x1, pads 1,1,1,1: blocked flip transpose",
			"nchwc16 Conv filter: blocked 16x14x14 -> blocked 32x14x14, kernel 3x3, strides 1x1, pads 1,1,1,1: batch images gemm taps",
			"nchwc16 MaxPool: blocked 16x28x28 -> blocked 16x14x14, kernel 2x2, strides 2x2, pads 0,0,0,0: blocked compare scatter",
			"nchwc16 Conv filter: 1x28x28 -> blocked 16x28x28, kernel 3x3, strides 1x1, pads 1,1,1,1: batch images gemm taps",
		},
	} {
		if got := list(casesOf(t, "lenet.t113.onnx.gz", block)); !slices.Equal(got, want) {
			t.Errorf("block %d:\n%s\nwant\n%s", block, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if c := casesOf(t, "lenet.t113.onnx.gz", 16)[2]; !slices.Equal(c.FormsFor(24), []string{autodiff.WeightImages, autodiff.WeightGemm, autodiff.WeightTaps}) {
		t.Errorf("batches of 24 have forms %v", c.FormsFor(24))
	}
}

// Every form's own graph gives the gradient by its definition.
func TestFormsAgreeWithDefinition(t *testing.T) {
	d := gradtest.Device(t)
	const n = 16
	for _, block := range []int64{0, int64(d.ConvBlock())} {
		for _, file := range []string{"lenet.t113.onnx.gz", "resnet8.t113.onnx.gz"} {
			for _, c := range casesOf(t, file, block) {
				if n*c.OutC*c.Window.Area()*c.Channels*c.Window.TapCount() > 20e6 { // the definition's loops are slow
					continue
				}
				for _, form := range c.FormsFor(n) {
					t.Run(fmt.Sprintf("%s/%s", c.Key, form), func(t *testing.T) { checkForm(t, d, c, form, n) })
				}
			}
		}
	}
}

func checkForm(t *testing.T, d *ortrun.Device, c autodiff.Case, form string, n int64) {
	model, inputs, outputs, err := CaseGraph(c, form, n)
	if err != nil {
		t.Fatal(err)
	}
	slots := func(values []onnx.Value) (s []ortrun.Slot) {
		for _, v := range values {
			s = append(s, ortrun.Slot{Name: v.Name, DType: ortrun.DType(v.DType), Shape: v.Shape.Ints()})
		}
		return s
	}
	f, err := d.NewFunction(model, slots(inputs), slots(outputs))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := c.Window
	image := newArray(n, c.Channels, w.In[0], w.In[1])
	adjoint := newArray(n, c.OutC, w.Out[0], w.Out[1])
	filter := newArray(c.OutC, c.Channels, w.Kernel[0], w.Kernel[1])
	r := rand.New(rand.NewPCG(11, uint64(n)))
	for _, a := range []*array{image, adjoint, filter} {
		for i := range a.v {
			a.v[i] = float64(float32(r.NormFloat64()))
		}
	}
	given := map[string][]float64{"x": image.layout(c.XBlocked, c.Block), "dy": adjoint.layout(c.YBlocked, c.Block), "filter": filter.v}
	var raw [][]byte
	for _, in := range inputs {
		raw = append(raw, make([]byte, 4*len(given[in.Name])))
		gradtest.PutFloats(raw[len(raw)-1], onnx.Float32, given[in.Name])
	}
	out, err := f.Run(raw...)
	if err != nil {
		t.Fatal(err)
	}
	got := gradtest.GetFloats(out[len(out)-1], onnx.Float32)
	var want []float64
	switch c.Gradient {
	case autodiff.ConvData:
		dx := newArray(image.dims[:]...)
		convolve(w, adjoint, filter, dx, func(y, k, x *float64) { *x += *y * *k })
		want = dx.layout(c.XBlocked, c.Block)
	case autodiff.ConvFilter:
		dw := newArray(filter.dims[:]...)
		convolve(w, adjoint, dw, image, func(y, k, x *float64) { *k += *y * *x })
		want = dw.v
	case autodiff.PoolData:
		want = poolGradient(w, image, adjoint).layout(c.XBlocked, c.Block)
	}
	diff, norm := 0.0, 0.0
	for i := range want {
		diff += (got[i] - want[i]) * (got[i] - want[i])
		norm += want[i] * want[i]
	}
	if len(got) != len(want) || !(math.Sqrt(diff/norm) < 1e-5) {
		t.Errorf("%d values, want %d; %.3g from the definition", len(got), len(want), math.Sqrt(diff/norm))
	}
}

// array is a row-major tensor of four axes.
type array struct {
	dims [4]int64
	v    []float64
}

func newArray(dims ...int64) *array {
	a := &array{v: make([]float64, elementCount(dims))}
	copy(a.dims[:], dims)
	return a
}

func (a *array) at(i, j, k, l int64) *float64 {
	return &a.v[((i*a.dims[1]+j)*a.dims[2]+k)*a.dims[3]+l]
}

// layout is the memory of images, in blocks of channels if asked.
func (a *array) layout(blocked bool, block int64) []float64 {
	if !blocked {
		return a.v
	}
	var v []float64
	for i := range a.dims[0] {
		for j := int64(0); j < a.dims[1]; j += block {
			for k := range a.dims[2] {
				for l := range a.dims[3] {
					for c := range block {
						v = append(v, *a.at(i, j+c, k, l))
					}
				}
			}
		}
	}
	return v
}

// convolve visits every product of y = x correlated with the filter.
func convolve(w autodiff.Window, y, filter, x *array, visit func(y, k, x *float64)) {
	for n := range y.dims[0] {
		for o := range y.dims[1] {
			for r := range w.Out[0] {
				for s := range w.Out[1] {
					for c := range x.dims[1] {
						for p := range w.Kernel[0] {
							for q := range w.Kernel[1] {
								i, j := r*w.Stride[0]+p*w.Dilation[0]-w.Begin[0], s*w.Stride[1]+q*w.Dilation[1]-w.Begin[1]
								if i >= 0 && i < w.In[0] && j >= 0 && j < w.In[1] {
									visit(y.at(n, o, r, s), filter.at(o, c, p, q), x.at(n, c, i, j))
								}
							}
						}
					}
				}
			}
		}
	}
}

func poolGradient(w autodiff.Window, x, dy *array) *array {
	dx := newArray(x.dims[:]...)
	for n := range dy.dims[0] {
		for c := range dy.dims[1] {
			for r := range w.Out[0] {
				for s := range w.Out[1] {
					i, j := r*w.Stride[0], s*w.Stride[1]
					for p := range w.Kernel[0] {
						for q := range w.Kernel[1] {
							if *x.at(n, c, r*w.Stride[0]+p, s*w.Stride[1]+q) > *x.at(n, c, i, j) {
								i, j = r*w.Stride[0]+p, s*w.Stride[1]+q
							}
						}
					}
					*dx.at(n, c, i, j) += *dy.at(n, c, r, s)
				}
			}
		}
	}
	return dx
}

func elementCount(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}
