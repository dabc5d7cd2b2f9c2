package train

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/files"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	"winnow/run"
)

// shownNames bounds how many tensors an error spells out.
const shownNames = 4

// InitFrom puts trained weights in the place of a bundle's first ones: those of
// a run folder (its newest checkpoint, else its model), of a safetensors file or
// of an ONNX model, by name. Every parameter and buffer must be there, in its
// shape; averages start at the weights, and the optimizer as before. It says
// what was taken.
func InitFrom(b *bundle.Bundle, path string) (string, error) {
	tensors, from, err := readWeights(path)
	if err != nil {
		return "", fmt.Errorf("train: --init %q: %w", path, err)
	}
	taken, init := 0, maps.Clone(b.Init)
	var missing []string
	for _, s := range b.Manifest.State {
		name, must := s.Name, s.Kind == bundle.KindParameter || s.Kind == bundle.KindBuffer
		if s.Kind == bundle.KindEMA {
			name = s.Of
		} else if !must {
			continue
		}
		t := tensors[name]
		if t == nil && must {
			t = tensors[s.Input]
		}
		switch {
		case t == nil && must:
			missing = append(missing, fmt.Sprintf("%q", name))
		case t == nil:
		case t.DType.String() != s.DType || !slices.Equal(t.Dims, s.Shape):
			missing = append(missing, fmt.Sprintf("%q as %s %v (it is %s %v)", name, s.DType, s.Shape, t.DType, t.Dims))
		default:
			if i, nan := t.NotFinite(); i >= 0 {
				return "", fmt.Errorf("train: --init %q: %w: %q is %s at element %d", path, ErrWeights, name, oddity(nan), i)
			}
			init[s.Name] = t
			if must {
				taken++
			}
		}
	}
	if n := len(missing); n > 0 {
		more := ""
		if n > shownNames {
			more = fmt.Sprintf(" and %d more", n-shownNames)
		}
		return "", fmt.Errorf("train: --init %q: %w: bundle %q needs %s%s", path, ErrWeights, b.Manifest.Name, strings.Join(missing[:min(n, shownNames)], ", "), more)
	}
	b.Init = init
	return fmt.Sprintf("first weights from %s: %d tensors%s; the optimizer starts anew", from, taken, unknown(b, tensors, path)), nil
}

// unknown names the tensors of a safetensors file that are none of the bundle's
// state. A model has constants too, which are no weights.
func unknown(b *bundle.Bundle, tensors map[string]*onnx.Tensor, path string) string {
	if !isSafetensors(path) {
		return ""
	}
	rest := maps.Clone(tensors)
	for _, s := range b.Manifest.State {
		delete(rest, s.Name)
		delete(rest, s.Input)
	}
	names := slices.Sorted(maps.Keys(rest))
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more in it that the bundle does not have, such as %q", len(names), names[0])
}

func isSafetensors(path string) bool {
	return strings.HasSuffix(strings.ToLower(path), ".safetensors")
}

// readWeights reads tensors by name, and says from where.
func readWeights(path string) (map[string]*onnx.Tensor, string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w: want the folder of a run, a .safetensors or an .onnx file", ErrWeights, reason(err))
	}
	if info.IsDir() {
		if c, err := run.Newest(path); err == nil {
			return c.State, fmt.Sprintf("checkpoint %s of %s", c.Name(), path), nil
		}
		path = filepath.Join(path, run.ModelFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, "", fmt.Errorf("%w: a folder without a whole checkpoint and without %s", ErrWeights, run.ModelFile)
		}
	}
	if isSafetensors(path) {
		f, size, err := files.Open(path)
		if err != nil {
			return nil, "", fmt.Errorf("%w: %w", ErrWeights, reason(err))
		}
		defer f.Close()
		tensors, _, err := bundle.ReadSafetensors(f, size)
		return tensors, path, err
	}
	m, err := wire.Read(path)
	if err != nil {
		return nil, "", err
	}
	return m.Graph.Initializers, path, nil
}
