package step

import (
	"encoding/binary"
	"math"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Pixels turns a loader's images, uint8 [N, C, H, W], into what a graph takes.
// The zero value passes them on; normalisation is the graph's part unless
// Factor and Offset say otherwise.
type Pixels struct {
	Float          bool      // the graph takes float32
	Factor, Offset []float32 // of float32 by channel: x*Factor + Offset; nil is 1 and 0
	Shape          [3]int64  // C, H, W; read with NHWC, Batch, Factor and Offset alone
	NHWC           bool      // the graph takes channels last
	Batch          int       // images that the graph takes at a time, filled up with black ones; 0 is any number

	buf    []byte
	tables [][256]uint32 // bits of a pixel's float32, by channel
}

// PixelsFor converts for a role of a bundle.
func PixelsFor(images bundle.Value) Pixels {
	return Pixels{Float: images.DType == onnx.Float32.String()}
}

// Convert gives n images in the graph's type and layout, valid until the next call.
func (p *Pixels) Convert(n int, images []byte) []byte {
	batch := max(n, p.Batch)
	channelsLast := p.NHWC && p.Shape[0] > 1
	if !p.Float && !channelsLast && n == batch {
		return images
	}
	size := 1
	if p.Float {
		size = 4
		p.tabulate()
	}
	full := size * len(images)
	if batch > n {
		full = size * batch * int(p.Shape[0]*p.Shape[1]*p.Shape[2])
	}
	if cap(p.buf) < full {
		p.buf = make([]byte, full)
	}
	buf := p.buf[:full]
	clear(buf[size*len(images):])
	switch {
	case channelsLast:
		p.interleave(buf, n, images)
	case !p.Float:
		copy(buf, images)
	case len(p.tables) == 1:
		spread(buf, images, &p.tables[0])
	default:
		plane := int(p.Shape[1] * p.Shape[2])
		for at, c := 0, 0; at < len(images); at, c = at+plane, (c+1)%len(p.tables) {
			spread(buf[4*at:], images[at:at+plane], &p.tables[c])
		}
	}
	return buf
}

// interleave writes planes of channels as pixels of all channels.
func (p *Pixels) interleave(buf []byte, n int, images []byte) {
	channels, plane := int(p.Shape[0]), int(p.Shape[1]*p.Shape[2])
	at := 0
	for i := range n {
		for c := range channels {
			for q := range plane {
				to := (i*plane+q)*channels + c
				if p.Float {
					binary.LittleEndian.PutUint32(buf[4*to:], p.tables[min(c, len(p.tables)-1)][images[at]])
				} else {
					buf[to] = images[at]
				}
				at++
			}
		}
	}
}

// spread writes the float32 of each pixel.
func spread(dst, pixels []byte, table *[256]uint32) {
	for i, x := range pixels {
		binary.LittleEndian.PutUint32(dst[4*i:], table[x])
	}
}

// tabulate makes the tables: one where all channels have the same.
func (p *Pixels) tabulate() {
	if p.tables != nil {
		return
	}
	p.tables = make([][256]uint32, max(1, len(p.Factor), len(p.Offset)))
	for c := range p.tables {
		factor, offset := float32(1), float32(0)
		if p.Factor != nil {
			factor = p.Factor[c]
		}
		if p.Offset != nil {
			offset = p.Offset[c]
		}
		for x := range p.tables[c] {
			p.tables[c][x] = math.Float32bits(float32(x)*factor + offset)
		}
	}
}
