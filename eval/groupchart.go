package eval

import (
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"winnow/internal/printable"
	"winnow/run"
)

// groupPoints are the groups of one series on one data, from the least saved on.
type groupPoints struct {
	method string
	plotter.XYs
	plotter.YErrors
}

// panel is the groups of one data: their methods, and the baseline, nil where it
// has no finished run.
type panel struct {
	data    string
	full    *Group
	methods []groupPoints
}

// panels divides the groups by data. The share saved is of what the baseline used,
// or would have.
func (c *Comparison) panels() (all []panel) {
	for i := range c.Groups {
		g := &c.Groups[i]
		k := slices.IndexFunc(all, func(p panel) bool { return p.data == g.data() })
		if k < 0 {
			k = len(all)
			all = append(all, panel{data: g.data(), full: c.bases[g.data()]})
		}
		p := &all[k]
		whole := g.whole()
		if p.full != nil {
			if p.full.Name == g.Name {
				continue
			}
			whole = p.full.SamplesUsed
		}
		name := g.series
		if g.full() {
			name += ", fewer epochs"
		}
		m := slices.IndexFunc(p.methods, func(x groupPoints) bool { return x.method == name })
		if m < 0 {
			m = len(p.methods)
			p.methods = append(p.methods, groupPoints{method: name})
		}
		at := plotter.XY{X: 100 * less(g.SamplesUsed, whole), Y: c.by.scale() * g.Accuracy.Mean}
		spread := 0.0
		if g.Accuracy.Deviation != nil {
			spread = c.by.scale() * *g.Accuracy.Deviation
		}
		x := &p.methods[m]
		where, _ := slices.BinarySearchFunc(x.XYs, at, func(a, b plotter.XY) int {
			if a.X < b.X {
				return -1
			}
			return 1
		})
		x.XYs = slices.Insert(x.XYs, where, at)
		x.YErrors = slices.Insert(x.YErrors, where, struct{ Low, High float64 }{spread, spread})
	}
	specs := make([]map[string]string, len(all))
	for k := range all {
		specs[k] = map[string]string{"data": all[k].data}
	}
	for k := range all {
		if all[k].data = dataName(all[k].data, specs); all[k].data == "" && len(all) > 1 {
			all[k].data = "the labels as they are"
		}
	}
	return all
}

// maxPanels is the most data sets that are drawn, maxColumns of them beside each other.
const (
	maxPanels  = 60
	maxColumns = 3
)

// writeGroupChart draws each group's accuracy, with its standard deviation over
// seeds, against the samples that it saved; a panel for each data, such as each
// kind of noise, and of several panels one key in a place of its own.
func (c *Comparison) writeGroupChart(w io.Writer, format string) error {
	panels := c.panels()
	if len(panels) == 0 {
		return fmt.Errorf("eval: chart: %w: every run was interrupted", run.ErrNoRun)
	}
	if len(panels) > maxPanels {
		return fmt.Errorf("eval: chart: %d sets of data, at most %d are drawn", len(panels), maxPanels)
	}
	places := len(panels)
	var key *plot.Plot
	if places > 1 {
		key = plot.New()
		c.style(key)
		key.Legend.Left, key.Legend.Top = true, true
		places++
	}
	tiles := draw.Tiles{Cols: min(places, maxColumns), PadX: 6 * vg.Millimeter, PadY: 6 * vg.Millimeter}
	tiles.Rows = (places + tiles.Cols - 1) / tiles.Cols
	canvas, err := newCanvas(format, chartWidth*vg.Length(tiles.Cols), chartHeight*vg.Length(tiles.Rows))
	if err != nil {
		return err
	}
	colors := map[string]int{}
	plots := make([][]*plot.Plot, tiles.Rows)
	for row := range plots {
		plots[row] = make([]*plot.Plot, tiles.Cols)
		for col := range plots[row] {
			if k := row*tiles.Cols + col; k < len(panels) {
				if plots[row][col], err = c.plotPanel(&panels[k], colors, key); err != nil {
					return err
				}
			}
		}
	}
	dc := draw.Crop(draw.New(canvas), chartPad, -2*chartPad, chartPad, -chartPad)
	for row, line := range plot.Align(plots, tiles, dc) {
		for col, at := range line {
			if p := plots[row][col]; p != nil {
				p.Draw(at)
			} else if row*tiles.Cols+col == len(panels) {
				key.Legend.Draw(draw.Crop(at, 10*vg.Millimeter, 0, 0, -10*vg.Millimeter))
			}
		}
	}
	if _, err := canvas.WriteTo(w); err != nil {
		return fmt.Errorf("eval: chart: %w", err)
	}
	return nil
}

// glyphs mark series; the next one begins where the colors do again.
var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.PyramidGlyph{}, draw.BoxGlyph{}}

// plotPanel draws a panel; colors are those of methods in all panels, which key
// names where it is not nil.
func (c *Comparison) plotPanel(p *panel, colors map[string]int, key *plot.Plot) (*plot.Plot, error) {
	out := plot.New()
	c.style(out)
	out.Title.Text, out.Title.TextStyle.Font = printable.Cut(p.data, maxLabel), out.X.Label.TextStyle.Font
	out.X.Label.Text = "training samples saved (%)"
	right := 5.0
	for _, m := range p.methods {
		right = math.Max(right, m.XYs[len(m.XYs)-1].X*1.08)
	}
	base := math.Inf(1)
	if p.full != nil {
		base = c.by.scale() * p.full.Accuracy.Mean
		line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: base}, {X: right, Y: base}})
		if err != nil {
			return nil, fmt.Errorf("eval: chart: %w", err)
		}
		line.Color, line.Width, line.Dashes = palette[len(palette)-1], vg.Points(1.4), []vg.Length{vg.Points(5), vg.Points(3)}
		out.Add(line)
		out.Legend.Add(printable.Cut(p.full.Method, maxLabel)+", "+c.by.text("%.2f", p.full.Accuracy.Mean)+c.percent(), line)
	}
	for _, m := range p.methods {
		k, named := colors[m.method]
		if !named {
			k = len(colors)
			colors[m.method] = k
		}
		shade := palette[k%(len(palette)-1)]
		line, marks, err := plotter.NewLinePoints(m.XYs)
		if err != nil {
			return nil, fmt.Errorf("eval: chart: %q: %w", m.method, err)
		}
		bars, err := plotter.NewYErrorBars(m)
		if err != nil {
			return nil, fmt.Errorf("eval: chart: %q: %w", m.method, err)
		}
		line.Color, line.Width = shade, vg.Points(1.6)
		marks.Color, marks.Shape, marks.Radius = shade, glyphs[k/(len(palette)-1)%len(glyphs)], vg.Points(2.8)
		bars.Color, bars.CapWidth = shade, vg.Points(5)
		out.Add(line, marks, bars)
		if key == nil {
			out.Legend.Add(printable.Cut(m.method, maxLabel), line, marks)
		} else if !named {
			key.Legend.Add(printable.Cut(m.method, maxLabel), line, marks)
		}
	}
	out.X.Min, out.X.Max = 0, right
	c.span(&out.Y, 0.08)
	out.Legend.Left, out.Legend.XOffs = true, vg.Points(10)
	if base < (out.Y.Min+out.Y.Max)/2 { // off the line of full training
		out.Legend.Top, out.Legend.YOffs = true, -vg.Points(12)
	}
	return out, nil
}
