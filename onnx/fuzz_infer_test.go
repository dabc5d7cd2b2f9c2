package onnx

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzInferFold: no graph, checked or not, makes inference or folding panic or
// grow without bound, and a graph that was sound stays sound when folded.
func FuzzInferFold(f *testing.F) {
	for i, c := range inferCases(f) {
		if i%3 == 0 || c.Content != nil {
			f.Add(c.Model)
		}
	}
	paths, _ := filepath.Glob("testdata/*/*.onnx")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(gunzip(f, "vit.onnx.gz"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, "")
		if err != nil {
			return
		}
		sound := Check(m) == nil && Inline(m) == nil && ToOpset18(m) == nil && Check(m) == nil
		_, wrong := Infer(m)
		if err := Fold(m, FoldOptions{}); err != nil || wrong != nil {
			return
		}
		if sound && len(m.Graph.Nodes) > 0 {
			if err := Check(m); err != nil {
				t.Errorf("folded, and not sound any more: %v", err)
			}
		}
		if _, err := Infer(m); err != nil {
			t.Errorf("folded, and shapes contradict: %v", err)
		}
	})
}
