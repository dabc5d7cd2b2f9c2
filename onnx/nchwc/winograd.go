package nchwc

import (
	"maps"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/emit"
)

// Winograd's minimal filtering along the rows of images: four rows of a
// convolution with three rows of filter take six products instead of twelve
// (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015,
// F(4, 3) at the points 0, 1, -1, 2, -2 and infinity). The columns stay a
// convolution, of a kernel of 1x3, so that every step works on blocks:
//
//	y = A'((G w) * (B' x)), and as gradient of the filter dw = G'((B' x) * (A dy)).
const (
	winoRows  = 4 // that come out of a tile
	winoParts = 6 // products of a tile, each a convolution
)

var (
	winoB = [winoParts][]float32{ // B': how a part is made of six rows of the image
		{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
		{0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1},
	}
	winoG = []float32{ // [parts, 3]: how a part is made of the rows of the filter
		1. / 4, 0, 0, -1. / 6, -1. / 6, -1. / 6, -1. / 6, 1. / 6, -1. / 6,
		1. / 24, 1. / 12, 1. / 6, 1. / 24, -1. / 12, 1. / 6, 0, 0, 1,
	}
	winoA = [winoRows][winoParts]float32{ // A': how a row is made of the parts
		{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1},
	}
)

// Where Winograd's form is taken unless a tuner says otherwise: it moves half as
// much memory again, so that it needs many channels, or few positions. Timed on
// AVX2; docs/performance.md has the times.
const (
	winoLeastChannels = 32 // for the tuner to try it
	winoManyChannels  = 128
	winoSomeChannels  = 64
	winoFewPositions  = 100
)

// canWinograd is whether c has a form of six products for rows of what comes
// out: forward, or of the data gradient.
func (c blockedConv) canWinograd(rows int64) bool {
	b := c.block
	return c.Rank() == 2 && c.Group == 1 && c.GroupC%b == 0 && c.OutC%b == 0 && min(c.GroupC, c.OutC) >= winoLeastChannels &&
		c.Kernel[0] == 3 && c.Kernel[1] == 3 && c.UnitStride() && c.Dilation[0] == 1 && c.Dilation[1] == 1 &&
		winoParts*winoTiles(rows) <= 2*rows && c.DType(c.Inputs[1]) == onnx.Float32
}

// likesWinograd is whether Winograd's form is the default where there is one.
func (c blockedConv) likesWinograd() bool {
	least := min(c.GroupC, c.OutC)
	return least >= winoManyChannels || least >= winoSomeChannels && c.Area() <= winoFewPositions
}

func winoTiles(rows int64) int64 { return (rows + winoRows - 1) / winoRows }

// forwardWinograd is whether the forward pass takes Winograd's form: as the
// data gradient of the convolution does, whose work is the same.
func (c blockedConv) forwardWinograd() bool {
	if !c.canWinograd(c.Out[0]) {
		return false
	}
	for _, form := range []string{c.Lowering.Forms[c.DataKey(c.block, c.Blocked(c.Inputs[0]), true)], c.Lowering.Data} {
		if form != "" {
			return form == autodiff.DataWinograd
		}
	}
	return c.likesWinograd()
}

// winograd is a convolution of blocked images with a filter of 3x3 that lies in
// memory as [out/b, in/b, 3, 3, b of in, b of out]: rows rows come out, and
// the image is padded above by begin[0] and at its sides by begin[1] and end.
func (l *Layout) winograd(x, filter, bias string, out, in, rows int64, begin [2]int64, end int64) string {
	b, tiles := l.block, winoTiles(rows)
	g := l.Float32s(winoG, winoParts, 3)
	filters := l.split(l.MatMul(g, l.Flat(filter, -1, 3, 3*b*b)))
	w := autodiff.Window{Kernel: []int64{1, 3}, Stride: []int64{1, 1}, Dilation: []int64{1, 1}}
	images := l.winoImages(x, begin[0], rows, false)
	products, run := make([]string, winoParts), int64(0)
	for i := range products {
		shift := ""
		if i == 1 { // the one part that goes into every row once
			shift = bias
		}
		y := l.convBlocked(images[i], l.Flat(filters[i], out, in, 1, 3), shift, 1, w, []int64{0, begin[1], 0, end})
		run = l.images(y)[3].N * b
		products[i] = l.Flat(y, -1, 1, run)
	}
	a := make([]float32, 0, winoRows*winoParts)
	for _, row := range winoA {
		a = append(a, row[:]...)
	}
	y := l.MatMul(l.Float32s(a, winoRows, winoParts), l.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(1)}, products...))
	y = l.Crop(l.Flat(y, -1, tiles*winoRows, run), []int64{0, 0}, []int64{rows, run})
	return l.Flat(y, -1, out, rows, run/b)
}

