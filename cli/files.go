package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"winnow/internal/atomicfile"
	"winnow/internal/files"
	"winnow/onnx/bundle"
)

// freeBundle refuses a folder that a bundle cannot be written to: one that holds
// the source model, other files and no bundle, or, without overwrite, a bundle.
func freeBundle(dir, source string, overwrite bool) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return usagef("%q is a file, not a folder for a bundle; choose another with --out", dir)
	}
	if source != "" && atomicfile.Inside(dir, source) {
		return usagef("folder %q holds the model %q itself; choose another with --out", dir, source)
	}
	holds, err := bundle.Holds(dir)
	if err != nil {
		return fmt.Errorf("folder %q: %w", dir, err)
	}
	if holds && !overwrite {
		return usagef("folder %q already holds a bundle; choose another with --out, or replace it with --overwrite", dir)
	}
	return nil
}

// exists reports whether a path names something.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// notThere reports whether a path names nothing at all.
func notThere(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func isModelFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && !strings.EqualFold(filepath.Ext(path), ".zip")
}

func fileSHA256(path string) (string, error) {
	f, _, err := files.Open(path)
	if err != nil {
		return "", inputf("model %q: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", inputf("read %q: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
