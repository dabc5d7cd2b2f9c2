package bundle

import (
	"fmt"
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
	BlockedEval []byte                  // Eval with operators of package runtime/kernels, never of a file; nil if there is none
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
