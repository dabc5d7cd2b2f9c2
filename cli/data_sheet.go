package cli

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"

	"winnow/datasets"
	"winnow/internal/atomicfile"
	"winnow/loader"
	"winnow/loader/raster"
	"winnow/onnx/bundle"
	"winnow/train"
)

// Sides of a contact sheet's cells.
const (
	sheetCell = 96 // of images as they are stored
	sheetGap  = 2
	maxSheet  = 1 << 26 // pixels of a sheet
)

// writeSheet writes samples as a PNG, row by row: as they are stored, or with
// o.Augmented as the model would see them in training.
func writeSheet(ctx context.Context, o dataShowOptions, d *datasets.Dataset, r loader.Records, decoder raster.Decoder, out *output) error {
	if _, err := os.Lstat(o.Out); !errors.Is(err, fs.ErrNotExist) {
		return usagef("data show: --out %q: it is there already; name another file", o.Out)
	}
	side := sheetCell
	read := func(i uint32, cell *raster.Image) error { return thumbnail(r, decoder, i, cell) }
	if o.Augmented {
		src, err := trainingSource(o, d, r, out)
		if err != nil {
			return err
		}
		c, h, w := src.Shape()
		side = max(h, w)
		var batch []byte
		read = func(i uint32, cell *raster.Image) error {
			if batch == nil {
				if batch, err = trainingBatch(ctx, o, src); err != nil {
					return err
				}
			}
			*cell = raster.Image{C: c, H: h, W: w, Pix: batch[(int(i)-o.Index)*c*h*w:][:c*h*w]}
			return nil
		}
	}
	columns := int(math.Ceil(math.Sqrt(float64(o.Count))))
	rows := (o.Count + columns - 1) / columns
	step := side + sheetGap
	if int64(columns*step)*int64(rows*step) > maxSheet {
		return usagef("data show: %d images of %dx%d are more than a sheet takes; lower --count or --input-size", o.Count, side, side)
	}
	sheet := image.NewRGBA(image.Rect(0, 0, columns*step, rows*step))
	var cell raster.Image
	for k := range o.Count {
		if err := ctx.Err(); err != nil {
			return err
		}
		i := o.Index + k
		if err := read(uint32(i), &cell); err != nil {
			return fmt.Errorf("data show: sample %d of %q: %w", i, o.Spec, err)
		}
		draw(sheet, &cell, k%columns*step, k/columns*step)
	}
	if err := atomicfile.Write(o.Out, func(w io.Writer) error { return png.Encode(w, sheet) }); err != nil {
		return fmt.Errorf("data show: --out %q: %w", o.Out, err)
	}
	out.printf("%s of %q, from sample %d on, %d a row: %s\n", counted(o.Count, "image"), o.Spec, o.Index, columns, o.Out)
	return nil
}

// thumbnail fits an image as it is stored into a cell.
func thumbnail(r loader.Records, decoder raster.Decoder, i uint32, cell *raster.Image) error {
	var record loader.Record
	if err := r.Read(i, &record); err != nil {
		return err
	}
	whole := raster.Image{C: record.C, H: record.H, W: record.W, Pix: record.Data}
	if record.C == 0 {
		whole = raster.Image{}
		if err := decoder.With(record.View).Decode(&whole, record.Data, 3, 1); err != nil {
			return fmt.Errorf("%w: %w", loader.ErrBadData, err)
		}
	}
	longest := max(whole.H, whole.W)
	h, w := max(1, whole.H*sheetCell/longest), max(1, whole.W*sheetCell/longest)
	cell.Reset(whole.C, h, w)
	new(raster.Resizer).Resize(cell, &whole, whole.Whole(), h, w, 0, 0, raster.Bilinear)
	return nil
}

// trainingSource is the samples through what train does to them.
func trainingSource(o dataShowOptions, d *datasets.Dataset, r loader.Records, out *output) (*loader.Source, error) {
	shape, err := o.shape()
	if err != nil {
		return nil, err
	}
	c, h, w := loader.ShapeOf(r)
	own := [3]int64{int64(c), int64(h), int64(w)}
	if shape[0] == 0 {
		shape[0] = own[0]
	}
	if preset, err := parsePreset(o.Transforms.Aug); c > 0 && err == nil && !preset.resizes() {
		if o.InputSize != "" && shape != own {
			return nil, usagef("--input-size %s: images of %dx%dx%d are taken as they are; leave it out, or give --aug %s", o.InputSize, c, h, w, augImageNet)
		}
		shape = own
	}
	if shape[0] == 0 {
		shape[0] = 3
	}
	run := train.Options{Bundle: &bundle.Bundle{}}
	run.Bundle.Manifest.ImageShape = shape
	if err := o.Transforms.sources(&run, r, d.Test, func(text string) { out.notef("note: %s", text) }); err != nil {
		return nil, err
	}
	return run.Train, nil
}

// trainingBatch reads the samples as training sees them, mixed as one batch would
// be, the first of its epoch.
func trainingBatch(ctx context.Context, o dataShowOptions, src *loader.Source) ([]byte, error) {
	c, h, w := src.Shape()
	size := c * h * w
	pix := make([]byte, o.Count*size)
	var scratch loader.Scratch
	for k := range o.Count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := src.Read(loader.Draw{Seed: o.Seed, Epoch: o.Epoch, Index: uint32(o.Index + k)}, &scratch, pix[k*size:][:size]); err != nil {
			return nil, err
		}
	}
	o.Transforms.Mix.Images(o.Seed, o.Epoch, 0, pix, o.Count, c, h, w)
	return pix, nil
}

// draw puts an image of one or three channels onto the sheet.
func draw(sheet *image.RGBA, m *raster.Image, x0, y0 int) {
	for y := range m.H {
		for x := range m.W {
			at := y*m.W + x
			r := m.Plane(0)[at]
			g, b := r, r
			if m.C >= 3 {
				g, b = m.Plane(1)[at], m.Plane(2)[at]
			}
			sheet.SetRGBA(x0+x, y0+y, color.RGBA{r, g, b, 255})
		}
	}
}
