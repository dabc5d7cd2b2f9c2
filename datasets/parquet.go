package datasets

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"winnow/internal/option"
	"winnow/loader"
)

// maxRowGroup bounds one column of a row group once unpacked: a file of
// pyarrow's may have it in one page.
const maxRowGroup = 4 << 30

// parquetOptions are the settings of parquet:FILES.
type parquetOptions struct {
	image, label, classes string
	val                   float64
}

var parquetRows = []option.Row[parquetOptions]{
	{Name: "image", Doc: "column `NAME` of the images, bytes or struct{bytes, path}, else image, img or png", Default: "",
		Field: func(o *parquetOptions) any { return &o.image }},
	{Name: "label", Doc: "column `NAME` of the class, a number or a name, else label, labels, class, fine_label or target", Default: "",
		Field: func(o *parquetOptions) any { return &o.label }},
	classesRow(func(o *parquetOptions) *string { return &o.classes }),
	{Name: "val", Doc: "share `P` of each class held back for evaluation, drawn by seed, where no file's name begins with val or test", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *parquetOptions) any { return &o.val }},
}

var (
	parquetEndings = []string{".parquet"}
	parquetImages  = []string{"image", "img", "png"}
	parquetLabels  = []string{"label", "labels", "class", "fine_label", "target"}
)

func parquetFormat() *format {
	return newFormat(format{
		info: Info{Name: "parquet", Example: "parquet:data/", About: "image sets of Hugging Face, by file, folder, glob or braces, files train-... and validation-... or test-...; unpacked once into the cache"},
		path: needsPath, encoded: true,
		sniff: func(p string) bool {
			files, err := expand(p, parquetEndings)
			return err == nil && strings.HasSuffix(strings.ToLower(files[0]), parquetEndings[0])
		},
	}, parquetRows, func(s *spec, v *parquetOptions, o Options) (*Dataset, error) {
		columns := parquetLabels
		if v.label != "" {
			columns = []string{v.label}
		}
		return openShards(s, shardOptions{Options: o, settings: fmt.Sprintf("%q %q", v.image, v.label), classes: v.classes, columns: columns,
			val: v.val, endings: parquetEndings, unpack: v.unpack})
	})
}

// unpack gives the rows of a file, a row group at a time.
func (v *parquetOptions) unpack(f *os.File, size int64, skip int, add func([]byte, string) error) (names []string, err error) {
	return v.rows(f, size, skip, add)
}

// rows gives the rows of a file without the first skip; row groups of such alone
// are not read.
func (v *parquetOptions) rows(f io.ReaderAt, size int64, skip int, add func([]byte, string) error) (names []string, err error) {
	defer func() { // the library takes much of a file's form for granted
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: damaged (%v)", loader.ErrBadData, p)
		}
	}()
	bad := func(err error) error { return fmt.Errorf("%w: %w", loader.ErrBadData, err) }
	if err := checkFooter(f, size); err != nil {
		return nil, bad(err)
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, bad(err)
	}
	image, err := v.column(file, "image", v.image, parquetImages)
	if err != nil {
		return nil, bad(err)
	}
	label, err := v.column(file, "label", v.label, parquetLabels)
	if err != nil {
		return nil, bad(err)
	}
	if kind := image.Node.Type().Kind(); kind != parquet.ByteArray {
		return nil, bad(fmt.Errorf("column %q holds %s: want bytes of image files", strings.Join(image.Path, "."), kind))
	}
	row := int64(0)
	for _, group := range file.RowGroups() {
		if row+group.NumRows() <= int64(skip) {
			row += group.NumRows()
			continue
		}
		if err := groupFits(file, image, label); err != nil {
			return nil, bad(err)
		}
		if err := v.group(group, image, label, row, int64(skip), add); err != nil {
			return nil, err
		}
		row += group.NumRows()
	}
	return classNames(file, label.Path[0]), nil
}

