//go:build cudalibraries

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// With the provider and CUDA's libraries in place but no GPU in sight, the
// reason is the driver or the device, in one line. The libraries are a
// gigabyte: `make test-no-gpu` fetches them and names the folders.
func TestMissingGPUIsTheReason(t *testing.T) {
	cache, libraries := os.Getenv("WINNOW_TEST_CUDA_CACHE"), os.Getenv("WINNOW_TEST_CUDA_LIBRARIES")
	if cache == "" || libraries == "" {
		t.Fatal("set WINNOW_TEST_CUDA_CACHE to an XDG_CACHE_HOME after make setup-cuda, WINNOW_TEST_CUDA_LIBRARIES to CUDA's lib folders, or run make test-no-gpu")
	}
	for _, args := range [][]string{
		{"doctor", "--device", "cuda"},
		{"train", "--bundle", "mlp", "--device", "cuda", "--out", filepath.Join(t.TempDir(), "run")},
	} {
		cmd := program(args...)
		cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+cache, "LD_LIBRARY_PATH="+libraries, "CUDA_VISIBLE_DEVICES=-1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil {
			t.Fatalf("%v: a device was found", args)
		}
		o := outcome{cmd.ProcessState.ExitCode(), "", stderr.String()}
		o.fails(t, exitRuntime, "cuda")
		if !strings.Contains(o.stderr, "no NVIDIA driver: ") && !strings.Contains(o.stderr, "no CUDA device") {
			t.Errorf("%v: %s", args, o.stderr)
		}
	}
}
