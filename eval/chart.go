package eval

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"winnow/internal/printable"
	"winnow/internal/ticks"
	"winnow/run"
)

// Axis is what a chart's accuracy is drawn against.
type Axis string

// Axes.
const (
	AxisSamples Axis = "samples" // training samples used so far
	AxisSeconds Axis = "seconds" // wall-clock time so far
	AxisSaved   Axis = "saved"   // share of the samples saved, of groups
)

// Chart formats.
const (
	FormatSVG = "svg"
	FormatPNG = "png"
)

// Size of a chart, and the dots per inch of a PNG.
const (
	chartWidth  = 16 * vg.Centimeter
	chartHeight = 10 * vg.Centimeter
	chartDPI    = 150
	chartPad    = 3 * vg.Millimeter
)

// palette is that of Okabe and Ito, told apart by colour-blind readers too.
var palette = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255},
	{230, 159, 0, 255}, {86, 180, 233, 255}, {90, 90, 90, 255},
}

// WriteChart draws each run's test accuracy, epoch by epoch, against the
// training samples or the time it had used, or each group's accuracy against the
// samples that it saved, as SVG or PNG.
func (c *Comparison) WriteChart(w io.Writer, format string, axis Axis) error {
	if axis == AxisSaved {
		return c.writeGroupChart(w, format)
	}
	p, err := c.plot(axis)
	if err != nil {
		return err
	}
	canvas, err := newCanvas(format, chartWidth, chartHeight)
	if err != nil {
		return err
	}
	p.Draw(draw.Crop(draw.New(canvas), chartPad, -2*chartPad, chartPad, -chartPad))
	if _, err := canvas.WriteTo(w); err != nil {
		return fmt.Errorf("eval: chart: %w", err)
	}
	return nil
}

// canvas is what a chart is drawn on.
type canvas interface {
	vg.CanvasSizer
	io.WriterTo
}

func newCanvas(format string, width, height vg.Length) (canvas, error) {
	switch format {
	case FormatSVG:
		return svgCanvas{vgsvg.New(width, height)}, nil
	case FormatPNG:
		return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(chartDPI))}, nil
	}
	return nil, fmt.Errorf("eval: chart: %w %q, want %s or %s", ErrFormat, format, FormatSVG, FormatPNG)
}

func (c *Comparison) plot(axis Axis) (*plot.Plot, error) {
	p := plot.New()
	unit := ""
	longest := 0.0
	for i := range c.runs {
		pts := c.points(&c.runs[i], axis)
		if len(pts) > 0 {
			longest = math.Max(longest, pts[len(pts)-1].X)
		}
	}
	scale := 1.0
	switch axis {
	case AxisSamples:
		switch {
		case longest >= 2e6:
			scale, unit = 1e6, " (millions)"
		case longest >= 2e4:
			scale, unit = 1e3, " (thousands)"
		}
		p.X.Label.Text = "training samples used" + unit
	case AxisSeconds:
		if longest >= 600 {
			scale, unit = 60, "minutes"
		} else {
			unit = "seconds"
		}
		p.X.Label.Text = "time (" + unit + ")"
	default:
		return nil, fmt.Errorf("eval: chart: %w: axis %q, want %s or %s", ErrFormat, axis, AxisSamples, AxisSeconds)
	}
	c.style(p)
	drawn := false
	for i := range c.runs {
		pts := c.points(&c.runs[i], axis)
		if len(pts) == 0 {
			continue
		}
		for j := range pts {
			pts[j].X /= scale
		}
		line, marks, err := plotter.NewLinePoints(pts)
		if err != nil {
			return nil, fmt.Errorf("eval: chart: run %q: %w", c.runs[i].Name, err)
		}
		shade := palette[i%len(palette)]
		line.Color, line.Width = shade, vg.Points(1.8)
		marks.Color, marks.Shape, marks.Radius = shade, draw.CircleGlyph{}, vg.Points(2.6)
		p.Add(line, marks)
		p.Legend.Add(c.label(c.Rows[i]), line, marks)
		drawn = true
	}
	if !drawn {
		return nil, errors.New("eval: chart: no run has a finished epoch")
	}
	p.X.Min = 0
	c.span(&p.Y, 0.05)
	p.X.Max *= 1.02
	return p, nil
}

