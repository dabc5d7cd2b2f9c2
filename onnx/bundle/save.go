package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"winnow/internal/atomicfile"
	"winnow/internal/files"
	"winnow/onnx/wire"
)

// Save writes the bundle to a folder, whole: bundle.json, without which there is
// no bundle, comes last. A bundle that is there is replaced, by its own files
// alone, once the new one is written; other files beside them stay. A folder
// that holds other files and no bundle is refused, as is a file of another kind
// under a name that the bundle needs.
func (b *Bundle) Save(dir string) error {
	if err := b.save(atomicfile.OS{}, filepath.Clean(dir)); err != nil {
		return fmt.Errorf("bundle: save %q: %w", dir, err)
	}
	return nil
}

func (b *Bundle) save(disk atomicfile.Disk, dir string) error {
	m := b.Manifest
	if m.Blocked != nil && m.Blocked.Kernels {
		return fmt.Errorf("%s has operators of a run, which no file has: %w", BlockedFile, ErrInvalid)
	}
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
	f, err := atomicfile.TakeOn(disk, dir, append(slices.Clone(fixedFiles), m.Weights))
	if err != nil {
		return err
	}
	defer f.Release()
	old, err := held(dir)
	if err != nil {
		return err
	}
	if err := f.Stage(); err != nil {
		return err
	}
	content := []struct {
		name string
		data []byte
	}{{TrainFile, b.Train}, {EvalFile, b.Eval}, {BlockedFile, b.Blocked}, {ForwardFile, b.Forward}, {ManifestFile, append(text, '\n')}}
	names := []string{m.Weights}
	if err := f.Write(m.Weights, func(w io.Writer) error { return WriteSafetensors(w, b.Init, nil) }); err != nil {
		return fmt.Errorf("%s: %w", m.Weights, err)
	}
	for _, c := range content {
		if c.name == BlockedFile && m.Blocked == nil || c.name == ForwardFile && b.Forward == nil {
			continue
		}
		if err := f.Write(c.name, func(w io.Writer) error { _, err := w.Write(c.data); return err }); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		names = append(names, c.name)
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil && !slices.Contains(old, name) {
			return fmt.Errorf("%w: %q is no part of the bundle there; choose another folder", ErrExists, name)
		}
	}
	return f.Commit(old)
}

// Holds reports whether a folder holds a bundle, which Save would replace. The
// error of a folder that Save would refuse wraps ErrExists, or says who is at it.
func Holds(dir string) (bool, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	f, err := atomicfile.Take(dir, fixedFiles)
	if err != nil {
		return false, err
	}
	defer f.Release()
	old, err := held(dir)
	return len(old) > 0, err
}

// held names the files of the bundle that a folder holds, by its manifest; none
// where there is no folder, or an empty one. The error of a folder that holds
// something else and no bundle wraps ErrExists.
func held(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return atomicfile.IsOwn(e.Name()) })
	if len(entries) == 0 {
		return nil, nil
	}
	path := filepath.Join(dir, ManifestFile)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %q is no part of a bundle; choose another folder", ErrExists, entries[0].Name())
	}
	text, err := files.Read(path, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w; choose another folder", ErrExists, ManifestFile, err)
	}
	var m Manifest
	if json.Unmarshal(text, &m) != nil || m.Format != Format || checkFileName(m.Weights) != nil {
		return nil, fmt.Errorf("%w: its %s is not of a training bundle; choose another folder", ErrExists, ManifestFile)
	}
	own := []string{ManifestFile, TrainFile, EvalFile, m.Weights}
	if m.Blocked != nil {
		own = append(own, BlockedFile)
	}
	if isForward(filepath.Join(dir, ForwardFile)) {
		own = append(own, ForwardFile)
	}
	return slices.DeleteFunc(own, func(name string) bool {
		info, err := os.Lstat(filepath.Join(dir, name))
		return err != nil || !info.Mode().IsRegular()
	}), nil
}

// isForward is whether the file is one that a bundle was given, and not a model
// of that name from elsewhere: the manifest does not speak of it.
func isForward(path string) bool {
	f, _, err := files.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return wire.Wrote(f)
}
