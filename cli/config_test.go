package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"winnow/internal/option"
)

// FuzzConfig: a file is refused with an error that decides the exit code, or what
// --print-config makes of it comes back from it.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{"lr: 0.1\nseed: 18446744073709551615\nmean: [0.1, 0.2]\nhflip: 0.5\n", `{"bundle": "a\u0001b", "amp": true}`,
		"data: folder:\"a, b\"\ncuda-option: [a=b, c=d]\n", "epochs: 0x10\nlr: .5\ntf32: false\n", "std: 1e-3\nfreeze: '^a|b$'\n", "lr: .inf\n", "aug: null\n"} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	path, again := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "again.yaml")
	print := func(path string) (string, error) {
		var out bytes.Buffer
		err := Run(context.Background(), []string{"winnow", "train", "--print-config", "--config", path}, &out, &bytes.Buffer{})
		return out.String(), err
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		first, err := print(path)
		if err != nil {
			if !errors.Is(err, ErrUsage) && !errors.Is(err, ErrInput) && !errors.Is(err, option.ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := os.WriteFile(again, []byte(first), 0o666); err != nil {
			t.Fatal(err)
		}
		if second, err := print(again); err != nil || second != first {
			t.Errorf("%v: printed\n%s\nand from that\n%s", err, first, second)
		}
	})
}
