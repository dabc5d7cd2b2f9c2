package bundle

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"winnow/internal/files"
	"winnow/onnx/wire"
)

var parts = []string{ManifestFile, TrainFile, EvalFile, WeightsFile, ForwardFile}

// saved writes the tiny bundle, with a forward graph, to a new folder.
func saved(t *testing.T) string {
	t.Helper()
	b := tiny(t)
	b.Forward = b.Eval
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A pipe in place of a file must not be waited for.
func TestPipesAreRefused(t *testing.T) {
	for _, name := range parts {
		dir := saved(t)
		path := filepath.Join(dir, name)
		if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPath(dir); !errors.Is(err, ErrInvalid) || !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	pipe := filepath.Join(t.TempDir(), "b.zip")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPath(pipe); !errors.Is(err, ErrNotBundle) || !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("pipe as archive: %v", err)
	}
}

func TestMissingFilesAreNamed(t *testing.T) {
	for _, name := range []string{TrainFile, EvalFile, WeightsFile} {
		dir := saved(t)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		_, err := OpenPath(dir)
		if want := `bundle "` + dir + `" lacks ` + name; err == nil || err.Error() != want || !errors.Is(err, ErrInvalid) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestLinksOutOfTheFolder(t *testing.T) {
	for _, name := range []string{TrainFile, EvalFile, WeightsFile, ForwardFile} {
		dir := saved(t)
		path, outside := filepath.Join(dir, name), filepath.Join(t.TempDir(), name)
		if err := errors.Join(os.Rename(path, outside), os.Symlink(outside, path)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPath(dir); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bomb packs the tiny bundle with one file of n zeros after a start.
func bomb(t *testing.T, name string, start []byte, n int64) string {
	t.Helper()
	dir := saved(t)
	path := filepath.Join(t.TempDir(), "b.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, part := range parts {
		data, err := os.ReadFile(filepath.Join(dir, part))
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(part)
		if err != nil {
			t.Fatal(err)
		}
		if part != name {
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			continue
		}
		zeros := make([]byte, 1<<20)
		for _, err = w.Write(start); err == nil && n > 0; n -= int64(len(zeros)) {
			_, err = w.Write(zeros)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Memory follows what a valid bundle needs, not what an archive promises.
func TestArchivesThatInflate(t *testing.T) {
	for what, path := range map[string]string{
		"weights of zeros":       bomb(t, WeightsFile, nil, 100<<20),
		"a long header":          bomb(t, WeightsFile, []byte{0, 0, 0, 5, 0, 0, 0, 0, '{'}, 90<<20),
		"a graph of zeros":       bomb(t, TrainFile, nil, 100<<20),
		"one that starts as one": bomb(t, EvalFile, []byte{8, 8}, 100<<20),
		"a manifest of zeros":    bomb(t, ManifestFile, nil, 5<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := OpenPath(path)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrSafetensors) && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s: %d MiB for a bundle of a few KiB (%v)", what, took>>20, err)
		}
	}
}

// The sum that an archive keeps of its weights is checked.
func TestADamagedArchive(t *testing.T) {
	path := bomb(t, "", nil, 0)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if at, err := f.DataOffset(); err != nil || f.Name != WeightsFile {
			continue
		} else {
			data[at+int64(f.CompressedSize64)+4] ^= 1 // the sum in the record behind the data
			for i := int(at) + int(f.CompressedSize64); i+4 < len(data); i++ {
				if string(data[i:i+4]) == "PK\x01\x02" && strings.HasPrefix(string(data[i+46:]), WeightsFile) {
					data[i+16] ^= 1
				}
			}
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPath(path); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), WeightsFile) {
		t.Errorf("got %v", err)
	}
}

// Of two graphs beside each other, the broken one is named.
func TestDanglingInputsAreNamedWithTheirFile(t *testing.T) {
	for _, file := range []string{TrainFile, BlockedFile, EvalFile, ForwardFile} {
		b := tiny(t)
		b.Manifest.Blocked = &Blocked{Block: 8}
		b.Blocked, b.Forward = b.Train, b.Eval
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		graph := map[string]*[]byte{TrainFile: &b.Train, BlockedFile: &b.Blocked, EvalFile: &b.Eval, ForwardFile: &b.Forward}[file]
		m, err := wire.Decode(*graph, "")
		if err != nil {
			t.Fatal(err)
		}
		m.Graph.Nodes[2].Inputs[0] = "gone"
		*graph = encode(t, m.Graph)
		err = b.Validate()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), file+`: opset: node "fc" (MatMul): input "gone": nothing produces it`) {
			t.Errorf("%s: %v", file, err)
		}
		for _, other := range []string{TrainFile, BlockedFile, EvalFile, ForwardFile} {
			if other != file && strings.Contains(err.Error(), other) {
				t.Errorf("%s: %s is named too: %v", file, other, err)
			}
		}
		m.Graph.Nodes[2].Inputs[0] = "f"
		m.Graph.Nodes[2].Inputs[1] = "images"
		*graph = encode(t, m.Graph)
		if err := b.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s with shapes that contradict: %v", file, err)
		}
	}
}
