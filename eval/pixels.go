package eval

import (
	"encoding/binary"
	"math"
)

// pixels turns the loader's images, uint8 [N, C, H, W], into what a model takes.
type pixels struct {
	spec Spec
	buf  []byte
}

// convert gives batch images in the model's type and layout: the n given, each
// value x of channel c as x*Factor[c] + Offset[c] where the model takes
// float32, and black ones behind them. It is valid until the next call.
func (p *pixels) convert(n, batch int, images []byte) []byte {
	s := &p.spec
	channels, plane := int(s.ImageShape[0]), int(s.ImageShape[1]*s.ImageShape[2])
	nhwc := s.NHWC && channels > 1
	if !s.Float && !nhwc && n == batch {
		return images
	}
	size := 1
	if s.Float {
		size = 4
	}
	need := size * batch * channels * plane
	if cap(p.buf) < need {
		p.buf = make([]byte, need)
	}
	buf := p.buf[:need]
	clear(buf[size*n*channels*plane:])
	at := 0
	for i := range n {
		for c := range channels {
			factor, offset := s.affine(c)
			for q := range plane {
				to := at
				if nhwc {
					to = (i*plane+q)*channels + c
				}
				if s.Float {
					binary.LittleEndian.PutUint32(buf[4*to:], math.Float32bits(float32(images[at])*factor+offset))
				} else {
					buf[to] = images[at]
				}
				at++
			}
		}
	}
	return buf
}

// affine is what a value of channel c is multiplied by and what is added then.
func (s *Spec) affine(c int) (factor, offset float32) {
	factor = 1
	if len(s.Factor) > 0 {
		factor = s.Factor[c]
	}
	if len(s.Offset) > 0 {
		offset = s.Offset[c]
	}
	return factor, offset
}
