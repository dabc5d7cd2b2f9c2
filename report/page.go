package report

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"unicode"

	"winnow/loader/raster"
	"winnow/run"
)

//go:embed style.css *.html
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"style": style, "script": script, "scriptHash": scriptHash}).ParseFS(files, "*.html"))

func style() (template.CSS, error) {
	text, err := files.ReadFile("style.css")
	return template.CSS(text), err
}

// Mark is in the first bytes of every page of this package.
const Mark = run.ReportMark

// Head is the top of a page.
type Head struct {
	Title, About string
	Facts        []Fact
	Script       bool // the page has the script of charts
}

// Fact is a number that counts, and what it is.
type Fact struct{ Name, Value string }

// Card is a picture with a few words.
type Card struct {
	Picture *Picture
	Head    string
	Lines   []Line
}

// Line is a line of a card; Class is "" or one of the style's: soft, wrong, fine.
type Line struct{ Class, Text string }

// Picture is an encoded image.
type Picture struct {
	URI   template.URL
	Small bool // so few pixels that they are to be seen as such
}

// Sides of pictures: up to the first every pixel is kept and shown as one.
const (
	smallSide   = 64
	PictureSide = 96 // what larger images are to be fit into
	quality     = 82
)

// NewPicture encodes an image of one or three channels: small ones without
// loss, others as JPEG.
func NewPicture(m *raster.Image) (*Picture, error) {
	var data bytes.Buffer
	small := m.H <= smallSide && m.W <= smallSide
	kind, err := "png", error(nil)
	if small {
		err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&data, Draw(m))
	} else {
		kind, err = "jpeg", jpeg.Encode(&data, Draw(m), &jpeg.Options{Quality: quality})
	}
	if err != nil {
		return nil, fmt.Errorf("report: picture: %w", err)
	}
	return &Picture{template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(data.Bytes())), small}, nil
}

// Draw is an image of one or three channels for the encoders of the standard library.
func Draw(m *raster.Image) image.Image {
	where := image.Rect(0, 0, m.W, m.H)
	if m.C < 3 {
		g := image.NewGray(where)
		copy(g.Pix, m.Plane(0)[:m.H*m.W])
		return g
	}
	out := image.NewRGBA(where)
	for at := range m.H * m.W {
		out.SetRGBA(at%m.W, at/m.W, color.RGBA{m.Plane(0)[at], m.Plane(1)[at], m.Plane(2)[at], 255})
	}
	return out
}

// Gallery is a page of cards.
type Gallery struct {
	Head
	Notes []string
	Cards []Card
}

// WriteGallery writes the page.
func WriteGallery(w io.Writer, g *Gallery) error {
	text, err := render("gallery.html", g)
	if err != nil {
		return err
	}
	return send(w, "gallery.html", text)
}

// render fills a template in; control characters, which names of files may have and
// HTML may not, are shown as unknown ones.
func render(name string, data any) ([]byte, error) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		return nil, fmt.Errorf("report: %s: %w", name, err)
	}
	return bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) {
			return unicode.ReplacementChar
		}
		return r
	}, page.Bytes()), nil
}

func send(w io.Writer, name string, text []byte) error {
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	return nil
}
