package datasets

import (
	"fmt"
	"math"
	"sync"

	"winnow/internal/option"
	"winnow/internal/random"
	"winnow/loader"
)

// Defaults and bounds of the spec "glyphs".
const (
	glyphTrain      = 20000 // an epoch of the shipped models takes seconds on two cores
	glyphTest       = 4000  // standard error of an accuracy near 0.95: 0.0034
	glyphMinClasses = 10
	glyphMaxSamples = 1 << 30
	glyphGreySide   = 28 // as MNIST
	glyphColourSide = 32 // as CIFAR
	glyphMinSide    = 16
	glyphMaxSide    = 512
)

// glyphOptions are the settings of the spec.
type glyphOptions struct {
	classes, size, train, test int
	color, task                string
}

var glyphRows = []option.Row[glyphOptions]{
	{Name: "classes", Doc: "`N` characters: the digits, then letters", Default: glyphMinClasses, Lo: glyphMinClasses, Hi: float64(len(glyphRunes)),
		Field: func(o *glyphOptions) any { return &o.classes }},
	{Name: "color", Doc: "one channel or three", Default: "grey", OneOf: []string{"grey", "rgb"},
		Field: func(o *glyphOptions) any { return &o.color }},
	{Name: "size", Doc: fmt.Sprintf("side of an image, an even number `N`: %d in grey and %d in colour where it is not given", glyphGreySide, glyphColourSide),
		Default: 0, Lo: glyphMinSide, Hi: glyphMaxSide, Field: func(o *glyphOptions) any { return &o.size }},
	{Name: "task", Doc: "what is to be learned: the class of one character; of up to three smaller ones the class of each pixel (mask), which there are (multi), or [class, x, y, width, height] of each (boxes); [x, y, angle] of one (pose)",
		Default: glyphClass, OneOf: []string{glyphClass, glyphMask, glyphMulti, glyphBoxes, glyphPose}, Field: func(o *glyphOptions) any { return &o.task }},
	{Name: "train", Doc: "training samples `N`", Default: glyphTrain, Lo: 1, Hi: glyphMaxSamples,
		Field: func(o *glyphOptions) any { return &o.train }},
	{Name: "test", Doc: "test samples `N`", Default: glyphTest, Lo: 1, Hi: glyphMaxSamples,
		Field: func(o *glyphOptions) any { return &o.test }},
}

func glyphsFormat() *format {
	return newFormat(format{info: Info{
		Name: "glyphs", Example: "glyphs:classes=36,color=rgb", About: "letters and digits drawn on the fly from the Go fonts, with clutter and noise",
		Train: glyphTrain, Test: glyphTest, Classes: glyphMinClasses, Shape: [3]int{1, 28, 28},
	}}, glyphRows, openGlyphs)
}

func openGlyphs(s *spec, v *glyphOptions, o Options) (*Dataset, error) {
	channels, side := 1, glyphGreySide
	if v.color == "rgb" {
		channels, side = 3, glyphColourSide
	}
	if v.size != 0 {
		side = v.size
	}
	if side%2 != 0 {
		return nil, s.errorf("size=%d: want an even number", side)
	}
	faces, err := glyphFaces()
	if err != nil {
		return nil, err
	}
	names := make([]string, v.classes)
	for i := range names {
		names[i] = glyphRunes[i : i+1]
	}
	split := func(name string, number uint64, n int) loader.Records {
		g := &glyphs{name: "glyphs " + name, n: n, side: side, channels: channels, task: v.task, classes: names, faces: faces, seed: random.Mix(o.Seed) + number}
		g.scratch.New = func() any { return newCanvas(g.side) }
		return g
	}
	train, test := split("train", 0, v.train), split("test", 1, v.test)
	return &Dataset{Train: train, Test: test, ClassNames: loader.ClassesOf(train)}, nil
}

// glyphs are Records of drawn characters. Sample i is a pure function of the
// split's seed and i, to the bit on one processor architecture.
type glyphs struct {
	name           string
	n              int
	side, channels int
	task           string
	classes        []string
	faces          [][]outline // [face][class]
	seed           uint64
	scratch        sync.Pool // *canvas
}

var (
	_ loader.Records = (*glyphs)(nil)
	_ loader.Shaped  = (*glyphs)(nil)
	_ loader.Classer = (*glyphs)(nil)
	_ loader.Namer   = (*glyphs)(nil)
)

// Name is "glyphs train" or "glyphs test".
func (g *glyphs) Name() string { return g.name }

// Len is the number of samples of the split.
func (g *glyphs) Len() int { return g.n }

