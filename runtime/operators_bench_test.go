package runtime

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// What the operators take, and the provider's own convolution beside them: images x in->out @ size.
func BenchmarkOperators(b *testing.B) {
	for _, threads := range []int{1, 2} {
		d, err := Open(Options{Device: "cpu", Threads: threads})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		block := d.ConvBlock()
		if !d.Kernels() || block == 0 {
			b.Skip("needs a processor with AVX2")
		}
		for _, s := range []conv3x3{
			{images: 128, in: 16, out: 16, h: 32, w: 32}, {images: 128, in: 32, out: 32, h: 16, w: 16}, {images: 128, in: 64, out: 64, h: 8, w: 8},
			{images: 64, in: 64, out: 64, h: 32, w: 32}, {images: 64, in: 128, out: 128, h: 16, w: 16},
			{images: 64, in: 256, out: 256, h: 8, w: 8}, {images: 64, in: 512, out: 512, h: 4, w: 4},
		} {
			s.pads = [4]int{1, 1, 1, 1}
			x := []int64{int64(s.images), int64(s.in), int64(s.h), int64(s.w)}
			y := []int64{int64(s.images), int64(s.out), int64(s.oh()), int64(s.ow())}
			w := []int64{int64(s.out), int64(s.in), 3, 3}
			size := []int64{int64(block)}
			for _, c := range []struct {
				name   string
				model  []byte
				in     [][]int64
				result []int64
			}{
				{"provider", node(blockedDomain, "Conv", 2, 1, map[string][]int64{"pads": {1, 1, 1, 1}, "kernel_shape": {3, 3}}), [][]int64{x, w}, y},
				{"forward", winnowNode("Conv3x3", 2, 1, map[string][]int64{"pads": {1, 1, 1, 1}, "turned": {0}, "block": size}), [][]int64{x, w}, y},
				{"data", winnowNode("Conv3x3", 2, 1, map[string][]int64{"pads": {1, 1, 1, 1}, "turned": {1}, "block": size}), [][]int64{y, w}, x},
				{"filter", winnowNode("Conv3x3Filter", 2, 1, map[string][]int64{"pads": {1, 1, 1, 1}, "block": size}), [][]int64{x, y}, w},
			} {
				b.Run(fmt.Sprintf("%d-threads/%dx%d->%d@%d/%s", threads, s.images, s.in, s.out, s.h, c.name), func(b *testing.B) {
					benchOperator(b, d, c.model, c.in, c.result)
				})
			}
		}
	}
}

