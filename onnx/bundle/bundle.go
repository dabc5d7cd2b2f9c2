package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/onnx"
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
	Path        string                  // the folder or archive it was read from; "" if from none
}

// Where names the bundle in errors: its path, or the name in its manifest.
func (b *Bundle) Where() string {
	if b.Path != "" {
		return b.Path
	}
	return b.Manifest.Name
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