// maxLabel is the length of a run's name in the legend, in characters.
const maxLabel = 60

// label names a run in the legend, its method where the name does not say it.
func (c *Comparison) label(r Row) string {
	name := r.Name
	if r.Method != "" && r.Method != r.Name {
		name += " (" + r.Method + ")"
	}
	return printable.Cut(name, maxLabel) + ", " + c.by.text("%.2f", *r.Accuracy) + c.percent()
}

// percent is the sign behind a share.
func (c *Comparison) percent() string {
	if c.by.raw {
		return ""
	}
	return "%"
}

// span leaves space above and below, as a share of the axis.
func (c *Comparison) span(y *plot.Axis, share float64) {
	margin, top := (y.Max-y.Min)*share, math.Inf(1)
	if !c.by.raw {
		margin, top = math.Max(margin, 0.25), 100.5
	}
	y.Min, y.Max = y.Min-margin, math.Min(y.Max+margin, top)
}

func (c *Comparison) style(p *plot.Plot) {
	grey, text := color.RGBA{225, 225, 225, 255}, color.RGBA{50, 50, 50, 255}
	p.BackgroundColor = color.White
	p.Y.Label.Text = "test " + c.by.head()
	if !c.by.raw {
		p.Y.Label.Text += " (%)"
	}
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	p.Legend.TextStyle.Font = sans
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font, a.Tick.Label.Font = sans, sans
		a.Label.TextStyle.Font.Size = vg.Points(11)
		a.Label.TextStyle.Color = text
		a.Label.Padding = vg.Points(4)
		a.Tick.Label.Font.Size = vg.Points(10)
		a.Tick.Label.Color = text
		a.Tick.Marker = roundTicks{}
		a.LineStyle.Color = color.RGBA{120, 120, 120, 255}
		a.Tick.LineStyle.Color = a.LineStyle.Color
	}
	p.Legend.TextStyle.Font.Size = vg.Points(10)
	p.Legend.TextStyle.Color = text
	p.Legend.Padding = vg.Points(3)
	p.Legend.Left, p.Legend.Top = false, false
	p.Legend.XOffs, p.Legend.YOffs = -vg.Points(10), vg.Points(10)
	p.Legend.ThumbnailWidth = vg.Points(24)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = grey, grey
	p.Add(grid)
}

// roundTicks labels round numbers.
type roundTicks struct{}

var _ plot.Ticker = roundTicks{}

func (roundTicks) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for _, t := range ticks.Round(low, high) {
		out = append(out, plot.Tick(t))
	}
	return out
}

// points are a run's accuracies in percent against what it had used.
func (c *Comparison) points(r *run.Run, axis Axis) plotter.XYs {
	var pts plotter.XYs
	used, seconds := int64(0), 0.0
	for _, e := range r.Epochs {
		used += int64(e.SamplesUsed)
		seconds += e.WallSeconds
		x := float64(used)
		if axis == AxisSeconds {
			x = seconds
		}
		y, _ := c.by.of(e.Measures())
		pts = append(pts, plotter.XY{X: x, Y: c.by.scale() * y})
	}
	return pts
}

// svgCanvas is an SVG that names other fonts too, of readers without that of the chart.
type svgCanvas struct{ *vgsvg.Canvas }

const chartFont, chartFonts = "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;"

func (c svgCanvas) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	if _, err := c.Canvas.WriteTo(&b); err != nil {
		return 0, err
	}
	n, err := w.Write(bytes.ReplaceAll(b.Bytes(), []byte(chartFont), []byte(chartFonts)))
	return int64(n), err
}
