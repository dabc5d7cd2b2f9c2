package datasets

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"winnow/internal/option"
	"winnow/loader"
	"winnow/loader/raster"
)

// Bounds of a tar file.
const (
	maxLabelBytes = 1 << 20
	maxZstdMemory = 1 << 28 // window of a compressed file
	// maxSwell is how often its own size a compressed file may unpack to, beyond
	// freeSwell: images are compressed already.
	maxSwell  = 50
	freeSwell = 1 << 26
)

// tarOptions are the settings of tar:FILES.
type tarOptions struct {
	image, label, field, classes string
	val                          float64
}

var tarRows = []option.Row[tarOptions]{
	{Name: "image", Doc: "ending `NAME` of the members that hold the image, such as input.jpg, else any of images", Default: "",
		Field: func(o *tarOptions) any { return &o.image }},
	{Name: "label", Doc: "ending `NAME` of the members that hold the class, else cls, txt or json", Default: "",
		Field: func(o *tarOptions) any { return &o.label }},
	{Name: "field", Doc: "field `NAME` of a json member, else label, class, cls or target", Default: "",
		Field: func(o *tarOptions) any { return &o.field }},
	classesRow(func(o *tarOptions) *string { return &o.classes }),
	{Name: "val", Doc: "share `P` of each class held back for evaluation, drawn by seed, where no file's name begins with val or test", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *tarOptions) any { return &o.val }},
}

var tarEndings = []string{".tar", ".tar.gz", ".tgz", ".tar.zst"}

func tarFormat() *format {
	return newFormat(format{
		info: Info{Name: "tar", Example: "tar:shards/train-{000..012}.tar", About: "WebDataset shards, plain, gzip or zstd, by file, folder, glob or braces; unpacked once into the cache"},
		path: needsPath, encoded: true,
		sniff: func(p string) bool {
			files, err := expand(p, tarEndings)
			return err == nil && slices.ContainsFunc(tarEndings, func(end string) bool { return strings.HasSuffix(strings.ToLower(files[0]), end) })
		},
	}, tarRows, func(s *spec, v *tarOptions, o Options) (*Dataset, error) {
		return openShards(s, shardOptions{Options: o, settings: v.unpacking(), classes: v.classes, val: v.val, endings: tarEndings, unpack: v.unpack})
	})
}

// unpacking are the settings that what is unpacked depends on.
func (v *tarOptions) unpacking() string {
	if v.image != "" {
		return fmt.Sprintf("%q %q %q", v.label, v.field, v.image)
	}
	return fmt.Sprintf("%q %q", v.label, v.field) // as caches were named before there was image
}

var errSwells = fmt.Errorf("%w: it unpacks to over %d times its size", loader.ErrBadData, maxSwell)

// swell counts what a compressed file unpacks to.
type swell struct {
	io.Reader
	left int64
}

func (s *swell) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, errSwells
	}
	return n, err
}

// unpacked is the tar stream of a file, whose content tells how it is compressed.
func unpacked(f io.Reader, size int64) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(f, 1<<20)
	head, _ := b.Peek(4)
	limit := size*maxSwell + freeSwell
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := newGzipReader(b)
		return &swell{z, limit}, func() {}, err
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxZstdMemory), zstd.WithDecoderMaxWindow(maxZstdMemory))
		if err != nil {
			return nil, nil, err
		}
		return &swell{z, limit}, z.Close, nil
	}
	return b, func() {}, nil
}

// sample is the members of one key.
type tarSample struct {
	key, label         string
	image              []byte
	hasImage, hasLabel bool
	other              string // ending of another member
	passed             bool   // it is not wanted any more
}

// unpack gives the samples of a WebDataset shard: members that follow each
// other and have the same name up to the first dot.
func (v *tarOptions) unpack(f *os.File, size int64, skip int, add func([]byte, string) error) ([]string, error) {
	r, done, err := unpacked(f, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	defer done()
	if err := v.readTar(r, skip, add); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // checksums stand at the end
		return nil, tarError(err)
	}
	return nil, nil
}

// ending knows the last block of a stream.
type ending struct {
	io.Reader
	block [512]byte
	at    int
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	for _, b := range p[max(0, n-len(e.block)):n] {
		e.block[e.at%len(e.block)] = b
		e.at++
	}
	return n, err
}

// whole tells whether the stream ended in zeros, as an archive does.
func (e *ending) whole() bool { return e.at > 0 && e.block == [512]byte{} }

