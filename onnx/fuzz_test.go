package onnx

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzDecode: no input makes the reader, the checker or a conversion panic,
// and what was read can be written and read again.
func FuzzDecode(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*/*.onnx")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(encodeProto(f, outside("location", "../w.bin", "offset", "-1")))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, dir)
		if err != nil {
			return
		}
		bytes, err := m.Encode()
		if err != nil {
			return
		}
		if _, err := Decode(bytes, ""); err != nil {
			t.Errorf("written, and not read again: %v", err)
		}
		sound := Check(m) == nil
		if Inline(m) != nil || ToOpset18(m) != nil {
			return
		}
		if err := Check(m); sound && err != nil {
			t.Errorf("sound before it was converted, and then: %v", err)
		}
	})
}
