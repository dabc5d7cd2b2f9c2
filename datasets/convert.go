package datasets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"winnow/loader"
	"winnow/loader/raster"
)

// DefaultShardBytes is the size that a shard grows to: that of Hugging Face's.
const DefaultShardBytes = 500e6

// ConvertOptions of Convert.
type ConvertOptions struct {
	// ShardBytes is the size of images at which a tar or parquet file is closed
	// and the next one begun; 0 stands for DefaultShardBytes.
	ShardBytes int64
	// Progress is told of samples written, nil or not.
	Progress func(done, total int)
}

// Conversion is what Convert wrote.
type Conversion struct {
	Kind   string `json:"kind"`
	Path   string `json:"path"`
	Train  int    `json:"train"`
	Test   int    `json:"test"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`  // of images
	AsPNG  int    `json:"as_png"` // raw images, written as PNG
	Spec   string `json:"spec"`   // that reads it
	labels []string
}

// converters make the sink of each kind that can be converted to.
var converters = map[string]func(c *converter) sink{
	"folder":  func(c *converter) sink { return &folderSink{c} },
	"tar":     func(c *converter) sink { return &tarSink{c: c} },
	"parquet": func(c *converter) sink { return &parquetSink{c: c} },
}

// ConvertKinds are the kinds that can be converted to.
func ConvertKinds() []string {
	var names []string
	for name := range converters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sink takes the samples of a split one after the other.
type sink interface {
	begin(split string) error
	add(s *converted) error
	// end writes what is left of a split; abort gives up after an error.
	end() error
	abort()
}

// converted is a sample to be written; image is valid until the next.
type converted struct {
	split  string
	index  int // within the split
	class  int64
	image  []byte
	ending string // of its kind: jpg, png
}

// converter writes a data set below a folder that takes its place in the end.
type converter struct {
	Conversion
	dir   *os.Root
	limit int64
}

// Splits as they are written.
const (
	trainSplit = "train"
	valSplit   = "val"
)

// Convert writes both splits of d as to says: folder:DIR, tar:DIR or
// parquet:DIR. The bytes of encoded images stay as they are, raw ones become
// PNG. The folder appears whole, and must not be there yet, or be empty.
func Convert(ctx context.Context, d *Dataset, to string, o ConvertOptions) (*Conversion, error) {
	s, err := parseSpec(to, ConvertKinds())
	if err != nil {
		return nil, err
	}
	if s.name == "" || s.path == "" || len(s.settings) > 0 {
		return nil, s.errorf("want where to write as KIND:DIR, of one of the kinds %s", strings.Join(ConvertKinds(), ", "))
	}
	if d.Noise != nil {
		return nil, s.errorf("labels are written as the data has them: leave noise away, and give it where the new data is read")
	}
	if t := loader.TargetsOf(d.Train); len(t) != 1 || t[0].Kind != loader.ClassTarget {
		return nil, s.errorf("one class a sample is what can be written; the data's targets are more or others, such as %q", t[len(t)-1].Name)
	}
	if loader.WeightsOf(d.Train) != nil {
		return nil, s.errorf("weights of samples cannot be written: leave them away with weight=%s", weightOff)
	}
	if d.View != (raster.View{}) {
		return nil, s.errorf("files are written as they are: leave exif and background away, and give them where the new data is read")
	}
	path, err := filepath.Abs(s.path)
	if err != nil {
		return nil, err
	}
	c := &converter{Conversion: Conversion{Kind: s.name, Path: s.path, Spec: s.name + ":" + s.path, labels: d.ClassNames}, limit: o.ShardBytes}
	if c.limit <= 0 {
		c.limit = DefaultShardBytes
	}
	err = inPlace(path, func(root *os.Root) error {
		c.dir = root
		return c.write(ctx, d, o.Progress)
	})
	if err != nil {
		return nil, fmt.Errorf("datasets: convert to %q: %w", to, err)
	}
	return &c.Conversion, nil
}

// ErrOccupied marks a place to write to that has something in it.
var ErrOccupied = errors.New("it is there already and not an empty folder; name another place")

// inPlace makes a folder that appears with all that fill puts into it, or not at all.
func inPlace(dir string, fill func(*os.Root) error) (err error) {
	entries, err := os.ReadDir(dir)
	if info, statErr := os.Lstat(dir); !errors.Is(statErr, fs.ErrNotExist) && (statErr != nil || !info.IsDir() || err != nil || len(entries) > 0) {
		return ErrOccupied
	}
	parent, base := filepath.Split(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, "."+base+".winnow-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	stage := filepath.Join(temp, "stage") // MkdirTemp's own has other permissions
	if err := os.Mkdir(stage, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(stage)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(root), root.Close()); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	return os.Rename(stage, dir)
}

// write writes both splits and the list of classes.
func (c *converter) write(ctx context.Context, d *Dataset, progress func(done, total int)) (err error) {
	out := converters[c.Kind](c)
	defer func() {
		if err != nil {
			out.abort()
		}
	}()
	total := d.Train.Len() + d.Test.Len()
	done := 0
	encoder := &pngEncoder{}
	for _, split := range []struct {
		name string
		r    loader.Records
		n    *int
	}{{trainSplit, d.Train, &c.Train}, {valSplit, d.Test, &c.Test}} {
		if err := out.begin(split.name); err != nil {
			return err
		}
		var r loader.Record
		for i := range split.r.Len() {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := converted{split: split.name, index: i, class: split.r.Target(uint32(i)).Class()}
			if err := c.fill(&s, split.r, &r, encoder); err != nil {
				return fmt.Errorf("%s sample %d%s: %w", split.name, i, whereOf(split.r, uint32(i)), err)
			}
			if err := out.add(&s); err != nil {
				return err
			}
			*split.n++
			c.Bytes += int64(len(s.image))
			if done++; progress != nil {
				progress(done, total)
			}
		}
		if err := out.end(); err != nil {
			return err
		}
	}
	if c.Kind == "parquet" { // its schema has them
		return nil
	}
	names, err := json.Marshal(c.labels)
	if err != nil {
		return err
	}
	return c.file(classFile, append(names, '\n'))
}

func whereOf(r loader.Records, i uint32) string {
	if l, ok := r.(loader.Located); ok {
		if at := l.Where(i); at != "" {
			return fmt.Sprintf(" (%q)", at)
		}
	}
	return ""
}

// fill reads a sample's image, as PNG where it is raw.
func (c *converter) fill(s *converted, r loader.Records, record *loader.Record, encoder *pngEncoder) error {
	if s.class < 0 || s.class >= int64(len(c.labels)) {
		return fmt.Errorf("%w: label %d: want 0 to %d", loader.ErrBadData, s.class, len(c.labels)-1)
	}
	if err := r.Read(uint32(s.index), record); err != nil {
		return err
	}
	s.image = record.Data
	if record.C > 0 {
		var err error
		if s.image, err = encoder.encode(record); err != nil {
			return err
		}
		c.AsPNG++
	}
	format := raster.Sniff(s.image)
	if format == "" {
		return fmt.Errorf("%w: %s", loader.ErrBadData, raster.Unread(s.image))
	}
	s.ending = endings[format]
	return nil
}

// endings of files by raster's names of their formats.
var endings = map[string]string{"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WebP": "webp", "TIFF": "tif"}

// pngEncoder writes raw pixels as PNG, without loss.
type pngEncoder struct {
	out    bytes.Buffer
	buffer *png.EncoderBuffer
	rgba   *image.RGBA
}

// Get and Put keep the encoder's memory from one image to the next.
func (e *pngEncoder) Get() *png.EncoderBuffer  { return e.buffer }
func (e *pngEncoder) Put(b *png.EncoderBuffer) { e.buffer = b }

func (e *pngEncoder) encode(r *loader.Record) ([]byte, error) {
	var m image.Image
	bounds := image.Rect(0, 0, r.W, r.H)
	switch r.C {
	case 1:
		m = &image.Gray{Pix: r.Data, Stride: r.W, Rect: bounds}
	case 3:
		if e.rgba == nil || e.rgba.Rect != bounds {
			e.rgba = image.NewRGBA(bounds)
		}
		n := r.H * r.W
		for i := range n {
			p := e.rgba.Pix[4*i:][:4]
			p[0], p[1], p[2], p[3] = r.Data[i], r.Data[n+i], r.Data[2*n+i], 255
		}
		m = e.rgba
	default:
		return nil, fmt.Errorf("%w: %d channels: PNG takes 1 or 3", loader.ErrBadData, r.C)
	}
	e.out.Reset()
	err := (&png.Encoder{BufferPool: e}).Encode(&e.out, m)
	return e.out.Bytes(), err
}

// file writes a whole file.
func (c *converter) file(name string, data []byte) error {
	err := c.dir.WriteFile(name, data, 0o666)
	if err == nil {
		c.Files++
	}
	return err
}

// folderSink writes SPLIT/CLASS/NUMBER.ENDING.
type folderSink struct{ *converter }

var _ sink = (*folderSink)(nil)

func (f *folderSink) begin(string) error {
	_, err := folderIndex(f.labels)
	return err
}

func (f *folderSink) add(s *converted) error {
	dir := path.Join(s.split, classFolder(f.labels[s.class]))
	name := path.Join(dir, fmt.Sprintf("%08d.%s", s.index, s.ending))
	err := f.file(name, s.image)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.dir.MkdirAll(dir, 0o777); err == nil {
			err = f.file(name, s.image)
		}
	}
	return err
}

func (f *folderSink) end() error { return nil }
func (f *folderSink) abort()     {}
