//go:build models

package coverage_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const intro = `# Which networks train, and how exactly

Every parameter's gradient and the losses of five steps, against PyTorch: one network of each torchvision family, a small one of each family of timm, modules as people write them themselves, and networks that give a class to each pixel, exported by both of PyTorch's exporters, in every layout of images: portable is train.onnx, nchwc the graph for ONNX Runtime's CPU provider, kernels the same with operators of winnow's own, where a model has what they take. The commands that make this page, with torch, torchvision, timm, onnx and onnxscript installed:

    python3 onnx/autodiff/coverage/gen.py runs/models
    WINNOW_MODELS=$PWD/runs/models go test -tags models -count=1 -timeout 120m ./onnx/autodiff/coverage -update

` + "`gen.py`" + ` draws weights from a seed, 10 classes, small batches of 2 to 8 images, training mode with the statistics of the batch, dropout and stochastic depth with probability 0, and records gradients in float64 and losses in float32; PyTorch's reason where it cannot export. Networks of pixels have six classes, masks in which one pixel in nine is left out, and the mean over images of the cross-entropy over an image's pixels, as this project trains them; PyTorch's own mean is over all pixels of the batch that count. Of torchvision's, which give a dict, the output ` + "`out`" + ` is trained; the auxiliary one, where a network is made with it (fcn_resnet50_aux), is left out with its layers, and PyTorch gives those no gradient either. The test exports each model, runs five steps of SGD (momentum 0.9, rate 0.001) on the CPU, and fails where

- a parameter of PyTorch is not trained, or something else is;
- a gradient is more than 1e-3 from PyTorch's, by norm, or twice what rounding alone moves it, where that is more (three times for torchvision); gradients that are nothing but rounding in PyTorch (zero in theory, as of a bias before a normalisation, or moved by half of themselves) must be within 1e-5 of the largest gradient of theirs, and none need be closer than 2^-24 of it, what float32 resolves;
- one of the losses is more than 1e-3 from PyTorch's, by the same rule;
- a portable graph of torchvision's computes a shape (Shape, Size, ConstantOfShape, Range);
- a model is refused, unless the test expects it and the message names the operator.

What a file cannot say is told with --freeze and --train: parameters with requires_grad=False, statistics of layers in evaluation mode, and for the TorchScript exporter, which writes no kinds of tensors, the buffers that nothing tells from parameters, and parameters that could be constants (single numbers, an exponent, a first state); the remarks count them.

"rounding" is the measured movement of PyTorch's own float32 gradient of that parameter: the worst of three float32 runs against float64. A ReLU or a maximum whose operands lie within rounding of the edge takes one branch in one run and the other in the next, which moves gradients of small maps by far more than an ulp. ` + "`gen.py`" + ` draws the scale and shift of batch normalisations such that few activations lie near an edge, and looks among a few image seeds for one without; where there is none, "over" counts the parameters beyond 1e-3 that rounding explains. A program that adds up in another order can meet an edge of its own; networks where one does are judged by a second batch of images ("other images").

One parameter of torchvision's segmentation networks is beyond 1e-3, of deeplabv3_resnet50: the weight of the branch that pools each image to one position. Batch normalisation follows it, over as many values as there are images, and of 4 images of noise, 64x64, these are nearly alike: their mean is 120 times their deviation (the median channel; 1430 times the worst), and so much more does rounding weigh behind it. Against float64, PyTorch in float32 is 0.9e-3 to 1.9e-3 off there, by image seed and order of addition, and this project, by machine and layout, 0.6e-3 to 1.4e-3. The same network with 8 images of 32x32 (deeplabv3_resnet50_32), where it is 29 times, is 0.8e-4 to 1.7e-4 from float64, PyTorch 1.8e-4.

"nodes" are those of the training graph, "memory" is the peak of the process that reads the model, builds the bundle, with both graphs, and writes it, "export" its time and "step" the fastest of steps two to five, both beside other work ([performance.md](performance.md) has times of a machine that does nothing else).

`

