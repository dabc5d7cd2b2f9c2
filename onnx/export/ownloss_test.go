package export

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
)

// Losses by the names of other libraries are refused with the name that they have here.
func TestLossesElsewhere(t *testing.T) {
	for name, want := range map[string]string{
		"CrossEntropyLoss": "cross-entropy here", "torch.nn.BCEWithLogitsLoss": "bce here", "binary_crossentropy": "bce here", "DiceLoss": "dice here", "MSELoss": "mse here",
		"smooth_l1": "huber, with --huber-delta for beta, here", "JaccardLoss": "dice is the nearest", "focal_loss": "focal here", "SoftCrossEntropyLoss": "--smoothing",
		"mae": "l1 here", "gan": "want one of cross-entropy, bce", "": "", "loss": "want one of",
	} {
		l := bundle.Loss{Name: name}
		if err := checkLoss(&l); want != "" && (!errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want)) || want == "" && err != nil {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

// The loss is the output that is asked for, and the one named loss becomes a
// further output then.
func TestLossOutput(t *testing.T) {
	build := func(output string) (*bundle.Bundle, error) {
		m, err := wire.Read(filepath.Join("testdata", "detect.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		g := m.Graph
		g.Nodes = append(g.Nodes, &onnx.Node{Name: "m", Op: "ReduceMean", Inputs: []string{g.Outputs[0].Name}, Outputs: []string{"mean"}, Attrs: map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}})
		g.Outputs = append(g.Outputs, onnx.Value{Name: "mean", DType: onnx.Float32, Shape: onnx.Shape{}})
		return Build(m, Options{Loss: bundle.Loss{Name: bundle.NoLoss, Output: output}, Optimizer: NewOptimizer(bundle.SGD)})
	}
	for _, c := range []struct{ asked, beside string }{{"", "mean"}, {"loss", "mean"}, {"mean", "loss"}} {
		b, err := build(c.asked)
		if err != nil {
			t.Fatal(err)
		}
		if s := b.Manifest.Train.Scalars; len(s) != 1 || s[0].Name != c.beside {
			t.Errorf("%q: beside the loss %v, want %q", c.asked, s, c.beside)
		}
		b.Manifest.Train.Scalars[0].Output = "nowhere"
		if err := b.Validate(); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("a further output that is not there: %v", err)
		}
	}
	if _, err := build("predictions"); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), `those that are numbers are "loss", "mean"`) {
		t.Errorf("an output of another shape: %v", err)
	}
}