// checkFooter holds the length of the footer against the file's, for which the
// library allocates without a look.
func checkFooter(f io.ReaderAt, size int64) error {
	const magic, least, most = "PAR1", 12, 1 << 28
	var head [4]byte
	var tail [8]byte
	if size < least {
		return fmt.Errorf("no Parquet file: %d bytes", size)
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if string(head[:]) != magic || string(tail[4:]) != magic {
		return errors.New("no Parquet file, or cut short")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-least || n > most {
		return fmt.Errorf("a footer of %d bytes in a file of %d", n, size)
	}
	return nil
}

// groupFits holds the columns that are read against maxRowGroup.
func groupFits(file *parquet.File, columns ...parquet.LeafColumn) error {
	for k, g := range file.Metadata().RowGroups {
		for _, c := range columns {
			if c.ColumnIndex >= len(g.Columns) {
				return fmt.Errorf("row group %d lacks column %q", k, strings.Join(c.Path, "."))
			}
			if n := g.Columns[c.ColumnIndex].MetaData.TotalUncompressedSize; n > maxRowGroup || n < 0 {
				return fmt.Errorf("row group %d has %d bytes of %q: want at most %d; write it with smaller row groups", k, n, strings.Join(c.Path, "."), int64(maxRowGroup))
			}
		}
	}
	return nil
}

// column finds a column by name: of bytes, or the field bytes of a struct.
func (v *parquetOptions) column(file *parquet.File, what, asked string, known []string) (parquet.LeafColumn, error) {
	names := known
	if asked != "" {
		names = []string{asked}
	}
	schema := file.Schema()
	for _, name := range names {
		for _, path := range [][]string{{name}, {name, "bytes"}} {
			leaf, ok := schema.Lookup(path...)
			if !ok || !leaf.Node.Leaf() {
				continue
			}
			if leaf.MaxRepetitionLevel > 0 {
				return leaf, fmt.Errorf("column %q holds lists: want one value a row", name)
			}
			return leaf, nil
		}
		for _, path := range schema.Columns() {
			if path[0] == name {
				return parquet.LeafColumn{}, fmt.Errorf("column %q holds lists or other fields (%s): want one value a row, or struct{bytes, path}", name, strings.Join(path, "."))
			}
		}
	}
	var have []string
	for _, path := range schema.Columns() {
		have = append(have, strings.Join(path, "."))
	}
	if asked != "" {
		return parquet.LeafColumn{}, fmt.Errorf("no column %q among %s", asked, nameList(have))
	}
	return parquet.LeafColumn{}, fmt.Errorf("no column %s among %s: name it with %s=NAME", strings.Join(known, ", "), nameList(have), what)
}

// group gives the rows of a row group from number skip of the file on; row is
// that of its first.
func (v *parquetOptions) group(g parquet.RowGroup, image, label parquet.LeafColumn, row, skip int64, add func([]byte, string) error) (err error) {
	chunks := g.ColumnChunks()
	labels := newValues(chunks[label.ColumnIndex])
	images := newValues(chunks[image.ColumnIndex])
	defer func() { err = errors.Join(err, labels.pages.Close(), images.pages.Close()) }()
	for k := range g.NumRows() {
		at := func(err error) error { return fmt.Errorf("%w: row %d: %w", loader.ErrBadData, row+k, err) }
		l, err := labels.next()
		if err != nil {
			return at(fmt.Errorf("label: %w", err))
		}
		text, err := labelText(l)
		if err != nil {
			return at(err)
		}
		m, err := images.next()
		if err != nil {
			return at(fmt.Errorf("image: %w", err))
		}
		if row+k < skip {
			continue
		}
		if m.IsNull() {
			return at(errors.New("no image"))
		}
		if err := add(m.ByteArray(), text); err != nil {
			return fmt.Errorf("row %d: %w", row+k, err)
		}
	}
	return nil
}

func labelText(v parquet.Value) (string, error) {
	switch {
	case v.IsNull():
		return "", errors.New("no label")
	case v.Kind() == parquet.ByteArray || v.Kind() == parquet.FixedLenByteArray:
		if text := string(v.ByteArray()); text != "" {
			return strings.ToValidUTF8(text, "\ufffd"), nil
		}
		return "", errors.New("the label is empty")
	case v.Kind() == parquet.Int32:
		return strconv.Itoa(int(v.Int32())), nil
	case v.Kind() == parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10), nil
	case v.Kind() == parquet.Boolean:
		return map[bool]string{false: "0", true: "1"}[v.Boolean()], nil
	}
	return "", fmt.Errorf("label of kind %s: want a number or a name", v.Kind())
}

// values walks the values of a column chunk.
type values struct {
	pages  parquet.Pages
	page   parquet.Page
	reader parquet.ValueReader
	some   []parquet.Value
	rest   []parquet.Value
}

func newValues(c parquet.ColumnChunk) *values {
	return &values{pages: c.Pages(), some: make([]parquet.Value, 64)}
}

// next is the next value, valid until the one after it.
func (v *values) next() (parquet.Value, error) {
	for len(v.rest) == 0 {
		if v.reader != nil {
			n, err := v.reader.ReadValues(v.some)
			v.rest = v.some[:n]
			if n > 0 {
				continue
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return parquet.Value{}, err
			}
			parquet.Release(v.page)
			v.reader = nil
		}
		page, err := v.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return parquet.Value{}, errors.New("the column has fewer values than the group has rows")
		}
		if err != nil {
			return parquet.Value{}, err
		}
		v.page, v.reader = page, page.Values()
	}
	value := v.rest[0]
	v.rest = v.rest[1:]
	return value, nil
}

// classNames are those that Hugging Face's datasets writes into the schema for a
// ClassLabel; nil where there are none.
func classNames(file *parquet.File, column string) []string {
	text, ok := file.Lookup("huggingface")
	if !ok {
		return nil
	}
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &meta) != nil {
		return nil
	}
	var f hubFeature
	if json.Unmarshal(meta.Info.Features[column], &f) != nil || f.Type != "ClassLabel" || len(f.Names) == 0 || len(f.Names) > maxManifestClasses || slices.Contains(f.Names, "") {
		return nil
	}
	return f.Names
}
