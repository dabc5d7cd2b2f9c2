package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"

	"winnow/internal/ticks"
)

// Size of a chart, in units that are about pixels, and the room around it.
const (
	chartWidth, chartHeight = 420.0, 250.0
	roomLeft, roomRight     = 52.0, 10.0 // left at least
	nameRoom, figureRoom    = 28.0, 7.2  // left of an axis: its name, and a figure of its numbers
	roomTop, roomBottom     = 10.0, 40.0
	maxMarks                = 40 // points of a line that are marked
	maxColumns              = 80 // epochs that are drawn by themselves in bars
	maxLinePoints           = 400
	plotHeight              = chartHeight - roomTop - roomBottom
)

// chart is a drawing with two axes.
type chart struct {
	b              strings.Builder
	x0, x1, y0, y1 float64
	left, width    float64 // of what is drawn between the axes
	rows           []ticks.Tick
}

func newChart(name string, x0, x1, y0, y1 float64) *chart {
	c := &chart{x0: x0, x1: x1, y0: y0, y1: y1, left: roomLeft, rows: ticks.Round(y0, y1)}
	for _, t := range c.rows {
		c.left = math.Max(c.left, nameRoom+figureRoom*float64(len(t.Label)))
	}
	c.width = chartWidth - c.left - roomRight
	fmt.Fprintf(&c.b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, chartWidth, chartHeight, html.EscapeString(name))
	return c
}

func (c *chart) x(v float64) float64 { return c.left + c.width*(v-c.x0)/(c.x1-c.x0) }
func (c *chart) y(v float64) float64 { return roomTop + plotHeight*(1-(v-c.y0)/(c.y1-c.y0)) }

// axes draws grid, numbers and names.
func (c *chart) axes(xName, yName string) {
	for _, t := range c.rows {
		y := c.y(t.Value)
		fmt.Fprintf(&c.b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			c.left, y, chartWidth-roomRight, y, c.left-6, y+4, t.Label)
	}
	for _, t := range wholeTicks(c.x0, c.x1) {
		fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, c.x(t.Value), chartHeight-roomBottom+16, t.Label)
	}
	fmt.Fprintf(&c.b, `<line class="axis" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, c.left, chartHeight-roomBottom, chartWidth-roomRight, chartHeight-roomBottom)
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, c.left+c.width/2, chartHeight-6, html.EscapeString(xName))
	fmt.Fprintf(&c.b, `<text transform="translate(12 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, roomTop+plotHeight/2, html.EscapeString(yName))
}

// wholeTicks are those at whole numbers, as epochs are.
func wholeTicks(low, high float64) (list []ticks.Tick) {
	if high-low < 4 {
		for k := math.Ceil(low); k <= high; k++ {
			list = append(list, ticks.Tick{Value: k, Label: fmt.Sprintf("%.0f", k)})
		}
		return list
	}
	for _, t := range ticks.Round(low, high) {
		if t.Value == math.Round(t.Value) {
			t.Label = fmt.Sprintf("%.0f", t.Value)
			list = append(list, t)
		}
	}
	return list
}

func (c *chart) done() template.HTML {
	c.b.WriteString("</svg>")
	return template.HTML(c.b.String()) // texts in it were escaped
}

// series is a line of a chart, a number for each epoch from 1 on.
type series struct {
	name   string
	class  int // of the style, from 1
	values []float64
}

// figure is a chart with its words.
type figure struct {
	Title, Caption string
	Keys           []key
	SVG            template.HTML
	Zoom           *zoom // nil: the chart has no more to show than it does
}

// key names a colour of a chart.
type key struct {
	Class int
	Name  string
}

