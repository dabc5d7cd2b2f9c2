package onnx

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// readGood reads and checks a model of testdata.
func readGood(t *testing.T, path string) *Model {
	t.Helper()
	m, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The golden files are as good as their originals: testdata/gen.py --verify
// runs both and compares.
func TestGolden(t *testing.T) {
	paths, _ := filepath.Glob("testdata/convert/*.onnx")
	inline, _ := filepath.Glob("testdata/inline/*.onnx")
	tested := 0
	for _, path := range append(paths, inline...) {
		if strings.HasSuffix(path, ".want.onnx") {
			continue
		}
		tested++
		t.Run(filepath.Base(path), func(t *testing.T) {
			m := readGood(t, path)
			if err := Inline(m); err != nil {
				t.Fatal(err)
			}
			if err := ToOpset18(m); err != nil {
				t.Fatal(err)
			}
			if err := Check(m); err != nil {
				t.Fatal(err)
			}
			got, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".onnx") + ".want.onnx"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("not what %s holds", golden)
			}
		})
	}
	if tested < 50 {
		t.Errorf("only %d models found", tested)
	}
}

func TestToOpset18ListsEveryNode(t *testing.T) {
	m := readGood(t, "testdata/refused/newer.onnx")
	before, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	err = ToOpset18(m)
	if !errors.Is(err, ErrUnsupported) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"wrapped" (Pad)`, `"dilated" (AveragePool)`, `"rms" (RMSNormalization)`,
		`"symmetric" (Resize)`, `"grid" (GridSample)`, `"tiny" (Cast)`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "fine") {
		t.Errorf("a convertible node is named in:\n%v", err)
	}
	if after, err := m.Encode(); err != nil || !bytes.Equal(before, after) {
		t.Error("the model was changed")
	}
}
