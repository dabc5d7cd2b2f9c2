package cli

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// modelReport is the JSON form of an inspected model.
type modelReport struct {
	File       string           `json:"file"`
	Producer   string           `json:"producer,omitempty"`
	IRVersion  int64            `json:"ir_version"`
	Opset      int64            `json:"opset"`
	Inputs     []valueReport    `json:"inputs"`
	Outputs    []valueReport    `json:"outputs"`
	Weights    int              `json:"weights"`
	Parameters int64            `json:"parameters"`
	Bytes      int64            `json:"bytes"`
	Operators  []operatorReport `json:"operators"`
	Tensors    []export.Tensor  `json:"tensors"` // what is trained, what is not, and why
	Trainable  bool             `json:"trainable"`
	Targets    []bundle.Target  `json:"targets,omitempty"` // that a loss inside the model wants
	BatchSize  int              `json:"batch_size"`
	Activation int64            `json:"activation_bytes"` // of the forward pass, for a batch
	Warnings   []string         `json:"warnings"`
	Problems   []string         `json:"problems"`

	advice []string // flags that export needs
}

// build makes the bundle that export would, with the loss that the model's end
// asks for, and notes the flags that it takes.
func (r *modelReport) build(m *onnx.Model, f forwardOptions) (*bundle.Bundle, error) {
	build := export.Options{Name: "inspect", Warn: func(text string) { r.Warnings = append(r.Warnings, text) }}
	build.Decided = func(list []export.Tensor) { r.Tensors = list }
	if err := f.apply(&build); err != nil {
		return nil, err
	}
	if export.EndsInSigmoid(m, f.Output) {
		build.Loss.Name = bundle.BCE
		r.advice = append(r.advice, "--loss", bundle.BCE)
	}
	if ownsLoss(m.Graph) {
		build.Loss.Name = bundle.NoLoss
		r.advice = append(r.advice, "--loss", bundle.NoLoss)
	}
	if f.Output != "" {
		r.advice = append(r.advice, "--output", f.Output)
	}
	if f.DynamicBatch {
		r.advice = append(r.advice, "--dynamic-batch")
	}
	if f.InputSize != "" {
		r.advice = append(r.advice, "--"+flagInputSize, f.InputSize)
	} else if in := m.Graph.Inputs; len(in) == 1 && len(in[0].Shape) == 2 {
		r.advice = append(r.advice, "--"+flagInputSize, "CxHxW")
	}
	b, err := export.Build(m, build)
	if err == nil && build.Loss.Name == bundle.NoLoss {
		r.Targets = b.Manifest.Train.AllTargets()
		r.Warnings = append(r.Warnings, "the model ends in its loss, which wants of each sample: "+targetsText(&b.Manifest.Train))
	}
	return b, err
}

// ownsLoss is whether a model takes more than images and gives a scalar.
func ownsLoss(g *onnx.Graph) bool {
	inputs := 0
	for _, in := range g.Inputs {
		if g.Initializers[in.Name] == nil {
			inputs++
		}
	}
	return inputs > 1 && slices.ContainsFunc(g.Outputs, func(v onnx.Value) bool { return v.DType == onnx.Float32 && v.Shape != nil && len(v.Shape) < 2 })
}

func (r *modelReport) print(out *output) {
	out.printf("%s: ONNX model, opset %d", out.style(styleBold, r.File), r.Opset)
	if r.Producer != "" {
		out.printf(", by %s", r.Producer)
	}
	out.printf("\n\nInputs\n")
	printValues(out, r.Inputs)
	out.printf("\nOutputs\n")
	printValues(out, r.Outputs)
	out.printf("\nParameters\n  %s in %s, %s\n", countText(r.Parameters), tensorsText(r.Weights), bytesText(r.Bytes))
	if r.Activation > 0 {
		out.printf("\nActivations\n  %s for a batch of %d\n", bytesText(r.Activation), r.BatchSize)
	}
	out.printf("\nOperators\n")
	rows := [][]any{}
	for _, op := range r.Operators {
		note := styled("gradient")
		switch {
		case op.Gradient:
		case r.Trainable: // computed beforehand, converted, or off the way to what is trained
			note = out.style(styleDim, "needs no gradient")
		default:
			note = out.style(styleDim, "no gradient")
		}
		rows = append(rows, []any{op.Name, op.Count, note})
	}
	out.styledTable(rows)
	printTensors(out, r.Tensors)
	for _, w := range r.Warnings {
		out.printf("\nwarning: %s\n", w)
	}
	if r.Trainable {
		out.printf("\n%s\n", out.style(styleGreen, strings.Join(append([]string{"It can be trained: winnow export " + r.File}, r.advice...), " ")))
		return
	}
	printProblems(out, r.Problems)
}

type valueReport struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape string `json:"shape"`
}

type operatorReport struct {
	Name     string `json:"name"`
	Count    int    `json:"count"`
	Gradient bool   `json:"gradient"`
}

