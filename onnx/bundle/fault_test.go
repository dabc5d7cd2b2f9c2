package bundle

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"winnow/internal/atomicfile/faults"
	"winnow/onnx"
)

// Whatever goes wrong at whatever operation of the disk while a bundle is
// written, the old one is there, whole, or the new one, or none where none was;
// what was saved without an error is there; and the next export succeeds.
func TestFaults(t *testing.T) {
	base, err := os.MkdirTemp("/dev/shm", "winnow-test-*")
	if err != nil {
		base = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	old, now := tiny(t), tiny(t)
	old.Manifest.Name, now.Manifest.Name = "old", "new"
	now.Manifest.Weights = "other.safetensors" // the old weights have to go
	now.Init = map[string]*onnx.Tensor{"weight": onnx.FromFloat32([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 4, 3)}
	points, kept, none := 0, 0, 0
	for _, over := range []bool{false, true} {
		start := func() (string, *faults.Disk) {
			points++
			dir := filepath.Join(base, fmt.Sprint(points), "bundle")
			if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
				t.Fatal(err)
			}
			if over {
				if err := old.save(quiet(t, dir), dir); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "mine.txt"), "stays")
			}
			return dir, quiet(t, dir)
		}
		dir, d := start()
		was := folder(t, dir)
		if err := now.save(d, dir); err != nil {
			t.Fatal(err)
		}
		end := folder(t, dir)
		ops := d.Ops
		if ops < 30 {
			t.Fatalf("%d operations", ops)
		}
		for _, kind := range faults.Kinds() {
			for at := 1; at <= ops; at++ {
				what := fmt.Sprintf("%s at operation %d, over an old bundle: %v", kind, at, over)
				dir, d := start()
				d.Kind, d.At = kind, at
				saveErr := now.save(d, dir)
				if !d.Fired {
					t.Fatalf("%s: it did not come to that", what)
				}
				if err := d.Restart(); err != nil {
					t.Fatal(err)
				}
				b, err := OpenPath(dir)
				switch {
				case err == nil && b.Manifest.Name == "new":
				case saveErr == nil:
					t.Fatalf("%s: saved, and then: %v", what, err)
				case err == nil && over:
					kept++
					for path, data := range was {
						if got := folder(t, dir)[path]; got != data {
							t.Fatalf("%s: %s of the old bundle is %.40q, was %.40q", what, path, got, data)
						}
					}
				case err != nil && !over:
					none++
				default:
					t.Fatalf("%s: %+v, %v", what, b, err)
				}
				if err == nil {
					if err := b.Validate(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
				}
				if err := now.save(quiet(t, dir), dir); err != nil {
					t.Fatalf("%s: again: %v", what, err)
				}
				if got := folder(t, dir); !maps.Equal(got, end) {
					t.Fatalf("%s: again: %v, want %v", what, got, end)
				}
				if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("%d faults; the old bundle was there after %d of them, and none where none was after %d", points, kept, none)
}

// quiet is the disk under a bundle's folder, on which nothing goes wrong yet.
func quiet(t *testing.T, dir string) *faults.Disk {
	t.Helper()
	d, err := faults.New(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// folder is what is in a folder, by name.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			data = []byte(err.Error())
		}
		all[e.Name()] = string(data)
	}
	return all
}