// readTar gives the samples of an archive without the first skip, whose members
// are passed over.
func (v *tarOptions) readTar(r io.Reader, skip int, add func([]byte, string) error) error {
	s := tarSample{passed: skip > 0}
	give := func() error {
		if s.hasImage && s.passed {
			skip--
			return nil
		}
		switch {
		case !s.hasImage && !s.hasLabel:
			return nil
		case !s.hasImage:
			if s.other != "" {
				return fmt.Errorf("%w: sample %q has no image by the ending of one, and a member .%s: image=ENDING takes such a one", loader.ErrBadData, s.key, s.other)
			}
			return fmt.Errorf("%w: sample %q has no image", loader.ErrBadData, s.key)
		case !s.hasLabel:
			return fmt.Errorf("%w: sample %q has no class: want a member .cls, .txt or .json, or label=ENDING; a tar of a folder for each class is unpacked, and read with folder:DIR", loader.ErrBadData, s.key)
		}
		if err := add(s.image, s.label); err != nil {
			return fmt.Errorf("sample %q: %w", s.key, err)
		}
		return nil
	}
	end := &ending{Reader: r}
	t := tar.NewReader(end)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if !end.whole() {
				return fmt.Errorf("%w: cut short: it has no end of an archive", loader.ErrBadData)
			}
			return give()
		}
		if err != nil {
			return tarError(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(filepath.FromSlash(h.Name)) {
			return fmt.Errorf("%w: member %q leads out of the archive", loader.ErrBadData, h.Name)
		}
		dir, base := path.Split(h.Name)
		stem, ending, dotted := strings.Cut(base, ".")
		if stem == "" || !dotted { // hidden files, and what has no ending
			continue
		}
		if key := dir + stem; key != s.key {
			if err := give(); err != nil {
				return err
			}
			s = tarSample{key: key, image: s.image, passed: skip > 0}
		}
		if err := v.member(&s, strings.ToLower(ending), h.Size, t); err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
	}
}

func tarError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", loader.ErrBadData)
	}
	if errors.Is(err, loader.ErrBadData) {
		return err
	}
	return fmt.Errorf("%w: %w", loader.ErrBadData, err)
}

// member takes the image or the class of a sample; other members are left alone.
func (v *tarOptions) member(s *tarSample, ending string, size int64, r io.Reader) error {
	switch {
	case v.isImage(ending):
		if s.hasImage {
			return fmt.Errorf("%w: a second image of the sample: image=%s or another ending says which is taken", loader.ErrBadData, ending)
		}
		if size < 1 || size > raster.MaxFileBytes {
			return fmt.Errorf("%w: %d bytes: want 1 to %d", loader.ErrBadData, size, raster.MaxFileBytes)
		}
		s.hasImage = true
		if s.passed {
			return nil
		}
		s.image = slices.Grow(s.image[:0], int(size))[:size]
		if _, err := io.ReadFull(r, s.image); err != nil {
			return tarError(err)
		}
	case v.isLabel(ending) && !s.hasLabel && !s.passed:
		if size > maxLabelBytes {
			return fmt.Errorf("%w: %d bytes of a class: want at most %d", loader.ErrBadData, size, maxLabelBytes)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return tarError(err)
		}
		if ending == "json" {
			s.label, s.hasLabel, err = v.fromJSON(text)
			return err
		}
		s.label = strings.TrimSpace(string(text))
		s.hasLabel = true
		if s.label == "" || !utf8.ValidString(s.label) {
			return fmt.Errorf("%w: the class is empty or not UTF-8", loader.ErrBadData)
		}
	case s.other == "":
		s.other = ending
	}
	return nil
}

func (v *tarOptions) isImage(ending string) bool {
	if v.image != "" {
		return ending == strings.ToLower(v.image)
	}
	return slices.Contains(imageEndings, "."+ending)
}

func (v *tarOptions) isLabel(ending string) bool {
	if v.label != "" {
		return ending == strings.ToLower(v.label)
	}
	return ending == "cls" || ending == "txt" || ending == "json"
}

func (v *tarOptions) fromJSON(text []byte) (label string, ok bool, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return "", false, fmt.Errorf("%w: no JSON object: %w", loader.ErrBadData, err)
	}
	fields := []string{"label", "class", "cls", "target"}
	if v.field != "" {
		fields = []string{v.field}
	}
	for _, name := range fields {
		if raw, ok := object[name]; ok {
			if label = jsonText(raw); label != "" && !strings.HasPrefix(label, listMark) {
				return label, true, nil
			}
		}
	}
	return "", false, fmt.Errorf("%w: no field %s with a name or a number; field=NAME gives another", loader.ErrBadData, strings.Join(fields, ", "))
}
