package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader/raster"
	"winnow/runtime/ortest"
)

// grey is a folder of JPEG files, two classes of n images each.
func grey(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for k, class := range []string{"dark", "light"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			m := image.NewGray(image.Rect(0, 0, 40, 36))
			for p := range m.Pix {
				m.SetGray(p%40, p/40, color.Gray{Y: byte(120*k + (p*(i+3))%90)})
			}
			var b bytes.Buffer
			if err := jpeg.Encode(&b, m, nil); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, class, fmt.Sprintf("%02d.jpg", i)), b.Bytes())
		}
	}
	return dir
}

// TestDecoder: what decodes JPEG is what was asked for, is said, and is recorded.
func TestDecoder(t *testing.T) {
	ortest.CPU(t, 1)
	data, out := "folder:"+grey(t, 6), filepath.Join(t.TempDir(), "run")
	without := func(args ...string) outcome {
		cmd := program(args...)
		cmd.Env = append(cmd.Env, raster.TurboVariable+"="+filepath.Join(t.TempDir(), "none.so"))
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		code := code(started(t, cmd))
		return outcome{code, stdout.String(), stderr.String()}
	}
	train := func(more ...string) []string {
		return append([]string{"train", "--bundle", "mlp", "--data", data, "--epochs", "1", "--device", "cpu", "--threads", "1", "--overwrite", "--out", out}, more...)
	}
	recorded := func(want string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(out, "summary.json"))
		if n := strings.Count(string(text), fmt.Sprintf(`"decoder": %q`, want)); err != nil || n != 2 {
			t.Errorf("%d times %s in summary.json, %v", n, want, err)
		}
	}

	without(train("--decoder", "turbo")...).fails(t, exitRuntime, "--decoder turbo", "none.so", "libturbojpeg0", raster.TurboVariable)
	winnow(t, train("--decoder", "libjpeg")...).fails(t, exitUsage, "--decoder", "auto")
	o := without(train()...).succeeds(t)
	if !strings.Contains(o.stdout+o.stderr, "Go's decoder") {
		t.Errorf("it is not said that Go's decoder is taken: %s", o.stderr)
	}
	recorded("go")
	if o := without("doctor", "--device", "cpu").succeeds(t); !strings.Contains(o.stdout, "Go's decoder") || !strings.Contains(o.stdout, "none.so") {
		t.Errorf("doctor: %s", o.stdout)
	}

	if _, err := raster.NewDecoder(raster.TurboDecoder); err != nil {
		t.Skip(err)
	}
	winnow(t, train()...).succeeds(t)
	recorded("turbo")
	winnow(t, "eval", out, "--device", "cpu").succeeds(t)
	if o := without("eval", out, "--device", "cpu").succeeds(t); !strings.Contains(o.stderr, "Go's decoder") {
		t.Errorf("it is not said that the run's decoder is missing: %s", o.stderr)
	}
	if o := winnow(t, "doctor", "--device", "cpu").succeeds(t); !strings.Contains(o.stdout, "libturbojpeg, /") {
		t.Errorf("doctor: %s", o.stdout)
	}
}
