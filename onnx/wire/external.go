package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"winnow/internal/files"
	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

// Limits of weights kept outside the model: in total, and against a model
// that names one range many times.
const (
	maxExternalBytes  = 16 << 30
	externalPerStored = 4
)

// external reads weights from the files of one folder and below. Paths and
// links that lead out of it are refused, by os.Root.
type external struct {
	dir    string
	root   *os.Root
	files  map[string]*os.File
	sizes  map[string]int64
	stored int64 // bytes of the files opened
	read   int64 // bytes handed out
}

func newExternal(dir string) *external {
	return &external{dir: dir, files: map[string]*os.File{}, sizes: map[string]int64{}}
}

// Close closes the files opened.
func (e *external) Close() error {
	for _, f := range e.files {
		_ = f.Close() // only read
	}
	if e.root != nil {
		return e.root.Close()
	}
	return nil
}

func (e *external) open(location string) (*os.File, int64, error) {
	if e.dir == "" {
		return nil, 0, fmt.Errorf("elements kept in file %q, which a model without a folder cannot have: %w", location, onnx.ErrExternal)
	}
	if f, ok := e.files[location]; ok {
		return f, e.sizes[location], nil
	}
	if e.root == nil {
		root, err := os.OpenRoot(e.dir)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", onnx.ErrExternal, err)
		}
		e.root = root
	}
	name := filepath.FromSlash(location)
	f, size, err := files.OpenIn(e.root, name)
	if errors.Is(err, files.ErrNotRegular) {
		return nil, 0, fmt.Errorf("file %q is %w: %w", location, err, onnx.ErrExternal)
	} else if err != nil {
		return nil, 0, fmt.Errorf("file %q: %w: %w", location, onnx.ErrExternal, err)
	}
	e.files[location], e.sizes[location] = f, size
	e.stored += size
	return f, size, nil
}

// load reads size bytes at an offset.
func (e *external) load(location string, offset, size int64) ([]byte, error) {
	f, have, err := e.open(location)
	if err != nil {
		return nil, err
	}
	if offset < 0 || size < 0 || offset > have || size > have-offset {
		return nil, fmt.Errorf("file %q has %d bytes, wanted are %d at %d: %w", location, have, size, offset, onnx.ErrExternal)
	}
	if e.read += size; e.read > maxExternalBytes || e.read > externalPerStored*e.stored {
		return nil, fmt.Errorf("external weights of over %d bytes, or far more than their files hold: %w", int64(maxExternalBytes), onnx.ErrTooLarge)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, offset, size), data); err != nil {
		return nil, fmt.Errorf("file %q: %w: %w", location, onnx.ErrExternal, err)
	}
	return data, nil
}

func (d *decoder) externalTensor(what string, t *onnx.Tensor, n int64, entries []*onnxpb.StringStringEntryProto) {
	size := int64(t.DType.Size())
	if size == 0 {
		d.fail(onnx.ErrUnsupported, "%s: external elements of type %s", what, t.DType)
		return
	}
	var location string
	offset, length := int64(0), n*size
	for _, e := range entries {
		var err error
		switch e.Key {
		case "location":
			location = e.Value
		case "offset":
			offset, err = strconv.ParseInt(e.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.Value, 10, 64)
		}
		if err != nil {
			d.fail(onnx.ErrExternal, "%s: %s %q is no number", what, e.Key, e.Value)
			return
		}
	}
	if length != n*size {
		d.fail(onnx.ErrExternal, "%s: %d bytes for %d elements of %s, shape %v", what, length, n, t.DType, t.Dims)
		return
	}
	data, err := d.external.load(location, offset, length)
	if err != nil {
		d.fail(err, "%s", what)
		return
	}
	t.Data = data
}
