package bundle

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sort"

	"winnow/internal/elements"
	"winnow/onnx"
)

// maxHeader bounds the JSON header, as the format's reference reader does.
const maxHeader = 100 << 20

const metadataKey = "__metadata__"

var safeNames = map[onnx.DType]string{
	onnx.Float32: "F32", onnx.Float64: "F64", onnx.Float16: "F16", onnx.BFloat16: "BF16",
	onnx.Int8: "I8", onnx.Int16: "I16", onnx.Int32: "I32", onnx.Int64: "I64",
	onnx.Uint8: "U8", onnx.Uint16: "U16", onnx.Uint32: "U32", onnx.Uint64: "U64", onnx.Bool: "BOOL",
}

type safeEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func safeError(format string, args ...any) error {
	return fmt.Errorf("bundle: %w: %s", ErrSafetensors, fmt.Sprintf(format, args...))
}

// ReadSafetensors reads the tensors and the metadata of a safetensors file of
// the given size in bytes. Nothing is allocated that the file does not hold:
// the tensors must cover the data exactly, without overlap or holes.
func ReadSafetensors(r io.ReaderAt, size int64) (map[string]*onnx.Tensor, map[string]string, error) {
	return readSafetensors(r, size, nil)
}

// readSafetensors is ReadSafetensors of a file that may hold no more than want, if given.
// It reads from the start to the end, nothing twice.
func readSafetensors(r io.ReaderAt, size int64, want *expected) (map[string]*onnx.Tensor, map[string]string, error) {
	limit := int64(maxHeader)
	if want != nil {
		limit = want.maxHeader()
	}
	var lead [8]byte
	if size < 8 {
		return nil, nil, safeError("%d bytes, want a header", size)
	}
	if _, err := r.ReadAt(lead[:], 0); err != nil {
		return nil, nil, safeError("header length: %v", err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	if n > uint64(limit) || int64(n) > size-8 {
		return nil, nil, safeError("header of %d bytes in a file of %d, at most %d are wanted", n, size, limit)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, nil, safeError("header: %v", err)
	}
	entries, meta, err := parseHeader(header, want)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := entries[names[i]].Offsets, entries[names[j]].Offsets
		if a[0] != b[0] {
			return a[0] < b[0]
		}
		if a[1] != b[1] {
			return a[1] < b[1]
		}
		return names[i] < names[j]
	})
	base, at := 8+int64(n), int64(0)
	if want != nil && size-base > want.bytes {
		return nil, nil, safeError("%d bytes of data, the state has %d", size-base, want.bytes)
	}
	tensors := make(map[string]*onnx.Tensor, len(names))
	for _, name := range names {
		e := entries[name]
		dtype, bytes, err := e.check(size - base)
		if err != nil {
			return nil, nil, safeError("tensor %q: %v", name, err)
		}
		if e.Offsets[0] != at {
			return nil, nil, safeError("tensor %q starts at %d, want %d: tensors overlap or leave a hole", name, e.Offsets[0], at)
		}
		at = e.Offsets[1]
		t := &onnx.Tensor{DType: dtype, Dims: append([]int64{}, e.Shape...), Data: make([]byte, bytes)}
		if bytes > 0 {
			if k, err := r.ReadAt(t.Data, base+e.Offsets[0]); int64(k) < bytes {
				return nil, nil, safeError("tensor %q: %v", name, err)
			}
		}
		tensors[name] = t
	}
	if at != size-base {
		return nil, nil, safeError("%d bytes of data belong to no tensor", size-base-at)
	}
	return tensors, meta, nil
}

// check returns the type and the bytes of an entry that lies inside the data.
func (e *safeEntry) check(data int64) (onnx.DType, int64, error) {
	dtype := onnx.Undefined
	for d, s := range safeNames {
		if s == e.DType {
			dtype = d
		}
	}
	if dtype == onnx.Undefined {
		return dtype, 0, fmt.Errorf("element type %q is not supported", e.DType)
	}
	n, ok := elements.Count(e.Shape)
	if !ok {
		return dtype, 0, fmt.Errorf("shape %v", e.Shape)
	}
	want := n * int64(dtype.Size())
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin || end > data {
		return dtype, 0, fmt.Errorf("offsets %v outside the file's %d bytes of data", e.Offsets, data)
	}
	if end-begin != want {
		return dtype, 0, fmt.Errorf("%d bytes for shape %v of %s, want %d", end-begin, e.Shape, e.DType, want)
	}
	return dtype, want, nil
}

func parseHeader(header []byte, want *expected) (map[string]*safeEntry, map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, safeError("header is not a JSON object")
	}
	entries := map[string]*safeEntry{}
	var meta map[string]string
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, nil, safeError("header: %v", err)
		}
		if name == metadataKey {
			if err := dec.Decode(&meta); err != nil {
				return nil, nil, safeError("metadata: %v", err)
			}
			continue
		}
		if entries[name] != nil {
			return nil, nil, safeError("tensor %q appears twice", name)
		}
		if want != nil {
			if _, ok := want.state[name]; !ok {
				return nil, nil, safeError("tensor %q is no state", name)
			}
		}
		e := &safeEntry{}
		if err := dec.Decode(e); err != nil {
			return nil, nil, safeError("tensor %q: %v", name, err)
		}
		entries[name] = e
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, safeError("header: %v", err)
	}
	return entries, meta, nil
}

// WriteSafetensors writes tensors, widest elements first and then by name, so
// that the same content gives the same bytes and every tensor is aligned.
func WriteSafetensors(w io.Writer, tensors map[string]*onnx.Tensor, meta map[string]string) error {
	names := make([]string, 0, len(tensors))
	for name, t := range tensors {
		if name == metadataKey || safeNames[t.DType] == "" {
			return fmt.Errorf("bundle: tensor %q: element type %s cannot be written to safetensors", name, t.DType)
		}
		if len(t.Data) != t.Len()*t.DType.Size() {
			return fmt.Errorf("bundle: tensor %q: %d bytes for shape %v of %s", name, len(t.Data), t.Dims, t.DType)
		}
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := tensors[names[i]].DType.Size(), tensors[names[j]].DType.Size()
		if a != b {
			return a > b
		}
		return names[i] < names[j]
	})
	header := make(map[string]any, len(names)+1)
	if len(meta) > 0 {
		header[metadataKey] = meta
	}
	at := int64(0)
	for _, name := range names {
		t := tensors[name]
		end := at + int64(len(t.Data))
		header[name] = safeEntry{safeNames[t.DType], append([]int64{}, t.Dims...), [2]int64{at, end}}
		at = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("bundle: safetensors header: %w", err)
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return fmt.Errorf("bundle: writing safetensors: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("bundle: writing safetensors: %w", err)
	}
	for _, name := range names {
		if _, err := w.Write(tensors[name].Data); err != nil {
			return fmt.Errorf("bundle: writing tensor %q: %w", name, err)
		}
	}
	return nil
}
