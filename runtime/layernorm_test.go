package runtime

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// rows are along the dimensions from axis on.
type rows struct {
	dims []int64
	axis int64
	bias bool
}

// A layer normalisation and its gradient are those of their definitions, in
// float64, also far from 0, whatever the number of threads.
func TestOperatorsOfLayerNormalisation(t *testing.T) {
	anyThreads(t, []rows{{[]int64{5, 7, 20}, 2, true}, {[]int64{1, 1}, 1, true}, {[]int64{40, 3, 8}, 1, false}, {[]int64{70, 192}, 1, true}, {[]int64{3, 5}, 0, true}}, checkLayerNorm)
}

func checkLayerNorm(t *testing.T, d *Device, s rows) (all []float32) {
	t.Helper()
	dims, axis, bias := s.dims, s.axis, s.bias
	const epsilon = 1e-3
	r := rand.New(rand.NewPCG(4, uint64(len(dims))))
	rows, width := int(product(dims[:axis])), int(product(dims[axis:]))
	x, g, scale, shift := drawn(r, rows*width), drawn(r, rows*width), drawn(r, width), drawn(r, width)
	if !bias {
		clear(shift)
	}
	y, dx := make([]float64, rows*width), make([]float64, rows*width)
	dscale, dbias, mean, inverse := make([]float64, width), make([]float64, width), make([]float64, rows), make([]float64, rows)
	for i := range rows {
		var variance, h, hx float64
		for j := range width {
			x[i*width+j] += float32(10 * i)
			mean[i] += float64(x[i*width+j]) / float64(width)
		}
		for j := range width {
			variance += math.Pow(float64(x[i*width+j])-mean[i], 2) / float64(width)
		}
		inverse[i] = 1 / math.Sqrt(variance+epsilon)
		xhat := func(j int) float64 { return (float64(x[i*width+j]) - mean[i]) * inverse[i] }
		for j := range width {
			dy := float64(g[i*width+j])
			y[i*width+j] = xhat(j)*float64(scale[j]) + float64(shift[j])
			dscale[j] += dy * xhat(j)
			dbias[j] += dy
			h += dy * float64(scale[j]) / float64(width)
			hx += dy * float64(scale[j]) * xhat(j) / float64(width)
		}
		for j := range width {
			dx[i*width+j] = inverse[i] * (float64(g[i*width+j])*float64(scale[j]) - h - xhat(j)*hx)
		}
	}
	of := slices.Clone(dims)
	for i := axis; i < int64(len(of)); i++ {
		of[i] = 1
	}
	run := func(op string, outs [][]int64, shapes [][]int64, operands ...[]float32) [][]float32 {
		t.Helper()
		model := winnowNode(op, len(operands), len(outs), map[string][]int64{"axis": {axis}}, floatAttribute("epsilon", epsilon))
		results, err := runNode(t, d, model, shapes, outs, operands...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.Concat(results...)...)
		return results
	}
	shapes, operands := [][]int64{dims, dims[axis:], dims[axis:]}, [][]float32{x, scale, shift}
	if !bias {
		shapes, operands = shapes[:2], operands[:2]
	}
	out := run("LayerNorm", [][]int64{dims, of, of}, shapes, operands...)
	within(t, "result", out[0], y, 3e-4) // a mean of up to 700, of numbers 1 apart
	within(t, "mean", out[1], mean, 1e-6)
	within(t, "inverse deviation", out[2], inverse, 1e-4)
	grads := run("LayerNormGrad", [][]int64{dims, dims[axis:], dims[axis:]}, [][]int64{dims, dims, dims[axis:], of, of}, g, x, scale, out[1], out[2])
	within(t, "gradient", grads[0], dx, 1e-3)
	within(t, "scale's gradient", grads[1], dscale, 2e-3)
	within(t, "bias' gradient", grads[2], dbias, 2e-5)
	return all
}
