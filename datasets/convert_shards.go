package datasets

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// shardFile is the shard that is being written.
type shardFile struct {
	f    *os.File
	w    *bufio.Writer
	size int64 // of its images
}

func (c *converter) create(name string) (*shardFile, error) {
	f, err := c.dir.Create(name)
	if err != nil {
		return nil, err
	}
	c.Files++
	return &shardFile{f: f, w: bufio.NewWriterSize(f, 1<<20)}, nil
}

// close makes what was written last.
func (s *shardFile) close() error {
	return errors.Join(s.w.Flush(), s.f.Sync(), s.f.Close())
}

// tarSink writes WebDataset shards SPLIT-NUMBER.tar of members NUMBER.ENDING and
// NUMBER.cls, which holds the number of the class.
type tarSink struct {
	c     *converter
	split string
	shard int
	*shardFile
	tar *tar.Writer
}

var _ sink = (*tarSink)(nil)

func (t *tarSink) begin(split string) error {
	t.split, t.shard = split, 0
	return nil
}

func (t *tarSink) add(s *converted) (err error) {
	if t.shardFile == nil {
		if t.shardFile, err = t.c.create(fmt.Sprintf("%s-%06d.tar", t.split, t.shard)); err != nil {
			return err
		}
		t.tar = tar.NewWriter(t.w)
		t.shard++
	}
	key := fmt.Sprintf("%08d.", s.index)
	if err := errors.Join(t.member(key+s.ending, s.image), t.member(key+"cls", strconv.AppendInt(nil, s.class, 10))); err != nil {
		return err
	}
	if t.size += int64(len(s.image)); t.size >= t.c.limit {
		return t.end()
	}
	return nil
}

func (t *tarSink) member(name string, data []byte) error {
	h := &tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := t.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.tar.Write(data)
	return err
}

func (t *tarSink) end() error {
	if t.shardFile == nil {
		return nil
	}
	err := errors.Join(t.tar.Close(), t.close())
	t.shardFile = nil
	return err
}

func (t *tarSink) abort() {
	if t.shardFile != nil {
		_ = t.f.Close() // what is unfinished is removed
	}
}

// Bounds of a row group: its images are in memory until it is written.
const (
	groupRows  = 1000
	groupBytes = 1 << 26
)

// imageSchema is that of Hugging Face's image sets: a file and its name, and a class.
var imageSchema = parquet.NewSchema("schema", parquet.Group{
	"image": parquet.Optional(parquet.Group{
		"bytes": parquet.Optional(parquet.Leaf(parquet.ByteArrayType)),
		"path":  parquet.Optional(parquet.String()),
	}),
	"label": parquet.Optional(parquet.Leaf(parquet.Int64Type)),
})

// parquetSink writes files SPLIT-NUMBER-of-COUNT.parquet.
type parquetSink struct {
	c     *converter
	split string
	names []string // of the split's files until their number is known
	*shardFile
	rows  *parquet.GenericWriter[any]
	group struct {
		rows  int
		bytes int64
	}
	meta string
}

var _ sink = (*parquetSink)(nil)

// begin takes the name that Hugging Face's tools know the split by.
func (p *parquetSink) begin(split string) error {
	p.split, p.names = map[string]string{trainSplit: "train", valSplit: "validation"}[split], nil
	type feature struct {
		Type  string   `json:"_type"`
		Names []string `json:"names,omitempty"`
	}
	meta, err := json.Marshal(map[string]any{"info": map[string]any{"features": map[string]feature{
		"image": {Type: "Image"}, "label": {Type: "ClassLabel", Names: p.c.labels},
	}}})
	p.meta = string(meta)
	return err
}

func (p *parquetSink) add(s *converted) (err error) {
	if p.shardFile == nil {
		name := fmt.Sprintf("%s-%05d.part", p.split, len(p.names))
		if p.shardFile, err = p.c.create(name); err != nil {
			return err
		}
		p.names = append(p.names, name)
		p.rows = parquet.NewGenericWriter[any](p.w, imageSchema, parquet.KeyValueMetadata("huggingface", p.meta),
			parquet.DataPageVersion(1), parquet.SkipPageBounds("image", "bytes"), parquet.CreatedBy("winnow", "1", "0"))
	}
	const present = 1
	row := parquet.Row{
		parquet.ByteArrayValue(s.image).Level(0, 2*present, 0),
		parquet.ByteArrayValue(fmt.Appendf(nil, "%08d.%s", s.index, s.ending)).Level(0, 2*present, 1),
		parquet.Int64Value(s.class).Level(0, present, 2),
	}
	if _, err := p.rows.WriteRows([]parquet.Row{row}); err != nil {
		return err
	}
	p.group.rows++
	p.group.bytes += int64(len(s.image))
	if p.group.rows >= groupRows || p.group.bytes >= groupBytes {
		if err := p.flush(); err != nil {
			return err
		}
	}
	if p.size += int64(len(s.image)); p.size >= p.c.limit {
		return p.finish()
	}
	return nil
}

func (p *parquetSink) flush() error {
	p.group.rows, p.group.bytes = 0, 0
	return p.rows.Flush()
}

// finish closes the file that is being written.
func (p *parquetSink) finish() error {
	if p.shardFile == nil {
		return nil
	}
	p.group.rows, p.group.bytes = 0, 0
	err := errors.Join(p.rows.Close(), p.close())
	p.shardFile = nil
	return err
}

func (p *parquetSink) end() error {
	if err := p.finish(); err != nil {
		return err
	}
	for k, name := range p.names {
		if err := p.c.dir.Rename(name, fmt.Sprintf("%s-%05d-of-%05d.parquet", p.split, k, len(p.names))); err != nil {
			return err
		}
	}
	return nil
}

func (p *parquetSink) abort() {
	if p.shardFile != nil {
		_ = p.f.Close() // the same
	}
}
