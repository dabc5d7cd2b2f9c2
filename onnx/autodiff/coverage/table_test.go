//go:build models

package coverage_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const intro = `# Which networks train, and how exactly

Every parameter's gradient and the losses of five steps, against PyTorch: one network of each torchvision family, exported by both of PyTorch's exporters, in both layouts of images: portable is train.onnx, nchwc the graph for ONNX Runtime's CPU provider. The commands that make this page, with torch, torchvision, onnx and onnxscript installed (about 4 GB of disk):

    python3 onnx/autodiff/coverage/gen.py runs/models
    WINNOW_MODELS=$PWD/runs/models go test -tags models -count=1 -timeout 60m ./onnx/autodiff/coverage -update

` + "`gen.py`" + ` draws weights from a seed, 10 classes, small batches of 2 to 4 images, training mode with the statistics of the batch, dropout and stochastic depth with probability 0, and records gradients in float64 and losses in float32. The test exports each model, runs five steps of SGD (momentum 0.9, rate 0.001) on the CPU, and fails where

- a parameter of PyTorch is not trained, or something else is;
- a gradient is more than 1e-3 from PyTorch's, by norm, or three times what rounding alone moves it, where that is more; gradients that are zero in theory, as of a bias before a normalisation, must be below 1e-5 of the largest;
- one of the losses is more than 1e-3 from PyTorch's, by the same rule;
- the portable graph computes a shape (Shape, Size, ConstantOfShape, Range).

"rounding" is the measured movement of PyTorch's own float32 gradient of that parameter: the worst of three float32 runs against float64. A ReLU or a maximum whose operands lie within rounding of the edge takes one branch in one run and the other in the next, which moves gradients of small maps by far more than an ulp. ` + "`gen.py`" + ` draws the scale and shift of batch normalisations such that few activations lie near an edge, and looks among a few image seeds for one without; where there is none, "over" counts the parameters beyond 1e-3 that rounding explains. A program that adds up in another order can meet an edge of its own; networks where one does are judged by a second batch of images ("other images").

"nodes" are those of the training graph, "memory" is the peak of the process that reads the model, builds the bundle, with both graphs, and writes it, "export" its time and "step" the fastest of steps two to five.

` + "`winnow export`" + ` of a resnet50 (images of 224, 1000 classes) took 0.7 s and 293 MB, of a vit_b_16 2.2 s and 763 MB, both graphs included, measured with /usr/bin/time -v on two cores.

Twenty steps on images (generated characters in colour, 64x64; AdamW, rate 0.0003, batches of 32, dropout and stochastic depth on), the mean loss of steps 1 to 5, 6 to 10, 11 to 15 and 16 to 20, by ` + "`onnx/autodiff/coverage/steps.sh FOLDER`" + ` on the default exporter's files:

| network | | | | |
| --- | ---: | ---: | ---: | ---: |
| resnet18 | 2.4141 | 2.3203 | 2.2803 | 2.2078 |
| mobilenet_v3_small | 2.3279 | 2.3172 | 2.3117 | 2.3036 |
| efficientnet_b0 | 6.0668 | 4.6533 | 3.4996 | 2.5292 |
| convnext_tiny | 2.8486 | 2.3199 | 2.2317 | 1.9730 |
| vit_b_32 | 2.3194 | 2.3315 | 2.3198 | 2.2983 |

`

// table renders the page.
func table(rows []row) []byte {
	slices.SortFunc(rows, func(a, b row) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		if c := strings.Compare(b.exporter, a.exporter); c != 0 {
			return c
		}
		return strings.Compare(b.layout, a.layout)
	})
	var out bytes.Buffer
	out.WriteString(intro)
	out.WriteString("| network | exporter | layout | parameters | tensors | nodes | worst gradient | rounding | over | worst loss | rounding | export s | memory MB | step s | result |\n")
	out.WriteString("| --- | --- | --- |" + strings.Repeat(" ---: |", 11) + " --- |\n")
	passed := 0
	for _, r := range rows {
		result := "pass"
		if r.other {
			result = "pass, other images"
		}
		if r.err != "" {
			result = "FAIL: " + strings.ReplaceAll(strings.SplitN(r.err, "\n", 2)[0], "|", "/")
		} else {
			passed++
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %d | %d | %d | %.1e | %.1e | %d | %.1e | %.1e | %.1f | %.0f | %.2f | %s |\n",
			r.name, r.exporter, r.layout, r.params, r.tensors, r.nodes, r.worst, r.drift, r.over, r.loss, r.lossDrift, r.seconds, r.megabytes, r.step, result)
	}
	fmt.Fprintf(&out, "\n%d of %d pass. The parameter with the worst gradient:\n\n", passed, len(rows))
	for _, r := range rows {
		fmt.Fprintf(&out, "- %s, %s, %s: `%s`\n", r.name, r.exporter, r.layout, r.worstName)
	}
	return out.Bytes()
}