func inspectModel(o inspectOptions, out *output) error {
	m, err := wire.Read(o.Path)
	if err != nil {
		return err
	}
	r := modelReport{File: o.Path, Producer: m.Producer, IRVersion: m.IRVersion, Opset: m.Opset, BatchSize: o.BatchSize,
		Tensors: []export.Tensor{}, Warnings: []string{}, Problems: []string{}}
	if twice := opset.Rename(m); len(twice) > 0 {
		r.Warnings = append(r.Warnings, export.RenamedNotice(twice))
	}
	r.Problems = append(r.Problems, problems(opset.Check(m))...)
	if len(r.Problems) == 0 {
		r.Problems = append(r.Problems, problems(opset.Inline(m))...)
	}
	describeGraph(&r, m.Graph)
	if len(r.Problems) == 0 {
		b, err := r.build(m, o.Forward)
		if err == nil {
			r.Activation, err = activations(b, int64(o.BatchSize))
		}
		r.Problems = append(r.Problems, problems(err)...)
	}
	r.Trainable = len(r.Problems) == 0
	if o.JSON {
		if err := out.printJSON(r); err != nil {
			return err
		}
	} else {
		r.print(out)
	}
	return faults(o.Path, len(r.Problems))
}

// activations is the size of all values of a forward pass on n samples: about
// what a training step keeps for the way back.
func activations(b *bundle.Bundle, n int64) (int64, error) {
	m, err := wire.Decode(b.Eval, "")
	if err != nil {
		return 0, err
	}
	inf, err := infer.Model(m)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, node := range m.Graph.Nodes {
		v, _ := inf.Type(node.Outputs[0])
		var dims []int64
		for _, d := range v.Shape {
			if dims = append(dims, d.N); !d.IsConst() {
				dims = append(dims, n)
			}
		}
		size, ok := elements.Count(dims)
		if size *= int64(v.DType.Size()); !ok || size > math.MaxInt64-total {
			return 0, fmt.Errorf("inspect: %s: results %s %s for %d images: %w", node.Describe(), v.DType, v.Shape, n, onnx.ErrTooLarge)
		}
		if v.Shape != nil {
			total += size
		}
	}
	return total, nil
}

func describeGraph(r *modelReport, g *onnx.Graph) {
	values := func(vs []onnx.Value) []valueReport {
		reports := make([]valueReport, 0, len(vs))
		for _, v := range vs {
			reports = append(reports, valueReport{v.Name, v.DType.String(), v.Shape.String()})
		}
		return reports
	}
	r.Inputs, r.Outputs = values(g.Inputs), values(g.Outputs)
	for _, t := range g.Initializers {
		r.Bytes += int64(len(t.Data))
		if t.DType.IsFloat() {
			r.Weights++
			r.Parameters += elementsOf(t.Dims)
		}
	}
	counts := map[string]*operatorReport{}
	countOperators(g, counts)
	r.Operators = []operatorReport{}
	for _, op := range counts {
		r.Operators = append(r.Operators, *op)
	}
	sort.Slice(r.Operators, func(i, j int) bool {
		a, b := r.Operators[i], r.Operators[j]
		if a.Count != b.Count {
			return a.Count > b.Count
		}
		return a.Name < b.Name
	})
}

func countOperators(g *onnx.Graph, counts map[string]*operatorReport) {
	for _, n := range g.Nodes {
		name := n.Operator()
		op := counts[name]
		if op == nil {
			op = &operatorReport{Name: name, Gradient: n.Domain == "" && autodiff.HasRule(n.Op)}
			counts[name] = op
		}
		op.Count++
		for _, a := range n.Attrs {
			if a.G != nil {
				countOperators(a.G, counts)
			}
		}
	}
}

func printValues(out *output, values []valueReport) {
	rows := make([][]string, 0, len(values))
	for _, v := range values {
		rows = append(rows, []string{v.Name, v.DType, v.Shape})
	}
	out.table(rows)
}

// printTensors lists what is trained, what is not, and why.
func printTensors(out *output, tensors []export.Tensor) {
	if len(tensors) == 0 {
		return
	}
	count, values := map[string]int{}, map[string]int64{}
	for _, t := range tensors {
		count[t.State]++
		values[t.State] += elementsOf(t.Shape)
	}
	out.printf("\nTensors: %s trained (%s values), %s left as they are (%s), %s of running statistics\n",
		tensorsText(count[export.StateTrained]), countText(values[export.StateTrained]),
		tensorsText(count[export.StateFixed]), countText(values[export.StateFixed]), tensorsText(count[export.StateRunning]))
	rows := make([][]string, 0, len(tensors))
	for _, t := range tensors {
		why := t.Why
		if t.Unsure {
			why += ", unsure: --train and --freeze settle it"
		}
		shape := shapeText(t.Shape)
		if shape == "" {
			shape = "a number"
		}
		rows = append(rows, []string{t.Name, shape, t.State, t.Role, why})
	}
	out.table(rows)
	for _, line := range cannotSay {
		out.printf("  %s\n", line)
	}
}

// cannotSay is what to know before a model is exported.
var cannotSay = []string{
	"A file cannot say which parameters were frozen (requires_grad=False), where a gradient was",
	"stopped (detach), or which row of an embedding is padding (padding_idx): such parameters train.",
	"Keep them with --freeze REGEX, of export or of train.",
}
