package autodiff

import (
	"regexp"
	"slices"

	"winnow/onnx"
)

// A tensor without dimensions may be a learned temperature or a buffer, an
// epsilon or a factor that the exporter computed, and its name does not tell:
// PyTorch's exporters give buffers and constants of a module the module's
// dotted name too, and fold constants under names such as "mul_8" and "exp".
// It is trained where the file says that it is a parameter, as PyTorch's
// exporter by torch.export does of every tensor, and is a constant elsewhere.

// modulePath is what a tensor of a PyTorch module is named by; names that the
// TorchScript exporter makes up, "onnx::Mul_214" or "/fc/Constant_output_0", are none.
var modulePath = regexp.MustCompile(`^[A-Za-z_]\w*(\.\w+)*$`)

// undecided lists, sorted, float32 initializers without dimensions that a node
// computes with and that may be parameters for all that the file says.
func undecided(g *onnx.Graph) []string {
	if len(g.Parameters) > 0 {
		return nil // what is not among them is none
	}
	var names []string
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			t := g.Initializers[in]
			if t == nil || t.DType != onnx.Float32 || len(t.Dims) > 0 || !modulePath.MatchString(in) || i > 0 && settings[n.Op] {
				continue
			}
			names = append(names, in)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// settings lists operators whose inputs behind the first are no parameters.
var settings = map[string]bool{"Clip": true, "Pad": true, "Dropout": true, "Resize": true}

func undecidedNotice(names []string) string {
	return "the file does not say whether tensors without dimensions are parameters, so they are not trained: " + quoted(names) +
		"; to train one, export with torch.onnx.export(..., dynamo=True, optimize=False), which says so, or give it the shape [1]"
}