// What chains by element, normalisation of rows, permutations, sums, gradients of poolings
// and of filters by channel, and filters in blocks take, beside the provider's sum of two of the same size, which reads two and
// writes one: sgd reads three and writes two.
func BenchmarkOperatorsByElement(b *testing.B) {
	for _, threads := range []int{1, 2} {
		d, err := Open(Options{Device: "cpu", Threads: threads})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		if !d.Kernels() {
			b.Skip("needs a processor with AVX2")
		}
		filter, rows, image, pooled, one := []int64{512, 512, 3, 3}, []int64{4096, 192}, []int64{128, 16, 28, 28}, []int64{128, 16, 14, 14}, []int64{}
		chain := func(inputs, outputs int, program []int64, values ...int64) []byte {
			return winnowNode("Elementwise", inputs, outputs, map[string][]int64{"block": {8}}, intsAttribute("program", program...), intsAttribute("outputs", values...))
		}
		axis := map[string][]int64{"axis": {1}}
		for _, c := range []struct {
			name    string
			model   []byte
			in      [][]int64
			results [][]int64
		}{
			{"512x512x3x3/sum", node("", "Add", 2, 1, nil), [][]int64{filter, filter}, [][]int64{filter}},
			{"512x512x3x3/sgd", chain(6, 2, []int64{2, 0, 3, 0, 1, 6, 2, 2, 4, 0, 8, 7, 2, 9, 5, 1, 0, 10}, 9, 11), [][]int64{filter, filter, filter, one, one, one}, [][]int64{filter, filter}},
			{"512x512x3x3/blocks", winnowNode("FilterBlocks", 1, 1, map[string][]int64{"block": {8}, "group": {1}, "turned": {0}}), [][]int64{filter}, [][]int64{filter}},
			{"4096x192/sum", node("", "Add", 2, 1, nil), [][]int64{rows, rows}, [][]int64{rows}},
			{"4096x192/gelu", chain(4, 2, []int64{2, 0, 1, 11, 4, 4, 0, 5, 2, 2, 0, 6, 2, 7, 3}, 5, 8), [][]int64{rows, one, one, one}, [][]int64{rows, rows}},
			{"4096x192/layernorm", winnowNode("LayerNorm", 3, 3, axis, floatAttribute("epsilon", 1e-5)), [][]int64{rows, {192}, {192}}, [][]int64{rows, {4096, 1}, {4096, 1}}},
			{"4096x192/provider's layernorm", node("", "LayerNormalization", 3, 3, axis, floatAttribute("epsilon", 1e-5)), [][]int64{rows, {192}, {192}}, [][]int64{rows, {4096, 1}, {4096, 1}}},
			{"4096x192/layernorm's gradient", winnowNode("LayerNormGrad", 5, 3, axis, floatAttribute("epsilon", 1e-5)), [][]int64{rows, rows, {192}, {4096, 1}, {4096, 1}}, [][]int64{rows, {192}, {192}}},
			{"128x16@28/sum", node("", "Add", 2, 1, nil), [][]int64{image, image}, [][]int64{image}},
			{"16x16x12x192/permuted", winnowNode("Permute", 1, 1, nil, intsAttribute("perm", 0, 2, 3, 1)), [][]int64{{16, 16, 12, 192}}, [][]int64{{16, 12, 192, 16}}},
			{"16x16x12x192/provider's transpose", node("", "Transpose", 1, 1, map[string][]int64{"perm": {0, 2, 3, 1}}), [][]int64{{16, 16, 12, 192}}, [][]int64{{16, 12, 192, 16}}},
			{"4096x192/sums of columns", winnowNode("ColumnSums", 1, 1, map[string][]int64{"axis": {1}, "keepdims": {1}}), [][]int64{rows}, [][]int64{{1, 192}}},
			{"128x16@28/3x3 by channel, filter's gradient", winnowNode("ChannelFilter", 2, 1, map[string][]int64{"block": {8}, "window": {3, 3, 1, 1, 1, 1, 1, 1}}), [][]int64{image, image}, [][]int64{{16, 1, 3, 3}}},
			{"128x16@28/pooling's gradient", winnowNode("MaxPoolGrad", 3, 1, map[string][]int64{"block": {8}, "window": {2, 2, 2, 2, 1, 1, 0, 0}}), [][]int64{pooled, image, pooled}, [][]int64{image}},
		} {
			b.Run(fmt.Sprintf("%d-threads/%s", threads, c.name), func(b *testing.B) { benchOperator(b, d, c.model, c.in, c.results...) })
		}
	}
}

func benchOperator(b *testing.B, d *Device, model []byte, shapes [][]int64, results ...[]int64) {
	r := rand.New(rand.NewPCG(1, 1))
	var in []Slot
	var data [][]byte
	for i, shape := range shapes {
		n := 1
		for _, size := range shape {
			n *= int(size)
		}
		in, data = append(in, Slot{Name: nodesInput(i), DType: Float32, Shape: shape}), append(data, bytesOf(drawn(r, n)...))
	}
	var out []Slot
	for i, shape := range results {
		out = append(out, Slot{Name: nodesOutput(i), DType: Float32, Shape: shape})
	}
	f, err := d.NewFunction(model, in, out)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Run(data...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := f.Repeat(); err != nil {
			b.Fatal(err)
		}
	}
}
