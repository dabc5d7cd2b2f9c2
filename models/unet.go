package models

import (
	"fmt"

	"winnow/onnx"
)

// unet is Ronneberger et al. 2015 (arXiv 1505.04597) made small: two scales down
// and up again, pairs of 3x3 convolutions with batch normalisation and padding,
// so that a mask is as large as the image.
func unet(b *builder) {
	b.classes = DefaultClasses + 1
	widths := []int64{16, 32}
	type level struct {
		value string
		size  [3]int64
	}
	var down []level
	for i, width := range widths {
		b.pair(fmt.Sprintf("down%d", i+1), width)
		down = append(down, level{b.value, b.size})
		b.maxPool(2)
	}
	b.pair("middle", 64)
	for i := len(widths) - 1; i >= 0; i-- {
		name := fmt.Sprintf("up%d", i+1)
		b.enlarge(name+".enlarge", widths[i])
		b.op("Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, down[i].value)
		b.size = [3]int64{b.size[0] + down[i].size[0], down[i].size[1], down[i].size[2]}
		b.pair(name, widths[i])
	}
	b.conv("output", b.classes, 1, 1, true)
}

// pair is two 3x3 convolutions, each with normalisation and Relu.
func (b *builder) pair(name string, width int64) {
	for i := range 2 {
		b.conv(fmt.Sprintf("%s.conv%d", name, i+1), width, 3, 1, false)
		b.norm(fmt.Sprintf("%s.norm%d", name, i+1))
		b.op("Relu", nil)
	}
}

// enlarge doubles height and width by a transposed 2x2 convolution.
func (b *builder) enlarge(name string, out int64) {
	in := b.size[0]
	b.op("ConvTranspose", map[string]onnx.Attr{"kernel_shape": onnx.IntsAttr(2, 2), "strides": onnx.IntsAttr(2, 2)},
		b.uniform(name+".weight", 4*in, in, out, 2, 2), b.uniform(name+".bias", 4*in, out))
	b.size = [3]int64{out, 2 * b.size[1], 2 * b.size[2]}
}
