package datasets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
)

func writeTensorsCase(t *testing.T, dir string) string {
	path := filepath.Join(dir, "set.safetensors")
	copyFile(t, "testdata/arrays.safetensors", path)
	return ":" + path
}

// Targets of a file that the format's own library wrote, by the formulas of arrays.py.
func TestTensorTargets(t *testing.T) {
	d := open(t, "safetensors:testdata/arrays.safetensors,targets=boxes+mask+counts")
	for _, split := range []struct {
		r    loader.Records
		n    int
		sign float32
	}{{d.Train, 12, 1}, {d.Test, 4, -1}} {
		r := split.r.(loader.Targeted)
		if r.Len() != split.n {
			t.Fatalf("%d samples", r.Len())
		}
		var kinds []string
		for _, s := range r.Targets() {
			kinds = append(kinds, s.Kind.String()+" "+s.Type.String())
		}
		if got := strings.Join(kinds, ", "); got != "class int64, tensor float32, mask uint8, tensor int32" {
			t.Fatalf("targets %s", got)
		}
		var x loader.Record
		for i := range uint32(split.n) {
			if err := r.ReadTarget(i, 1, &x); err != nil {
				t.Fatal(err)
			}
			for k := range uint32(6) {
				if got := math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*k:])); got != split.sign*float32(6*i+k) {
					t.Fatalf("sample %d: box number %d is %v", i, k, got)
				}
			}
			if err := r.ReadTarget(i, 2, &x); err != nil {
				t.Fatal(err)
			}
			want := arrayImage(int(i), 1)
			for k := range want {
				want[k] %= 4
			}
			if !bytes.Equal(x.Data, want) {
				t.Fatalf("sample %d: mask %v, want %v", i, x.Data, want)
			}
			if err := r.ReadTarget(i, 3, &x); err != nil {
				t.Fatal(err)
			}
			if got := binary.LittleEndian.Uint32(x.Data); split.n == 12 && got != 7*i {
				t.Fatalf("sample %d: count %d", i, got)
			}
		}
	}
	refused(t, "safetensors:testdata/arrays.safetensors,targets=half", loader.ErrBadData, `array "train_half"`)
	refused(t, "safetensors:testdata/arrays.safetensors,images=half,labels=train_labels", loader.ErrBadData, `elements of type "F16"`)
	refused(t, "safetensors:testdata/medmnist.npz", loader.ErrBadData, "no safetensors file")
}

// What a header says is held against the file before anything is made of it.
func TestTensorsThatLie(t *testing.T) {
	for header, want := range map[string]string{
		`{"images":{"dtype":"U8","shape":[2,4,4],"data_offsets":[0,16]}}`:                   "is 32 bytes",
		`{"images":{"dtype":"U8","shape":[2,4,4],"data_offsets":[32,64]}}`:                  "of 32",
		`{"images":{"dtype":"U8","shape":[2,4,4],"data_offsets":[-1,31]}}`:                  "is 32 bytes",
		`{"images":{"dtype":"U8","shape":[2,9223372036854775807,4],"data_offsets":[0,32]}}`: "shape",
		`{"images":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`:                         "shape []",
		`{"images":{"dtype":"X","shape":[2,4,4],"data_offsets":[0,32]}}`:                    `type "X"`,
		`{"images":7}`: "tensor",
		`[1]`:          "header",
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		if err := os.WriteFile(path, append(data, make([]byte, 32)...), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, "safetensors:"+path+",images=images,targets=images", loader.ErrBadData, want)
	}
}

func FuzzTensors(f *testing.F) {
	data, err := os.ReadFile("testdata/arrays.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(binary.LittleEndian.AppendUint64(nil, math.MaxUint64))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := blob{data: data}
		file := &tensorFile{size: int64(len(data))}
		if err := file.readHeader(&blobReader{&b, file.size}); err != nil {
			if !errors.Is(err, loader.ErrBadData) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, name := range file.names() {
			a, err := file.find(name)
			if err != nil {
				if !errors.Is(err, loader.ErrBadData) {
					t.Errorf("%q", err)
				}
				continue
			}
			a.blob = b
			if err := a.each(func(int, float64) error { return nil }); err != nil {
				t.Errorf("%q", err)
			}
		}
	})
}
