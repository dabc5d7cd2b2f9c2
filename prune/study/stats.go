package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ranks gives every value its rank from 1, ties their mean rank.
func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(v[a], v[b]) })
	r := make([]float64, len(v))
	for lo := 0; lo < len(v); {
		hi := lo
		for hi < len(v) && v[order[hi]] == v[order[lo]] {
			hi++
		}
		for _, i := range order[lo:hi] {
			r[i] = float64(lo+hi+1) / 2
		}
		lo = hi
	}
	return r
}

// spearman is the rank correlation.
func spearman(a, b []float64) float64 { return stat.Correlation(ranks(a), ranks(b), nil) }

// auc is the area under the ROC curve of taking high values as positive: the
// chance that a positive is above a negative (Mann and Whitney).
func auc(v []float64, positive []bool) float64 {
	var sum, p float64
	for i, r := range ranks(v) {
		if positive[i] {
			sum += r
			p++
		}
	}
	n := float64(len(v)) - p
	return (sum - p*(p+1)/2) / (p * n)
}

// table is a Markdown table.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, r := range rows {
		line(r)
	}
	return strings.TrimRight(b.String(), "\n")
}

func num(v float64) string { return fmt.Sprintf("%.3f", v) }

// curve is one line of a plot: what was measured as points, theory as a line.
type curve struct {
	name          string
	x, y          []float64
	theoryX       []float64
	theoryY       []float64
	connectPoints bool
}

func savePlot(path, title, xLabel, yLabel string, logX bool, curves []curve) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, xLabel, yLabel
	if logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Legend.Left = true // curves rise to the right
	}
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	xy := func(x, y []float64) plotter.XYs {
		out := make(plotter.XYs, len(x))
		for i := range x {
			out[i] = plotter.XY{X: x[i], Y: y[i]}
		}
		return out
	}
	for k, c := range curves {
		points, err := plotter.NewScatter(xy(c.x, c.y))
		if err != nil {
			return err
		}
		points.Color, points.Shape, points.Radius = plotutil.Color(k), draw.CircleGlyph{}, vg.Points(2)
		p.Add(points)
		lx, ly := c.theoryX, c.theoryY
		if c.connectPoints {
			lx, ly = c.x, c.y
		}
		line, err := plotter.NewLine(xy(lx, ly))
		if err != nil {
			return err
		}
		line.Color = plotutil.Color(k)
		p.Add(line)
		p.Legend.Add(c.name, line)
	}
	return p.Save(7*vg.Inch, 4.5*vg.Inch, path)
}

func writePage(out, name, text string, data any) error {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(out, name))
	if err != nil {
		return err
	}
	if err := t.Execute(f, data); err != nil {
		_ = f.Close() // the first error counts
		return err
	}
	return f.Close()
}