const notes = `` + "`winnow export`" + ` of a resnet50 (images of 224, 1000 classes) took 0.7 s and 293 MB, of a vit_b_16 2.2 s and 763 MB, both graphs included, measured with /usr/bin/time -v on two cores.

The tables of modules and timm are older than the last three operators of winnow's own, but for timm's inception_v3 and selecsls42; [performance.md](performance.md#operators-of-our-own) says what was run with them since.

Twenty steps on images (generated characters in colour, 64x64; AdamW, rate 0.0003, batches of 32, dropout and stochastic depth on), the mean loss of steps 1 to 5, 6 to 10, 11 to 15 and 16 to 20, by ` + "`onnx/autodiff/coverage/steps.sh FOLDER`" + ` on the default exporter's files:

| network | | | | |
| --- | ---: | ---: | ---: | ---: |
| resnet18 | 2.4141 | 2.3203 | 2.2803 | 2.2078 |
| mobilenet_v3_small | 2.3279 | 2.3172 | 2.3117 | 2.3036 |
| efficientnet_b0 | 6.0668 | 4.6533 | 3.4996 | 2.5292 |
| convnext_tiny | 2.8486 | 2.3199 | 2.2317 | 1.9730 |
| vit_b_32 | 2.3194 | 2.3315 | 2.3198 | 2.2983 |
`

// A row is a model in a layout, or a model that is refused or cannot be exported.
type row struct {
	lib, name, exporter string
	layout              string
	other               bool // judged by the second record
	params              int64
	tensors, nodes      int
	worst, drift        float64 // gradient error, and PyTorch's own in float32
	worstName           string
	over                int // parameters beyond gradTolerance that the drift explains
	loss, lossDrift     float64
	seconds, megabytes  float64 // of the export
	step                float64 // seconds, best of the last four
	named               int     // tensors that the test asked to freeze or to train
	notices             []string
	err                 string
	refused             string // the operator that an expected error names
	cannot              string // PyTorch's reason for no model
}

// A summary counts models, each exported by one exporter.
type summary struct{ networks, cannot, models, passed, refused, failed, rows, good int }

func count(rows []row, lib string) summary {
	var s summary
	seen, worst := map[string]bool{}, map[string]string{}
	for _, r := range rows {
		if r.lib != lib {
			continue
		}
		if !seen[r.name] {
			seen[r.name] = true
			s.networks++
		}
		key := r.name + "/" + r.exporter
		switch {
		case r.cannot != "":
			s.cannot++
			continue
		case r.refused != "":
			worst[key] = "refused"
		case r.err != "":
			worst[key] = "failed"
		case worst[key] == "":
			worst[key] = "passed"
		}
		s.rows++
		if r.err == "" {
			s.good++
		}
	}
	for _, w := range worst {
		s.models++
		switch w {
		case "passed":
			s.passed++
		case "refused":
			s.refused++
		default:
			s.failed++
		}
	}
	return s
}

func (r *row) result() string {
	switch {
	case r.cannot != "":
		return "PyTorch: " + cell(r.cannot)
	case r.refused != "":
		return "refused for " + r.refused + ": " + cell(r.err)
	case r.err != "":
		return "FAIL: " + cell(r.err)
	case r.other:
		return "pass, other images"
	}
	return "pass"
}

// cell is the first line of a text, fit for a table.
func cell(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	text = strings.TrimPrefix(text, "export: exit status 1: ")
	text = strings.NewReplacer("|", "/", "<", "(", ">", ")").Replace(text)
	if r := []rune(text); len(r) > 160 {
		text = string(r[:160]) + "..."
	}
	return text
}

