package datasets

import (
	"fmt"
	"image/draw"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// glyphRunes are the characters, in class order.
const glyphRunes = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	drawSrc = draw.Src
	// curveSteps is the number of lines in place of a quadratic curve: at 20
	// pixels an em they stray from it by under 0.05 pixels.
	curveSteps = 4
)

// outline is a character as closed polygons, its box centred on the origin;
// the height of a capital is 1, y grows downwards.
type outline struct {
	points [][2]float32
	ends   []int // polygon k is points[ends[k-1]:ends[k]]
}

// glyphFaces are the outlines of glyphRunes in every font, read once.
var glyphFaces = sync.OnceValues(func() ([][]outline, error) {
	var faces [][]outline
	for _, ttf := range [][]byte{goregular.TTF, gobold.TTF, goitalic.TTF, gobolditalic.TTF, gomono.TTF, gomonobold.TTF} {
		face, err := readFace(ttf)
		if err != nil {
			return nil, fmt.Errorf("datasets: font %d of %q: %w", len(faces), "glyphs", err)
		}
		faces = append(faces, face)
	}
	return faces, nil
})

func readFace(ttf []byte) ([]outline, error) {
	f, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, err
	}
	var buf sfnt.Buffer
	ppem := fixed.I(int(f.UnitsPerEm()))
	metrics, err := f.Metrics(&buf, ppem, font.HintingNone)
	if err != nil {
		return nil, err
	}
	face := make([]outline, len(glyphRunes))
	for i, r := range glyphRunes {
		g, err := f.GlyphIndex(&buf, r)
		if err != nil {
			return nil, err
		}
		segments, err := f.LoadGlyph(&buf, g, ppem, nil)
		if err != nil {
			return nil, fmt.Errorf("character %q: %w", r, err)
		}
		face[i] = flatten(segments, float32(metrics.CapHeight))
	}
	return face, nil
}

// flatten turns curves into lines, in units of unit.
func flatten(segments sfnt.Segments, unit float32) outline {
	var o outline
	point := func(p fixed.Point26_6) [2]float32 { return [2]float32{float32(p.X) / unit, float32(p.Y) / unit} }
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if len(o.points) > 0 {
				o.ends = append(o.ends, len(o.points))
			}
			o.points = append(o.points, point(s.Args[0]))
		case sfnt.SegmentOpLineTo:
			o.points = append(o.points, point(s.Args[0]))
		case sfnt.SegmentOpQuadTo:
			a, b, c := o.points[len(o.points)-1], point(s.Args[0]), point(s.Args[1])
			for k := 1; k <= curveSteps; k++ {
				t := float32(k) / curveSteps
				var p [2]float32
				for d := range p {
					p[d] = (1-t)*(1-t)*a[d] + 2*(1-t)*t*b[d] + t*t*c[d]
				}
				o.points = append(o.points, p)
			}
		case sfnt.SegmentOpCubeTo:
			// TrueType outlines have none.
		}
	}
	o.ends = append(o.ends, len(o.points))

	lo, hi := o.points[0], o.points[0]
	for _, p := range o.points {
		for d := range p {
			lo[d], hi[d] = min(lo[d], p[d]), max(hi[d], p[d])
		}
	}
	for i := range o.points {
		for d := range lo {
			o.points[i][d] -= (lo[d] + hi[d]) / 2
		}
	}
	return o
}
