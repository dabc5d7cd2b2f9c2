package cli

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"winnow/loader"
	"winnow/loader/raster"
	"winnow/report"
)

// suspects are the samples of the gallery and of the contact sheet.
type suspects struct {
	samples []*auditedSample
	images  []*raster.Image // nil where one cannot be read
	labels  func(k int) string
}

// pictures reads the images of the most suspect samples.
func (a *audited) pictures(ctx context.Context, o auditOptions) (*suspects, error) {
	name, _, err := decoderHere(o.Decode)
	if err != nil {
		return nil, err
	}
	decoder, err := raster.NewDecoder(name)
	if err != nil {
		return nil, err
	}
	s := &suspects{labels: a.label}
	for _, i := range a.order[:min(o.Show, len(a.order))] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.samples = append(s.samples, a.sample(i))
		s.images = append(s.images, pictureOf(a.data.records, decoder, uint32(i)))
	}
	return s, nil
}

// pictureOf is an image as it is stored, shrunk to what a page shows; nil where
// it cannot be read, which was said before.
func pictureOf(r loader.Records, decoder raster.Decoder, i uint32) *raster.Image {
	var record loader.Record
	if err := r.Read(i, &record); err != nil {
		return nil
	}
	whole := &raster.Image{C: record.C, H: record.H, W: record.W, Pix: record.Data}
	if record.C == 0 {
		whole = &raster.Image{}
		if err := decoder.With(record.View).Decode(whole, record.Data, 3, 1); err != nil {
			return nil
		}
	}
	longest := max(whole.H, whole.W)
	h, w := whole.H, whole.W
	if longest > report.PictureSide {
		h, w = max(1, h*report.PictureSide/longest), max(1, w*report.PictureSide/longest)
	}
	small := &raster.Image{}
	small.Reset(whole.C, h, w)
	new(raster.Resizer).Resize(small, whole, whole.Whole(), h, w, 0, 0, raster.Bilinear)
	return small
}

func (a *audited) writeGallery(w io.Writer, o auditOptions, s *suspects) error {
	r := a.report(o)
	g := &report.Gallery{Head: report.Head{Title: "Suspect labels of " + a.data.run.Name,
		About: fmt.Sprintf("training samples of %s, the most suspect first, by %s", r.Data, r.Ranking)}}
	fact := func(name, value string) { g.Facts = append(g.Facts, report.Fact{Name: name, Value: value}) }
	fact("samples", countText(int64(r.Samples)))
	fact("suspect (is_label_issue)", countText(int64(r.Issues)))
	fact("shown", countText(int64(len(s.samples))))
	if d := a.decision; d != nil {
		fact("wrong on purpose", countText(int64(d.Wrong)))
		fact("precision of the suspect", percent(d.Precision))
		fact("recall", percent(d.Recall))
	}
	judge := "The model that judges has seen these labels; winnow audit --folds asks models that have not."
	if o.Folds > 0 {
		judge = fmt.Sprintf("Each sample is judged by one of %d models, the one that had not seen it.", o.Folds)
	}
	g.Notes = []string{judge + " T" + testUntouch[1:] + "."}
	for k, x := range s.samples {
		c := report.Card{Head: "#" + fmt.Sprint(x.Index)}
		if m := s.images[k]; m != nil {
			p, err := report.NewPicture(m)
			if err != nil {
				return err
			}
			c.Picture = p
		}
		add := func(class, format string, args ...any) {
			c.Lines = append(c.Lines, report.Line{Class: class, Text: fmt.Sprintf(format, args...)})
		}
		add("wrong", "given %s", a.label(x.Given))
		if x.Confident != nil {
			add("fine", "predicted %s, %.0f%%", a.label(x.Predicted), 100**x.Confident)
		}
		if x.MeanLoss != nil {
			add("soft", "mean loss %.2f", *x.MeanLoss)
		}
		if x.True != nil && int(*x.True) != x.Given {
			add("soft", "made wrong; is %s", a.label(int(*x.True)))
		}
		if x.File != "" {
			add("soft", "%s", cut(x.File, 80))
		}
		g.Cards = append(g.Cards, c)
	}
	return report.WriteGallery(w, g)
}

// Sizes of the contact sheet.
const (
	captionLine = 13 // of basicfont's 7x13
	captionChar = 7
)

// writeSheet writes the contact sheet: under each image its index, the given and
// the predicted class.
func (s *suspects) writeSheet(w io.Writer) error {
	columns := min(12, int(math.Ceil(math.Sqrt(float64(len(s.images))))))
	rows := (len(s.images) + columns - 1) / columns
	width, height := sheetCell+4*sheetGap, sheetCell+3*captionLine+4*sheetGap
	sheet := image.NewRGBA(image.Rect(0, 0, columns*width, rows*height))
	for k := range sheet.Pix {
		sheet.Pix[k] = 255
	}
	var cell raster.Image
	for k, m := range s.images {
		x0, y0 := k%columns*width+2*sheetGap, k/columns*height+2*sheetGap
		if m != nil {
			longest := max(m.H, m.W)
			h, wide := max(1, m.H*sheetCell/longest), max(1, m.W*sheetCell/longest)
			cell.Reset(m.C, h, wide)
			new(raster.Resizer).Resize(&cell, m, m.Whole(), h, wide, 0, 0, raster.Bilinear)
			draw(sheet, &cell, x0, y0)
		}
		x := s.samples[k]
		for line, text := range []string{fmt.Sprintf("#%d", x.Index), s.labels(x.Given), "> " + s.labels(x.Predicted)} {
			d := font.Drawer{Dst: sheet, Src: image.NewUniform(color.RGBA{40, 40, 40, 255}), Face: basicfont.Face7x13,
				Dot: fixed.P(x0, y0+sheetCell+(line+1)*captionLine-2)}
			d.DrawString(cut(text, sheetCell/captionChar))
		}
	}
	return png.Encode(w, sheet)
}
