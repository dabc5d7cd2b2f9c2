package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strconv"
)

// zoomScript draws parts of charts, and is the only script of a page.
//
//go:embed zoom.js
var zoomScript string

func script() template.JS { return template.JS(zoomScript) }

// scriptHash is what a page's policy allows.
func scriptHash() string {
	sum := sha256.Sum256([]byte(zoomScript))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Epochs of a chart that the script knows; of more every k-th.
const (
	minZoom = 3
	maxZoom = 500
)

// zoom is what the script draws a chart from. Lengths are those of the SVG.
type zoom struct {
	Left   float64      `json:"left"`
	Right  float64      `json:"right"`
	Top    float64      `json:"top"`
	Bottom float64      `json:"bottom"`
	Bars   bool         `json:"bars"`
	Zero   bool         `json:"zero"` // the axis begins there
	Name   string       `json:"name"` // of the axis
	Format format       `json:"format"`
	Sign   string       `json:"sign"`
	Epochs []int        `json:"epochs"`
	Series []zoomSeries `json:"series"`
}

type zoomSeries struct {
	Class  int      `json:"class"`
	Dashed bool     `json:"dashed"`
	Values []number `json:"values"`
}

// number is written with six digits, and as null where it is none.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if n-n != 0 {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 6, 64), nil
}

// format is how numbers are written: fields of JavaScript's Intl.NumberFormat.
type format struct {
	MinFraction    int    `json:"minimumFractionDigits,omitempty"`
	MaxFraction    int    `json:"maximumFractionDigits"`
	MaxSignificant int    `json:"maximumSignificantDigits,omitempty"` // goes before the others
	Grouping       bool   `json:"useGrouping"`
	sign           string // after the number
}

var (
	asLoss    = format{MinFraction: 4, MaxFraction: 4}
	asRate    = format{MaxSignificant: 4}
	asCount   = format{Grouping: true}
	inPercent = format{MinFraction: 2, MaxFraction: 2, sign: "%"}
	inSeconds = format{MinFraction: 2, MaxFraction: 2, sign: "s"}
)

func (f format) text(v float64) string {
	switch {
	case f.MaxSignificant > 0:
		return fmt.Sprintf("%.*g", f.MaxSignificant, v) + f.sign
	case f.Grouping:
		return thousands(int64(v+0.5)) + f.sign
	}
	return fmt.Sprintf("%.*f", f.MaxFraction, v) + f.sign
}

// zoom is the chart for the script, or nil where it has too few epochs.
func (c *chart) zoom(yName string, as format, bars, zero bool, all []series) *zoom {
	n := 0
	for _, s := range all {
		n = max(n, len(s.values))
	}
	if n < minZoom {
		return nil
	}
	z := &zoom{Left: c.left, Right: c.left + c.width, Top: roomTop, Bottom: roomTop + plotHeight, Bars: bars, Zero: zero, Name: yName, Format: as, Sign: as.sign}
	every := (n + maxZoom - 1) / maxZoom
	for i := 0; i < n; i += every {
		z.Epochs = append(z.Epochs, i+1)
	}
	for k, s := range all {
		out := zoomSeries{Class: s.class, Dashed: k > 0}
		for _, e := range z.Epochs {
			out.Values = append(out.Values, number(s.values[e-1]))
		}
		z.Series = append(z.Series, out)
	}
	return z
}
