package datasets

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"winnow/loader"
)

// maxTensorHeader bounds the header of a safetensors file; the format's own
// readers take no more than 100 MB.
const maxTensorHeader = 16 << 20

// maxTensors bounds the tensors of a file.
const maxTensors = 1 << 16

// tensorTypes are the types of the format (github.com/huggingface/safetensors)
// as NumPy names them.
var tensorTypes = map[string]string{"BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
	"U64": "<u8", "I64": "<i8", "F32": "<f4", "F64": "<f8"}

// tensorEntry is a tensor as the header has it.
type tensorEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// tensorFile is a safetensors file, whose tensors are arrays in place.
type tensorFile struct {
	path    string
	size    int64
	base    int64 // of the tensors' bytes
	entries map[string]tensorEntry
}

var _ arrays = (*tensorFile)(nil)

func safetensorsFormat() *format {
	return newFormat(format{
		info: Info{Name: "safetensors", Example: "safetensors:FILE,targets=boxes", About: "tensors in one file, read in place, with the names of npz: images and labels, or train_images, train_labels ..."},
		path: needsPath, sniff: sniffTensors,
	}, arrayRows, func(s *spec, v *arrayOptions, o Options) (*Dataset, error) {
		a, err := openTensors(s.path)
		return openArrays(s, v, o, a, err)
	})
}

func sniffTensors(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && strings.HasSuffix(strings.ToLower(path), ".safetensors")
}

// openTensors reads and checks the header.
func openTensors(path string) (*tensorFile, error) {
	b, size, err := openBlob(path)
	if err != nil {
		return nil, err
	}
	f := &tensorFile{path: path, size: size}
	return f, errors.Join(f.readHeader(&blobReader{&b, size}), b.close())
}

func (f *tensorFile) readHeader(r *blobReader) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: no safetensors file: %s", loader.ErrBadData, fmt.Sprintf(format, args...))
	}
	var lead [8]byte
	if n, err := r.ReadAt(lead[:], 0); n < len(lead) {
		return bad("%d bytes (%v)", n, err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	if n > maxTensorHeader || int64(n) > f.size-8 {
		return bad("a header of %d bytes in %d", n, f.size)
	}
	text := make([]byte, n)
	if k, err := r.ReadAt(text, 8); k < len(text) {
		return bad("%v", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return bad("header: %v", err)
	}
	delete(raw, "__metadata__")
	if len(raw) > maxTensors {
		return bad("%d tensors, want at most %d", len(raw), maxTensors)
	}
	f.base, f.entries = 8+int64(n), map[string]tensorEntry{}
	for name, text := range raw {
		var e tensorEntry
		if err := json.Unmarshal(text, &e); err != nil {
			return bad("tensor %.60q: %v", name, err)
		}
		f.entries[name] = e
	}
	return nil
}

func (f *tensorFile) names() []string { return slices.Sorted(maps.Keys(f.entries)) }

func (f *tensorFile) Close() error { return nil }

// load maps the file anew for each tensor, which then lives by itself.
func (f *tensorFile) load(name string) (*array, error) {
	a, err := f.find(name)
	if err != nil {
		return nil, err
	}
	b, size, err := openBlob(f.path)
	if err != nil {
		return nil, err
	}
	if size != f.size {
		return nil, errors.Join(fmt.Errorf("%w: the file changed while it was in use", loader.ErrBadData), b.close())
	}
	a.blob = b
	return a, nil
}

// find is a tensor whose place lies within the file, without its bytes.
func (f *tensorFile) find(name string) (*array, error) {
	e, ok := f.entries[name]
	if !ok {
		return nil, fmt.Errorf("%w: there is none; there are %s", loader.ErrBadData, nameList(f.names()))
	}
	a := &array{dtype: tensorTypes[e.DType], start: f.base + e.Offsets[0]}
	if a.dtype == "" {
		return nil, fmt.Errorf("%w: elements of type %.20q: want whole numbers, F32 or F64", loader.ErrBadData, e.DType)
	}
	elements := int64(1)
	for _, d := range e.Shape {
		if d < 0 || d > 0 && elements > math.MaxInt64/16/d {
			return nil, fmt.Errorf("%w: shape %v", loader.ErrBadData, e.Shape)
		}
		elements *= d
		a.shape = append(a.shape, int(d))
	}
	want, left := elements*int64(a.dtype[2]-'0'), f.size-f.base
	if len(a.shape) == 0 || elements == 0 || e.Offsets[0] < 0 || e.Offsets[1] > left || e.Offsets[1]-e.Offsets[0] != want {
		return nil, fmt.Errorf("%w: shape %v of %s is %d bytes, at %v of %d", loader.ErrBadData, e.Shape, e.DType, want, e.Offsets, left)
	}
	return a, nil
}
