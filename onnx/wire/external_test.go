package wire

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/onnxpb"
)

// Weights that Python's onnx package put into another file.
func TestReadExternal(t *testing.T) {
	m, err := Read("testdata/external/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"w": 12, "b": 4} {
		v := m.Graph.Initializers[name].Float32s()
		if len(v) != n {
			t.Fatalf("%s: %d elements", name, len(v))
		}
		for i := range v {
			if v[i] != float32(i) {
				t.Errorf("%s[%d] = %v", name, i, v[i])
			}
		}
	}
}

// outside makes a model whose weight lies in a file, and says how.
func outside(entries ...string) *onnxpb.ModelProto {
	pb := tiny()
	w := pb.Graph.Initializer[0]
	w.FloatData, w.DataLocation = nil, onnxpb.TensorProto_EXTERNAL
	for i := 0; i < len(entries); i += 2 {
		w.ExternalData = append(w.ExternalData, &onnxpb.StringStringEntryProto{Key: entries[i], Value: entries[i+1]})
	}
	return pb
}

func TestExternalStaysInside(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	for path, size := range map[string]int{"model/w.bin": 16, "model/sub/w.bin": 8, "secret.bin": 16} {
		path = filepath.Join(parent, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	links := runtime.GOOS != "windows"
	if links {
		for link, target := range map[string]string{
			"model/inside": "w.bin", "model/out": "../secret.bin", "model/abs": filepath.Join(parent, "secret.bin"), "model/up": "..",
		} {
			if err := os.Symlink(target, filepath.Join(parent, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		entries []string
		ok      bool
		link    bool
	}{
		{entries: []string{"location", "w.bin"}, ok: true},
		{entries: []string{"location", "w.bin", "offset", "8", "length", "8", "checksum", "x"}, ok: true},
		{entries: []string{"location", "sub/w.bin"}, ok: true},
		{entries: []string{"location", "./sub/../w.bin"}, ok: true},
		{entries: []string{"location", "inside"}, ok: true, link: true},
		{entries: []string{"location", "out"}, link: true},
		{entries: []string{"location", "abs"}, link: true},
		{entries: []string{"location", "up/secret.bin"}, link: true},
		{entries: []string{"location", "../secret.bin"}},
		{entries: []string{"location", "sub/../../secret.bin"}},
		{entries: []string{"location", filepath.Join(parent, "secret.bin")}},
		{entries: []string{"location", "none.bin"}},
		{entries: []string{"location", "sub"}},
		{entries: []string{"location", ""}},
		{entries: []string{"offset", "0"}},
		{entries: []string{"location", "w.bin", "offset", "12"}},
		{entries: []string{"location", "w.bin", "offset", "-4"}},
		{entries: []string{"location", "w.bin", "offset", "9223372036854775807"}},
		{entries: []string{"location", "w.bin", "offset", "x"}},
		{entries: []string{"location", "w.bin", "length", "4"}},
		{entries: []string{"location", "w.bin", "length", "-8"}},
	}
	for _, test := range tests {
		if test.link && !links {
			continue
		}
		t.Run(strings.Join(test.entries, " "), func(t *testing.T) {
			_, err := Decode(encodeProto(t, outside(test.entries...)), dir)
			if test.ok && err != nil {
				t.Error(err)
			}
			if !test.ok && !errors.Is(err, onnx.ErrExternal) {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), `initializer "w"`) {
				t.Errorf("the initializer is not named: %v", err)
			}
		})
	}
}

// A claim is compared with the file before anything is allocated for it.
func TestExternalClaims(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 16), 0o644); err != nil {
		t.Fatal(err)
	}
	pb := outside("location", "w.bin", "offset", "-4")
	if _, err := Decode(encodeProto(t, pb), dir); err == nil || !strings.Contains(err.Error(), "has 16 bytes") {
		t.Errorf("a negative offset: got %v", err)
	}
	for _, offset := range []string{"0", "-4", "17", "9223372036854775807", "-9223372036854775808"} {
		pb := outside("location", "w.bin", "offset", offset)
		pb.Graph.Initializer[0].Dims = []int64{1 << 40}
		if _, err := Decode(encodeProto(t, pb), dir); !errors.Is(err, onnx.ErrExternal) || !strings.Contains(err.Error(), "has 16 bytes") {
			t.Errorf("offset %s: got %v", offset, err)
		}
	}
}

// One range named by many tensors must not multiply what a file can make us allocate.
func TestExternalBoundsRepeats(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	pb := outside("location", "w.bin")
	pb.Graph.Initializer[0].Dims = []int64{1 << 18}
	for i := range 20 {
		w := outside("location", "w.bin").Graph.Initializer[0]
		w.Name, w.Dims = "w"+strconv.Itoa(i), []int64{1 << 18}
		pb.Graph.Initializer = append(pb.Graph.Initializer, w)
	}
	if _, err := Decode(encodeProto(t, pb), dir); !errors.Is(err, onnx.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	pb.Graph.Initializer = pb.Graph.Initializer[:2] // shared weights are fine
	if _, err := Decode(encodeProto(t, pb), dir); err != nil {
		t.Error(err)
	}
}
