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

func benchOperator(b *testing.B, d *Device, model []byte, shapes [][]int64, result []int64) {
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
	f, err := d.NewFunction(model, in, []Slot{{Name: nodesOutput(0), DType: Float32, Shape: result}})
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
