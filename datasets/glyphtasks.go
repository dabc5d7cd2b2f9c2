package datasets

import (
	"encoding/binary"
	"math"

	"winnow/internal/random"
	"winnow/loader"
)

// Tasks of generated characters.
const (
	glyphClass = "class"
	glyphMask  = "mask"
	glyphMulti = "multi"
	glyphBoxes = "boxes"
	glyphPose  = "pose"
)

const (
	maxSceneGlyphs = 3
	sceneScale     = 0.55 // of a character beside others, against one alone
	sceneShift     = 0.06 // centre's distance from that of its quarter, of the side
	boxNumbers     = 5    // class, x, y, width, height
	solid          = 128  // opacity from which a pixel is a character's
)

var _ loader.Targeted = (*glyphs)(nil)

// outputs names what the task's model gives.
func (g *glyphs) outputs() []string {
	switch g.task {
	case glyphMask:
		return append([]string{"background"}, g.classes...)
	case glyphPose:
		return []string{"x", "y", "angle"}
	}
	return g.classes
}

// Targets is the one of the task: a mask, in which 0 is what is no character and
// k+1 character k; 1 for each character that is there; up to three rows of class
// (from 1), centre, width and height as shares of the side, the rest 0; centre as
// shares of the side from the middle, and angle in radians.
func (g *glyphs) Targets() []loader.TargetSpec {
	switch g.task {
	case glyphMask:
		return []loader.TargetSpec{{Name: "mask", Kind: loader.MaskTarget, Type: loader.Uint8}}
	case glyphMulti:
		return []loader.TargetSpec{{Name: loader.ClassName, Kind: loader.VectorTarget, Type: loader.Float32, Shape: []int{len(g.classes)}}}
	case glyphBoxes:
		return []loader.TargetSpec{{Name: "boxes", Kind: loader.TensorTarget, Type: loader.Float32, Shape: []int{maxSceneGlyphs, boxNumbers}}}
	case glyphPose:
		return []loader.TargetSpec{{Name: "pose", Kind: loader.VectorTarget, Type: loader.Float32, Shape: []int{3}}}
	}
	return nil
}

// placed is a character of a scene.
type placed struct {
	class          int
	x0, y0, x1, y1 int // its pixels, x1 and y1 not among them
}

// scene paints one to three characters, each in a quarter of its own; mask, where
// it is not nil, gets the class of each pixel.
func (g *glyphs) scene(c *canvas, r random.Stream, class int, dst, mask []byte) []placed {
	side := float64(g.side)
	hard := r.Float()
	hard *= hard
	back, ink := g.palette(&r, hard)
	g.clutter(c, &r, back, ink, hard)
	quarters := [4]uint32{0, 1, 2, 3}
	shuffle(&r, quarters[:])
	var all []placed
	for j := range 1 + int(r.Below(maxSceneGlyphs)) {
		if j > 0 {
			class = int(r.Below(uint64(len(g.classes))))
		}
		o := &g.faces[r.Below(uint64(len(g.faces)))][class]
		x := side * (0.25 + 0.5*float64(quarters[j]%2) + r.Between(-sceneShift, sceneShift))
		y := side * (0.25 + 0.5*float64(quarters[j]/2) + r.Between(-sceneShift, sceneShift))
		m := c.pose(&r, x, y)
		m.xx, m.xy, m.yx, m.yy = sceneScale*m.xx, sceneScale*m.xy, sceneScale*m.yx, sceneScale*m.yy
		c.outline(o, c.fit(o, m))
		c.fill(ink)
		all = append(all, c.placed(class, mask))
	}
	c.export(&r, dst, g.channels, hard)
	return all
}

// placed is where the path filled last lies, which mask gets as class+1.
func (c *canvas) placed(class int, mask []byte) placed {
	p := placed{class: class, x0: c.side, y0: c.side}
	for i, a := range c.mask.Pix {
		if a < solid {
			continue
		}
		x, y := i%c.side, i/c.side
		p.x0, p.y0, p.x1, p.y1 = min(p.x0, x), min(p.y0, y), max(p.x1, x+1), max(p.y1, y+1)
		if mask != nil {
			mask[i] = byte(class + 1)
		}
	}
	return p
}

// ReadTarget draws sample i again, for what is to be learned of it.
func (g *glyphs) ReadTarget(i uint32, _ int, r *loader.Record) error {
	if int64(i) >= int64(g.n) {
		return loader.ErrIndex
	}
	c := g.scratch.Get().(*canvas)
	defer g.scratch.Put(c)
	pixels := r.Spare(g.channels * g.side * g.side)
	stream, class := newStream(g.seed, purposeGlyphs, uint64(i)), int(g.label(i))
	put := func(dst []byte, at int, v float64) {
		binary.LittleEndian.PutUint32(dst[4*at:], math.Float32bits(float32(v)))
	}
	side := float64(g.side)
	switch g.task {
	case glyphPose:
		m := g.draw(c, stream, class, pixels)
		dst := r.Encoded(4 * 3)
		put(dst, 0, m.x0/side-0.5)
		put(dst, 1, m.y0/side-0.5)
		put(dst, 2, math.Atan2(m.yx, m.xx))
	case glyphMask:
		mask := r.Raw(1, g.side, g.side)
		clear(mask)
		g.scene(c, stream, class, pixels, mask)
	case glyphMulti:
		dst := r.Encoded(4 * len(g.classes))
		clear(dst)
		for _, p := range g.scene(c, stream, class, pixels, nil) {
			put(dst, p.class, 1)
		}
	case glyphBoxes:
		dst := r.Encoded(4 * maxSceneGlyphs * boxNumbers)
		clear(dst)
		for j, p := range g.scene(c, stream, class, pixels, nil) {
			put(dst, boxNumbers*j, float64(p.class+1))
			put(dst, boxNumbers*j+1, float64(p.x0+p.x1)/2/side)
			put(dst, boxNumbers*j+2, float64(p.y0+p.y1)/2/side)
			put(dst, boxNumbers*j+3, float64(p.x1-p.x0)/side)
			put(dst, boxNumbers*j+4, float64(p.y1-p.y0)/side)
		}
	}
	return nil
}