// lines draws numbers by epoch. as is how one is written where the reader points.
func lines(title, caption, yName string, as format, zero bool, all ...series) *figure {
	low, high := math.Inf(1), math.Inf(-1)
	n := 0
	for _, s := range all {
		n = max(n, len(s.values))
		for _, v := range s.values {
			if v-v == 0 {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	if n == 0 || low > high {
		return nil
	}
	if pad := (high - low) * 0.06; pad > 0 {
		high += pad
		low -= pad
	} else {
		low, high = low-math.Max(math.Abs(low)*0.1, 1e-9), high+math.Max(math.Abs(high)*0.1, 1e-9)
	}
	if zero {
		low = 0
	}
	c := newChart(title, 1, math.Max(float64(n), 2), low, high)
	c.axes("epoch", yName)
	f := &figure{Title: title, Caption: caption}
	for k, s := range all {
		c.line(s, k > 0, as)
		if len(all) > 1 {
			f.Keys = append(f.Keys, key{s.class, s.name})
		}
	}
	f.SVG, f.Zoom = c.done(), c.zoom(yName, as, false, zero, all)
	return f
}

// line draws a series; of very many epochs every k-th, and the last.
func (c *chart) line(s series, dashed bool, as format) {
	every := (len(s.values) + maxLinePoints - 1) / maxLinePoints
	var points, marks strings.Builder
	for i, v := range s.values {
		if v-v != 0 || i%every != 0 && i != len(s.values)-1 {
			continue
		}
		x, y := c.x(float64(i+1)), c.y(v)
		fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
		if len(s.values) <= maxMarks {
			fmt.Fprintf(&marks, `<circle class="f%d" cx="%.1f" cy="%.1f" r="3"><title>epoch %d: %s %s</title></circle>`, s.class, x, y, i+1, html.EscapeString(s.name), html.EscapeString(as.text(v)))
		}
	}
	dash := ""
	if dashed {
		dash = " dash"
	}
	fmt.Fprintf(&c.b, `<polyline class="line s%d%s" points="%s"/>%s`, s.class, dash, strings.TrimSpace(points.String()), marks.String())
}

// stack draws a bar an epoch of parts on top of each other; of very many epochs
// the means of as many as fit one bar.
func stack(title, caption, yName string, as format, parts ...series) *figure {
	n := 0
	for _, p := range parts {
		n = max(n, len(p.values))
	}
	if n == 0 {
		return nil
	}
	group := (n + maxColumns - 1) / maxColumns
	bars := (n + group - 1) / group
	means := make([][]float64, len(parts))
	high := 0.0
	for b := range bars {
		sum := 0.0
		for k, p := range parts {
			chunk := p.values[min(b*group, len(p.values)):min((b+1)*group, len(p.values))]
			m := 0.0
			for _, v := range chunk {
				if v > 0 {
					m += v / float64(len(chunk))
				}
			}
			means[k] = append(means[k], m)
			sum += m
		}
		high = math.Max(high, sum)
	}
	if high == 0 {
		return nil
	}
	c := newChart(title, 0.5, float64(n)+0.5, 0, high*1.04)
	c.axes("epoch", yName)
	f := &figure{Title: title, Caption: caption}
	width := c.width / float64(n) * float64(group)
	for k, p := range parts {
		if len(parts) > 1 {
			f.Keys = append(f.Keys, key{p.class, p.name})
		}
		for b := range bars {
			if means[k][b] == 0 {
				continue
			}
			base := 0.0
			for below := range k {
				base += means[below][b]
			}
			top, bottom := c.y(base+means[k][b]), c.y(base)
			name := fmt.Sprintf("epoch %d", b*group+1)
			if last := min((b+1)*group, n); group > 1 && last > b*group+1 {
				name = fmt.Sprintf("epochs %d to %d, mean", b*group+1, last)
			}
			fmt.Fprintf(&c.b, `<rect class="f%d" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s: %s %s</title></rect>`, p.class,
				c.left+float64(b)*width+width*0.1, top, math.Max(width*0.8, 0.5), math.Max(bottom-top, 0.2), name, html.EscapeString(p.name), html.EscapeString(as.text(means[k][b])))
		}
	}
	f.SVG, f.Zoom = c.done(), c.zoom(yName, as, true, true, parts)
	return f
}

const heatBins = 30

// heat draws, for each epoch, how the numbers between quantiles are spread: the
// darker, the more of them. Quantiles divide into equal shares; nil is an epoch
// without.
func heat(title, caption, yName string, quantiles [][]float32) *figure {
	low, high := math.Inf(1), math.Inf(-1)
	for _, q := range quantiles {
		if m := len(q); m > 2 { // the outermost share at each end is cut off: a few samples would stretch the axis
			low, high = math.Min(low, float64(q[1])), math.Max(high, float64(q[m-2]))
		}
	}
	if !(high > low) {
		return nil
	}
	n := len(quantiles)
	group := (n + maxColumns - 1) / maxColumns
	c := newChart(title, 0.5, float64(n)+0.5, low, high)
	c.axes("epoch", yName)
	width := c.width / float64(n) * float64(group)
	for b := 0; b*group < n; b++ {
		q := quantiles[b*group]
		if len(q) < 3 {
			continue
		}
		for k, share := range shares(q, low, high) {
			if share < 0.001 {
				continue
			}
			y := c.y(low + (high-low)*float64(k+1)/heatBins)
			fmt.Fprintf(&c.b, `<rect shape-rendering="crispEdges" style="fill:rgba(var(--heat),%.2f)" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>epoch %d: %.1f%%</title></rect>`,
				math.Min(1, 0.08+math.Sqrt(share)*1.6), c.left+float64(b)*width, y, width*0.96, plotHeight/heatBins, b*group+1, 100*share)
		}
	}
	return &figure{Title: title, Caption: caption, SVG: c.done()}
}

// shares counts what share lies in each bin between two numbers, between two
// quantiles evenly; what is beyond is in the bins at the ends.
func shares(q []float32, low, high float64) (bins [heatBins]float64) {
	at := func(v float64) int { return min(max(int((v-low)/(high-low)*heatBins), 0), heatBins-1) }
	part := 1 / float64(len(q)-1)
	for k := range len(q) - 1 {
		a, b := float64(q[k]), float64(q[k+1])
		first, last := at(a), at(b)
		if first == last || !(b > a) {
			bins[first] += part
			continue
		}
		for bin := first; bin <= last; bin++ {
			from := math.Max(a, low+(high-low)*float64(bin)/heatBins)
			to := math.Min(b, low+(high-low)*float64(bin+1)/heatBins)
			if bin == first {
				from = a
			}
			if bin == last {
				to = b
			}
			bins[bin] += part * math.Max(to-from, 0) / (b - a)
		}
	}
	return bins
}
