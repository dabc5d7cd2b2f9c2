// Command transforms holds every transform of images against torchvision's, on the
// same pictures with the same drawn parameters, and prints a table of mean and
// largest differences in grey levels.
//
//	go run ./bench/transforms -python python3
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"

	"winnow/loader/raster"
)

// drawn is what the peer did.
type drawn struct {
	H, W     int
	Versions string
	Cases    []struct {
		Op      string
		Picture int
		Args    []float64
		H, W    int
	}
}

// size is that of the model whose crops are compared.
const size = 224

// changes are the transforms that keep an image's size, by the peer's names.
var changes = map[string]func(m *raster.Image, a []float64){
	"RandomHorizontalFlip":   func(m *raster.Image, _ []float64) { m.Flip() },
	"RandomVerticalFlip":     func(m *raster.Image, _ []float64) { m.FlipVertical() },
	"RandomCrop, reflect":    func(m *raster.Image, a []float64) { m.ShiftMirrored(int(a[0]), int(a[1]), nil) },
	"RandomRotation":         func(m *raster.Image, a []float64) { m.Warp(raster.Rotation(m.H, m.W, a[0]), nil) },
	"RandomAffine, nearest":  func(m *raster.Image, a []float64) { m.Warp(affine(m, a), nil) },
	"RandomAffine, bilinear": func(m *raster.Image, a []float64) { m.WarpBilinear(affine(m, a), nil) },
	"ShearX":                 func(m *raster.Image, a []float64) { m.Warp(raster.Shear(a[0], 0), nil) },
	"ShearY":                 func(m *raster.Image, a []float64) { m.Warp(raster.Shear(0, a[0]), nil) },
	"TranslateX":             func(m *raster.Image, a []float64) { m.Warp(raster.Translation(int(a[0]), 0), nil) },
	"TranslateY":             func(m *raster.Image, a []float64) { m.Warp(raster.Translation(0, int(a[0])), nil) },
	"brightness":             func(m *raster.Image, a []float64) { m.Brightness(float32(a[0])) },
	"contrast":               func(m *raster.Image, a []float64) { m.Contrast(float32(a[0])) },
	"saturation":             func(m *raster.Image, a []float64) { m.Saturation(float32(a[0])) },
	"hue":                    func(m *raster.Image, a []float64) { m.Hue(a[0]) },
	"sharpness":              func(m *raster.Image, a []float64) { m.Sharpness(float32(a[0]), nil) },
	"posterize":              func(m *raster.Image, a []float64) { m.Posterize(int(a[0])) },
	"solarize":               func(m *raster.Image, a []float64) { m.Solarize(a[0]) },
	"autocontrast":           func(m *raster.Image, _ []float64) { m.AutoContrast() },
	"equalize":               func(m *raster.Image, _ []float64) { m.Equalize() },
	"invert":                 func(m *raster.Image, _ []float64) { m.Invert() },
	"RandomGrayscale":        func(m *raster.Image, _ []float64) { m.Grey() },
	"GaussianBlur":           func(m *raster.Image, a []float64) { new(raster.Blurrer).Blur(m, int(a[0]), a[1]) },
}

func affine(m *raster.Image, a []float64) raster.Matrix {
	return raster.Affine(m.H, m.W, a[0], int(a[1]), int(a[2]), a[3], a[4], a[5])
}

// resizes are the transforms that resize, by the peer's names.
var resizes = map[string]*raster.Filter{
	"Resize, CenterCrop, bilinear": raster.Bilinear, "Resize, CenterCrop, bicubic": raster.Bicubic,
	"RandomResizedCrop, bilinear": raster.Bilinear, "RandomResizedCrop, bicubic": raster.Bicubic,
}

// apply does to a picture what the peer did.
func apply(op string, m *raster.Image, a []float64) (*raster.Image, error) {
	if change := changes[op]; change != nil {
		change(m, a)
		return m, nil
	}
	filter := resizes[op]
	if filter == nil {
		return nil, fmt.Errorf("no transform %q", op)
	}
	var out raster.Image
	out.Reset(m.C, size, size)
	if len(a) == 4 {
		box := raster.Box{Y: int(a[0]), X: int(a[1]), H: int(a[2]), W: int(a[3])}
		new(raster.Resizer).Resize(&out, m, box, size, size, 0, 0, filter)
		return &out, nil
	}
	h, w := 256, 256*m.W/m.H // of a picture wider than high
	y, x := int(math.RoundToEven(float64(h-size)/2)), int(math.RoundToEven(float64(w-size)/2))
	new(raster.Resizer).Resize(&out, m, m.Whole(), h, w, y, x, filter)
	return &out, nil
}

// row is the outcome of one transform.
type row struct {
	op          string
	cases, same int
	sum, pixels float64
	most        int
}

func compare(dir string) (versions string, rows []row, err error) {
	var d drawn
	text, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		return "", nil, err
	}
	pictures, err := os.ReadFile(filepath.Join(dir, "pictures.rgb"))
	if err != nil {
		return "", nil, err
	}
	pixels, err := os.ReadFile(filepath.Join(dir, "pixels.rgb"))
	if err != nil {
		return "", nil, err
	}
	for _, c := range d.Cases {
		if len(rows) == 0 || rows[len(rows)-1].op != c.Op {
			rows = append(rows, row{op: c.Op})
		}
		m := &raster.Image{}
		m.Reset(3, d.H, d.W)
		copy(m.Pix, pictures[c.Picture*len(m.Pix):])
		out, err := apply(c.Op, m, c.Args)
		if err != nil {
			return "", nil, err
		}
		want := pixels[:3*c.H*c.W]
		pixels = pixels[len(want):]
		if len(out.Pix) != len(want) {
			return "", nil, fmt.Errorf("%s: %dx%d, want %dx%d", c.Op, out.H, out.W, c.H, c.W)
		}
		rows[len(rows)-1].add(out.Pix, want)
	}
	return d.Versions, rows, nil
}

func (r *row) add(got, want []byte) {
	before := r.sum
	for i, v := range got {
		d := max(int(v)-int(want[i]), int(want[i])-int(v))
		r.sum += float64(d)
		r.most = max(r.most, d)
	}
	r.cases++
	r.pixels += float64(len(got))
	if r.sum == before {
		r.same++
	}
}

func run() error {
	python := flag.String("python", "python3", "python with torchvision")
	dir := flag.String("dir", "", "keep the peer's files in this folder")
	flag.Parse()
	if *dir == "" {
		temp, err := os.MkdirTemp("", "transforms-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		*dir = temp
	}
	peer := exec.CommandContext(context.Background(), *python, filepath.Join("bench", "peers", "torch_transforms.py"), *dir)
	peer.Stderr = os.Stderr
	if err := peer.Run(); err != nil {
		return fmt.Errorf("the peer: %w", err)
	}
	versions, rows, err := compare(*dir)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n\n| transform | images | equal to the bit | mean difference | largest |\n| --- | ---: | ---: | ---: | ---: |\n", versions)
	for _, r := range rows {
		fmt.Printf("| %s | %d | %d | %.2g | %d |\n", r.op, r.cases, r.same, r.sum/r.pixels, r.most)
	}
	return nil
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal("transforms: ", err)
	}
}
