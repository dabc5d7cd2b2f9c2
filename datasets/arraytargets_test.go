package datasets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"winnow/loader"
)

// held are arrays in memory: images of 2x3 that are in order, and what a file
// says the targets are, an array or all tensors.
type held struct {
	data  []byte
	file  *tensorFile // nil for an array
	other []string
}

func (h *held) Close() error { return nil }

func (h *held) names() []string { return append([]string{"images"}, h.other...) }

func (h *held) load(name string) (*array, error) {
	if name == "images" {
		return &array{dtype: "|u1", shape: []int{4, 2, 3}, blob: blob{data: make([]byte, 24)}}, nil
	}
	if h.file != nil {
		a, err := h.file.find(name)
		if err == nil {
			a.blob = blob{data: h.data}
		}
		return a, err
	}
	a, err := parseNpy(bytes.NewReader(h.data), int64(len(h.data)))
	if err == nil {
		a.blob = blob{data: h.data}
	}
	return a, err
}

// Targets that any file of NumPy's or of safetensors has are refused as bad
// data, or can be read, each of the size that its kind says.
func FuzzArrayTargets(f *testing.F) {
	f.Add([]byte("\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2), }" + strings.Repeat(" ", 62) + "\n" + strings.Repeat("\x00\x00\x80\x3f", 8)))
	f.Add([]byte("\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (4, 2, 3), }" + strings.Repeat(" ", 59) + "\n" + strings.Repeat("\x01", 24)))
	for _, header := range []string{
		`{"a":{"dtype":"F32","shape":[4,2],"data_offsets":[0,32]},"b":{"dtype":"U8","shape":[4,2,3],"data_offsets":[32,56]}}`,
		`{"labels":{"dtype":"I64","shape":[4],"data_offsets":[0,32]},"x":{"dtype":"I32","shape":[4,1,1,2],"data_offsets":[24,56]}}`,
		`{"x":{"dtype":"F64","shape":[4],"data_offsets":[24,56]},"y":{"dtype":"BOOL","shape":[4,14],"data_offsets":[0,56]}}`,
	} {
		f.Add(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+strings.Repeat("\x00", 56)...))
	}
	data, err := os.ReadFile("testdata/arrays.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &held{data: data, other: []string{"targets"}}
		if !bytes.HasPrefix(data, []byte("\x93NUMPY")) {
			b := blob{data: data}
			h.file = &tensorFile{size: int64(len(data))}
			if h.file.readHeader(&blobReader{&b, h.file.size}) != nil || len(h.file.entries) > 16 {
				return
			}
			h.other = h.file.names()
		}
		if err := readTargets(h); err != nil && (!errors.Is(err, loader.ErrBadData) || strings.Contains(err.Error(), "\n")) {
			t.Error(err)
		}
	})
}

// readTargets opens a set whose targets are all that there are but images and
// labels, and reads each of each sample.
func readTargets(h *held) error {
	var targets []string
	for _, name := range h.other {
		if name != "images" && name != "labels" && !strings.Contains(name, "+") {
			targets = append(targets, name)
		}
	}
	if len(targets) == 0 {
		return nil
	}
	d := &Dataset{}
	err := d.fromArrays(h, &spec{name: "npz"}, &arrayOptions{layout: "auto", images: "images", labels: "labels", targets: strings.Join(targets, "+"), val: 0.5}, Options{})
	if err != nil {
		return errors.Join(err, d.Close())
	}
	defer d.Close()
	for _, records := range []loader.Records{d.Train, d.Test} {
		r := records.(loader.Targeted)
		var x loader.Record
		for i := range uint32(r.Len()) {
			for k, s := range r.Targets() {
				if s.Kind == loader.ClassTarget {
					continue
				}
				if err := r.ReadTarget(i, k, &x); err != nil {
					return fmt.Errorf("sample %d, %v: read of a set that was opened: %w", i, s, err)
				}
				if len(x.Data) != s.Size() && s.Kind != loader.MaskTarget {
					return fmt.Errorf("sample %d, %v: %d bytes", i, s, len(x.Data))
				}
				for j := 0; s.Type == loader.Float32 && j < s.Count(); j++ {
					if v := math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*j:])); math.IsNaN(float64(v)) {
						return fmt.Errorf("sample %d, %v: number %d is %v", i, s, j, v)
					}
				}
			}
		}
	}
	return nil
}