// Shape is 1x28x28 in grey, 3x32x32 in colour, unless the spec gives a size.
func (g *glyphs) Shape() (c, h, w int) { return g.channels, g.side, g.side }

// Classes are the characters, or what the outputs of the task are.
func (g *glyphs) Classes() []string { return g.outputs() }

// Target cycles through the classes from a start drawn for each round, so any
// run of samples is balanced.
func (g *glyphs) Target(i uint32) loader.Target {
	if spec := g.Targets(); spec != nil {
		return loader.NoClass(spec[0].Kind)
	}
	return loader.Class(g.label(i))
}

func (g *glyphs) label(i uint32) int64 {
	k := uint64(len(g.classes))
	r := newStream(g.seed, purposeGlyphs, ^(uint64(i) / k))
	return int64((uint64(i) + r.Below(k)) % k)
}

// Read draws sample i.
func (g *glyphs) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(g.n) {
		return loader.ErrIndex
	}
	c := g.scratch.Get().(*canvas)
	switch stream := newStream(g.seed, purposeGlyphs, uint64(i)); g.task {
	case glyphMask, glyphMulti, glyphBoxes:
		g.scene(c, stream, int(g.label(i)), r.Raw(g.channels, g.side, g.side), nil)
	default:
		g.draw(c, stream, int(g.label(i)), r.Raw(g.channels, g.side, g.side))
	}
	g.scratch.Put(c)
	return nil
}

// The recipe of a picture. Each sample draws a difficulty first, on which its
// clutter, noise and loss of contrast depend: most samples are soon learned, a
// tail of them stays hard, as in collected data.
const (
	glyphShift    = 0.15 // centre's distance from the middle, of the side
	glyphScaleLo  = 0.42 // height of a capital, of the side
	glyphScaleHi  = 0.75
	glyphAspect   = 0.18 // width changes by up to this share
	glyphRotation = 0.42 // radians either way
	glyphShear    = 0.20
	glyphInverted = 0.25 // share of dark on light
	maxStrokes    = 3
	maxIntruders  = 2
)

// draw paints one character, and says how it lies.
func (g *glyphs) draw(c *canvas, r random.Stream, class int, dst []byte) affine {
	side := float64(g.side)
	hard := r.Float()
	hard *= hard

	back, ink := g.palette(&r, hard)
	g.clutter(c, &r, back, ink, hard)

	o := &g.faces[r.Below(uint64(len(g.faces)))][class]
	x := side/2 + r.Between(-glyphShift, glyphShift)*side
	y := side/2 + r.Between(-glyphShift, glyphShift)*side
	m := c.fit(o, c.pose(&r, x, y))
	c.outline(o, m)
	c.fill(ink)

	c.export(&r, dst, g.channels, hard)
	return m
}

// clutter paints what lies under the characters, so that these can always be read.
func (g *glyphs) clutter(c *canvas, r *random.Stream, back, ink colour, hard float64) {
	side := float64(g.side)
	c.background(r, back, hard)

	for range r.Below(1 + uint64(1.5+hard*maxStrokes)) {
		c.stroke(r)
		c.fill(c.mixed(r, back, ink, 0.25+0.5*hard))
	}
	for range r.Below(1 + uint64(0.8+hard*maxIntruders)) {
		// A part of another character, its centre near the border.
		o := &g.faces[r.Below(uint64(len(g.faces)))][r.Below(uint64(len(glyphRunes)))]
		angle := r.Between(0, 2*math.Pi)
		away := side * r.Between(0.55, 0.70)
		sin, cos := math.Sincos(angle)
		c.outline(o, c.pose(r, side/2+away*cos, side/2+away*sin))
		c.fill(c.mixed(r, back, ink, 0.45+0.4*hard))
	}
}

// palette draws the colours of background and glyph, whose luminances differ
// by the sample's contrast.
func (g *glyphs) palette(r *random.Stream, hard float64) (back, ink colour) {
	contrast := r.Between(0.75-0.45*hard, 0.9-0.35*hard)
	lo := r.Between(0, 1-contrast)
	hi := lo + contrast
	if r.Float() < glyphInverted {
		lo, hi = hi, lo
	}
	tint := func(level float64) (c colour) {
		for k := range c {
			c[k] = int32(level * 255)
		}
		if g.channels == 3 {
			// Red and blue stray, green makes up for them in luminance.
			red, blue := r.Between(-60, 60), r.Between(-60, 60)
			c[0] = clamp255(c[0] + int32(red))
			c[2] = clamp255(c[2] + int32(blue))
			c[1] = clamp255(c[1] - int32(0.5*red) - int32(0.2*blue))
		}
		return c
	}
	return tint(lo), tint(hi)
}
