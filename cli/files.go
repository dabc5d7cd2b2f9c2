package cli

import (
	"bytes"
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
	"winnow/report"
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

// kind is a kind of file that a command writes under a name of the user's.
type kind struct {
	name string
	is   func(head []byte) bool
}

// Kinds of files, by their beginning.
var (
	svgFile     = kind{"an SVG file", func(head []byte) bool { return bytes.Contains(head, []byte("<svg")) }}
	pngFile     = kind{"a PNG file", func(head []byte) bool { return bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")) }}
	csvFile     = kind{"a table of scores", func(head []byte) bool { return bytes.HasPrefix(head, []byte("index,")) }}
	npzFile     = kind{"an npz file", func(head []byte) bool { return bytes.HasPrefix(head, []byte("PK\x03\x04")) }}
	labelsCSV   = kind{"a table of an audit", func(head []byte) bool { return bytes.HasPrefix(head, []byte("index,file,given_label,")) }}
	labelsJSONL = kind{"a list of an audit", func(head []byte) bool { return bytes.HasPrefix(head, []byte(`{"index":`)) }}
	auditJSON   = kind{"the record of an audit", func(head []byte) bool { return bytes.HasPrefix(head, []byte("{\n  \"run\":")) }}
	pageFile    = kind{"a page of this program", func(head []byte) bool { return bytes.Contains(head, []byte(report.Mark)) }}
	groupsMD    = kind{"a table of an experiment", func(head []byte) bool { return bytes.HasPrefix(head, []byte("| pruning |")) }}
	groupsCSV   = kind{"a table of an experiment", func(head []byte) bool { return bytes.HasPrefix(head, []byte("name,method,")) }}
	groupsJSON  = kind{"the results of an experiment", func(head []byte) bool { return bytes.HasPrefix(head, []byte("{\n  \"runs\": [")) }}
	traceFile   = kind{"a profile", func(head []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(head), []byte("[")) }}
)

const kindHead = 4096 // bytes of a file that show its kind

// placeable is replaceable, of a file whose folder has to be there.
func (k kind) placeable(path string) error {
	if dir := filepath.Dir(path); notThere(dir) {
		return usagef("%q: there is no folder %q; make it first", path, dir)
	}
	return k.replaceable(path)
}

// replaceable refuses a file that is there and of another kind, as go build
// does; one of the same kind, or an empty one, is replaced.
func (k kind) replaceable(path string) error {
	f, size, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if errors.Is(err, files.ErrNotRegular) {
		return usagef("%q is there and is not a regular file; choose another name", path)
	} else if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, min(size, kindHead))
	if _, err := io.ReadFull(f, head); err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	if size > 0 && !k.is(head) {
		return usagef("%q is there and is not %s; choose another name", path, k.name)
	}
	return nil
}

// write writes a file whole, over one of its kind.
func (k kind) write(path string, content func(io.Writer) error) error {
	if err := k.replaceable(path); err != nil {
		return err
	}
	if err := atomicfile.Write(path, content); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
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
