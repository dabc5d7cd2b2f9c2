package raster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

var (
	// ErrImage marks a file that is no image of a known format, or a damaged one.
	ErrImage = errors.New("bad image")
	// ErrTooLarge marks an image of more pixels than are taken.
	ErrTooLarge = errors.New("image too large")
)

// Image is uint8 pixels, [C, H, W]. Its memory grows to the largest image that
// it has held.
type Image struct {
	C, H, W int
	Pix     []byte
	// Packed says that Pix is [H, W, C], which Resizer, Crop and Turn take, nothing else.
	Packed bool

	spare []byte // of Turn
}

// Reset gives the image a shape; its pixels are what was left there, in planes.
func (m *Image) Reset(c, h, w int) {
	m.C, m.H, m.W, m.Packed = c, h, w, false
	m.Pix = slices.Grow(m.Pix[:0], c*h*w+slack)[:c*h*w]
}

// Plane is the pixels of channel k.
func (m *Image) Plane(k int) []byte { return m.Pix[k*m.H*m.W:][:m.H*m.W] }

// Box is the pixels of rows Y to Y+H and columns X to X+W.
type Box struct{ Y, X, H, W int }

// Whole is the box of all pixels.
func (m *Image) Whole() Box { return Box{0, 0, m.H, m.W} }

// Flip mirrors the image left to right.
func (m *Image) Flip() {
	for y := range m.C * m.H {
		Reverse(m.Pix[y*m.W:][:m.W])
	}
}

// Reverse mirrors a row of pixels, eight from either end at once.
func Reverse(row []byte) {
	for len(row) >= 16 {
		left, right := row[:8:8], row[len(row)-8:]
		a, b := binary.LittleEndian.Uint64(left), binary.LittleEndian.Uint64(right)
		binary.LittleEndian.PutUint64(left, bits.ReverseBytes64(b))
		binary.LittleEndian.PutUint64(right, bits.ReverseBytes64(a))
		row = row[8 : len(row)-8]
	}
	slices.Reverse(row)
}

// FlipVertical turns the image upside down.
func (m *Image) FlipVertical() {
	for k := range m.C {
		plane := m.Plane(k)
		for a, b := 0, m.H-1; a < b; a, b = a+1, b-1 {
			upper, lower := plane[a*m.W:][:m.W], plane[b*m.W:][:m.W]
			for x := range upper {
				upper[x], lower[x] = lower[x], upper[x]
			}
		}
	}
}

// ShiftMirrored moves the image by (-dy, -dx) pixels, less than its sides; what
// the move uncovers mirrors the image without repeating its edge.
func (m *Image) ShiftMirrored(dy, dx int, work []byte) []byte {
	work = append(work[:0], m.Pix...)
	for k := range m.C {
		for y := range m.H {
			from := work[(k*m.H+mirrored(y+dy, m.H))*m.W:][:m.W]
			row := m.Pix[(k*m.H+y)*m.W:][:m.W]
			for x := range row {
				row[x] = from[mirrored(x+dx, m.W)]
			}
		}
	}
	return work
}

// SetChannels makes one channel of three, their luma, or three of one.
func (m *Image) SetChannels(c int) error {
	switch {
	case c == m.C:
	case m.C == 3 && c == 1:
		m.grey()
	case m.C == 1 && c == 3:
		n := m.H * m.W
		m.Pix = append(append(m.Pix[:n], m.Pix[:n]...), m.Pix[:n]...)
		m.C = 3
	default:
		return fmt.Errorf("%w: %d channels, the model takes %d", ErrImage, m.C, c)
	}
	return nil
}

// grey turns three planes into one of luma, by ITU-R 601-2 in 16 bits, as
// Pillow's convert("L").
func (m *Image) grey() {
	n := m.H * m.W
	r, g, b := m.Pix[:n], m.Pix[n:][:n], m.Pix[2*n:][:n]
	for i := range r {
		r[i] = luma(r[i], g[i], b[i])
	}
	m.C, m.Pix = 1, r
}

func luma(r, g, b byte) byte {
	return byte((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 0x8000) >> 16)
}

func clip8(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