// table renders the page; libraries that did not run keep their parts of the last one.
func table(rows []row, last string) []byte {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(b.exporter, a.exporter), strings.Compare(b.layout, a.layout))
	})
	var out bytes.Buffer
	out.WriteString(intro)
	out.WriteString("| library | networks | PyTorch exports | trained | refused, operator named | wrong |\n| --- |" + strings.Repeat(" ---: |", 5) + "\n")
	for _, lib := range libraries {
		s := count(rows, lib)
		if s.networks == 0 {
			_, rest, _ := strings.Cut(last, "\n| "+lib+" |")
			line, _, _ := strings.Cut(rest, "\n")
			fmt.Fprintf(&out, "| %s |%s\n", lib, line)
			continue
		}
		fmt.Fprintf(&out, "| %s | %d | %d | %d | %d | %d |\n", lib, s.networks, s.models, s.passed, s.refused, s.failed)
	}
	out.WriteString("\n" + notes)
	for _, lib := range libraries {
		of := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.lib != lib })
		fmt.Fprintf(&out, "\n## %s\n\n", lib)
		if len(of) == 0 {
			_, rest, _ := strings.Cut(last, "\n## "+lib+"\n\n")
			part, _, _ := strings.Cut(rest, "\n## ")
			out.WriteString(part)
			continue
		}
		if lib == "torchvision" {
			detailed(&out, of)
		} else {
			compact(&out, of)
		}
	}
	return out.Bytes()
}

func detailed(out *bytes.Buffer, rows []row) {
	out.WriteString("| network | exporter | layout | parameters | tensors | nodes | worst gradient | rounding | over | worst loss | rounding | export s | memory MB | step s | result |\n")
	out.WriteString("| --- | --- | --- |" + strings.Repeat(" ---: |", 11) + " --- |\n")
	passed := 0
	for _, r := range rows {
		if r.err == "" {
			passed++
		}
		fmt.Fprintf(out, "| %s | %s | %s | %d | %d | %d | %.1e | %.1e | %d | %.1e | %.1e | %.1f | %.0f | %.2f | %s |\n",
			r.name, r.exporter, r.layout, r.params, r.tensors, r.nodes, r.worst, r.drift, r.over, r.loss, r.lossDrift, r.seconds, r.megabytes, r.step, r.result())
	}
	fmt.Fprintf(out, "\n%d of %d pass. The parameter with the worst gradient:\n\n", passed, len(rows))
	for _, r := range rows {
		fmt.Fprintf(out, "- %s, %s, %s: `%s`\n", r.name, r.exporter, r.layout, r.worstName)
	}
}

// compact has one line for each network, with the worst of its models.
func compact(out *bytes.Buffer, rows []row) {
	out.WriteString("| network | parameters | tensors | torchscript | dynamo | rounding | over | worst loss | remarks |\n")
	out.WriteString("| --- |" + strings.Repeat(" ---: |", 7) + " --- |\n")
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].name == rows[0].name {
			n++
		}
		line(out, rows[:n])
		rows = rows[n:]
	}
}

func line(out *bytes.Buffer, rows []row) {
	var worst row
	grads, remarks := map[string]string{}, []string{}
	for _, exporter := range exporters {
		grads[exporter] = "-"
		top, texts := -1.0, []string{}
		for _, r := range rows {
			if r.exporter != exporter {
				continue
			}
			if text := r.result(); text != "pass" && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
			for _, n := range r.notices {
				if text := "portable graph alone"; strings.Contains(n, text) && !slices.Contains(texts, text) {
					texts = append(texts, text)
				}
			}
			if text := fmt.Sprintf("--freeze or --train by name: %d", r.named); r.named > 0 && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
			if r.layout == "" || r.refused != "" {
				continue
			}
			if worst.params, worst.tensors = r.params, r.tensors; r.worst > worst.worst {
				worst.worst, worst.drift = r.worst, r.drift
			}
			worst.over, worst.loss = max(worst.over, r.over), max(worst.loss, r.loss)
			if r.worst > top {
				top = r.worst
				grads[exporter] = fmt.Sprintf("%.1e", top)
			}
		}
		if len(texts) > 0 {
			remarks = append(remarks, exporter+": "+strings.Join(texts, "; "))
		}
	}
	fmt.Fprintf(out, "| %s | %d | %d | %s | %s | %.1e | %d | %.1e | %s |\n", rows[0].name, worst.params, worst.tensors,
		grads["torchscript"], grads["dynamo"], worst.drift, worst.over, worst.loss, strings.Join(remarks, ". "))
}