// split is each part of [n, parts, run].
func (l *Layout) split(x string) []string {
	return l.EmitN("Split", winoParts, emit.Attrs{"axis": onnx.IntAttr(1)}, x, l.Int64s(slices.Repeat([]int64{1}, winoParts)...))
}

// winoImages are the parts of blocked images for rows rows of a convolution
// whose padding begins above: B' x, a row for each tile.
//
// Those of the forward pass, kept for the gradient of the filter, would add half
// to a model's memory: again makes them anew, by an attribute that says nothing.
func (l *Layout) winoImages(x string, begin, rows int64, again bool) []string {
	parts, a := make([]string, winoParts), emit.Attrs{}
	if again {
		a["auto_pad"] = onnx.StringAttr("NOTSET")
	}
	for i := range parts {
		parts[i] = l.everyTile(x, winoB[i], begin, winoTiles(rows), a)
	}
	return parts
}

// winoAdjoints are the parts of a blocked adjoint: A dy, a row for each tile.
func (l *Layout) winoAdjoints(dy string) []string {
	parts := make([]string, winoParts)
	for i := range parts {
		taps := make([]float32, winoRows)
		for row := range taps {
			taps[row] = winoA[row][i]
		}
		parts[i] = l.everyTile(dy, taps, 0, winoTiles(l.images(dy)[2].N), emit.Attrs{})
	}
	return parts
}

// everyTile adds up rows of blocked images, times taps, at every tile; a are attributes besides.
func (l *Layout) everyTile(x string, taps []float32, begin, tiles int64, a emit.Attrs) string {
	channels, height := l.channels(x), int64(len(taps))
	filter := make([]float32, 0, channels*height)
	for range channels / l.block {
		for _, tap := range taps {
			filter = append(filter, slices.Repeat([]float32{tap}, int(l.block))...)
		}
	}
	end := (tiles-1)*winoRows + height - begin - l.images(x)[2].N
	all := maps.Clone(a)
	maps.Copy(all, emit.Attrs{
		"kernel_shape": onnx.IntsAttr(height, 1), "strides": onnx.IntsAttr(winoRows, 1), "dilations": onnx.IntsAttr(1, 1),
		"pads": onnx.IntsAttr(begin, 0, end, 0), "group": onnx.IntAttr(channels),
	})
	return l.EmitIn(Domain, "Conv", 1, all, x, l.Float32s(filter, channels, 1, height, 1))[0]
}

// dataWinograd is the data gradient in Winograd's form.
func (c blockedConv) dataWinograd() string {
	v, h := c.phase(0, 0), c.phase(1, 0)
	return c.ToPlain(c.winograd(c.ToBlocks(c.Dy[0]), c.turned(v, h), "", c.GroupC, c.OutC, c.In[0], [2]int64{v.begin, h.begin}, h.end))
}

// weightWinograd is the gradient of the filter in Winograd's form: that of each
// part is a convolution over images, as in weightBatch.
func (c blockedConv) weightWinograd() string {
	b := c.block
	part := c
	part.Window = autodiff.Window{
		In: []int64{winoTiles(c.Out[0]), c.In[1]}, Out: []int64{winoTiles(c.Out[0]), c.Out[1]},
		Kernel: []int64{1, 3}, Stride: []int64{1, 1}, Dilation: []int64{1, 1}, Begin: []int64{0, c.Begin[1]}, End: []int64{0, c.End[1]},
	}
	images, adjoints := c.winoImages(c.ToBlocks(c.Inputs[0]), c.Begin[0], c.Out[0], true), c.winoAdjoints(c.ToBlocks(c.Dy[0]))
	products := make([]string, winoParts)
	for i := range products {
		products[i] = c.Flat(part.overImages(images[i], adjoints[i]), c.GroupC/b*c.OutC/b, 1, 3*b*b)
	}
	g := make([]float32, 3*winoParts) // [3, parts]
	for i := range g {
		g[i] = winoG[i%winoParts*3+i/winoParts]
	}
	dw := c.MatMul(c.Float32s(g, 3, winoParts), c.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(1)}, products...))
	return c.filterOrder(c.Flat(dw, c.GroupC/b, c.OutC, 3, 3*b))
}
