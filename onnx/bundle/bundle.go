package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/onnx"
)

// Bounds of the files of a bundle, in bytes. A protobuf message ends at 2 GiB.
const (
	maxManifest = 16 << 20
	maxGraph    = 2 << 30
	maxWeights  = 64 << 30
)

// WeightsFile is the usual name of the initial values.
const WeightsFile = "init.safetensors"

// fixedFiles are the files whose names a bundle does not choose.
var fixedFiles = []string{ManifestFile, TrainFile, EvalFile, BlockedFile, ForwardFile}

// Bundle is a training bundle in memory.
type Bundle struct {
	Manifest    Manifest
	Train, Eval []byte                  // the graphs as ONNX files
	Blocked     []byte                  // the graph of Manifest.Blocked; nil if there is none
	Forward     []byte                  // the model it was made from, its state as inputs; nil if it cannot be rebuilt
	Init        map[string]*onnx.Tensor // initial values by the name of the state
}

// OpenPath reads a bundle from a folder or a .zip file. Links that leave the
// folder are refused.
func OpenPath(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("bundle: open %q: %w", path, err)
	}
	var b *Bundle
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, fmt.Errorf("bundle: open %q: %w", path, err)
		}
		defer root.Close()
		b, err = Open(root.FS())
		if err != nil {
			return nil, fmt.Errorf("bundle: open %q: %w", path, err)
		}
		return b, nil
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("bundle: open %q: %w: neither a folder nor a zip file", path, ErrNotBundle)
	}
	defer z.Close()
	if b, err = Open(inner(z)); err != nil {
		return nil, fmt.Errorf("bundle: open %q: %w", path, err)
	}
	return b, nil
}

// inner steps into the only folder of an archive that has no bundle.json at its root.
func inner(fsys fs.FS) fs.FS {
	if _, err := fs.Stat(fsys, ManifestFile); err == nil {
		return fsys
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return fsys
	}
	sub, err := fs.Sub(fsys, entries[0].Name())
	if err != nil {
		return fsys
	}
	return sub
}

// Open reads a bundle from the root of a file system. It checks the format and
// the files' own structure; Validate checks that they agree.
func Open(fsys fs.FS) (*Bundle, error) {
	text, err := readFile(fsys, ManifestFile, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no %s", ErrNotBundle, ManifestFile)
	} else if err != nil {
		return nil, err
	}
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotBundle, ManifestFile, err)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("%w %q, want %q", ErrUnknownFormat, head.Format, Format)
	}
	b := &Bundle{}
	if err := json.Unmarshal(text, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, ManifestFile, err)
	}
	if b.Train, err = readFile(fsys, TrainFile, maxGraph); err != nil {
		return nil, err
	}
	if b.Eval, err = readFile(fsys, EvalFile, maxGraph); err != nil {
		return nil, err
	}
	if b.Manifest.Blocked != nil {
		if b.Blocked, err = readFile(fsys, BlockedFile, maxGraph); err != nil {
			return nil, err
		}
	}
	if b.Forward, err = readFile(fsys, ForwardFile, maxGraph); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := checkFileName(b.Manifest.Weights); err != nil {
		return nil, err
	}
	if b.Init, err = readWeights(fsys, b.Manifest.Weights); err != nil {
		return nil, err
	}
	return b, nil
}

// checkFileName accepts a plain file name of the bundle's own folder that is not taken.
func checkFileName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: weights names no file", ErrInvalid)
	case !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || name == ".":
		return fmt.Errorf("%w: weights %q leaves the bundle's folder", ErrInvalid, name)
	case slices.Contains(fixedFiles, name):
		return fmt.Errorf("%w: weights %q is another file of the bundle", ErrInvalid, name)
	}
	return nil
}

func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", name, ErrInvalid)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d", name, ErrTooLarge, info.Size(), limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLarge, limit)
	}
	return data, nil
}

func readWeights(fsys fs.FS, name string) (map[string]*onnx.Tensor, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r, ok := f.(io.ReaderAt)
	size := info.Size()
	if !ok || !info.Mode().IsRegular() { // an archive's file is a stream
		data, err := readFile(fsys, name, maxWeights)
		if err != nil {
			return nil, err
		}
		r, size = bytes.NewReader(data), int64(len(data))
	}
	tensors, _, err := ReadSafetensors(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return tensors, nil
}

// Save writes the bundle to a folder: a folder beside it is filled first and
// then renamed, so no half-written bundle is ever seen. A bundle that is
// already there is replaced; a folder that holds anything else is refused.
func (b *Bundle) Save(dir string) error {
	if err := b.save(filepath.Clean(dir)); err != nil {
		return fmt.Errorf("bundle: save %q: %w", dir, err)
	}
	return nil
}

func (b *Bundle) save(dir string) error {
	m := b.Manifest
	if m.Format == "" {
		m.Format = Format
	}
	if m.Weights == "" {
		m.Weights = WeightsFile
	}
	if err := checkFileName(m.Weights); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	replace, err := replaceable(dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	files := map[string][]byte{ManifestFile: append(text, '\n'), TrainFile: b.Train, EvalFile: b.Eval}
	if m.Blocked != nil {
		files[BlockedFile] = b.Blocked
	}
	if b.Forward != nil {
		files[ForwardFile] = b.Forward
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := writeWeights(filepath.Join(tmp, m.Weights), b.Init); err != nil {
		return err
	}
	if replace {
		old := tmp + ".old"
		if err := os.Rename(dir, old); err != nil {
			return err
		}
		defer os.RemoveAll(old)
		if err := os.Rename(tmp, dir); err != nil {
			return errors.Join(err, os.Rename(old, dir))
		}
		return nil
	}
	return os.Rename(tmp, dir)
}

func writeWeights(path string, tensors map[string]*onnx.Tensor) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return WriteSafetensors(f, tensors, nil)
}

// replaceable reports whether dir holds a bundle and nothing else.
func replaceable(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case slices.Contains(fixedFiles, name), strings.HasSuffix(name, ".safetensors"):
		default:
			return false, fmt.Errorf("%w: %q is no part of a bundle; choose another folder", ErrExists, name)
		}
	}
	return len(entries) > 0, nil
}
