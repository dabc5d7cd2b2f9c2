package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
	"winnow/train"
)

type inspectOptions struct {
	Path      string
	JSON      bool
	BatchSize int
	Forward   forwardOptions
	WithCosts bool
	Costs     costOptions
}

func newInspectCommand(out *output) *cli.Command {
	var o inspectOptions
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a model or a bundle contains, its problems, and what a step costs",
		ArgsUsage: "MODEL.onnx|BUNDLE",
		Description: about(`Of an .onnx model, shows inputs, outputs, parameters, operators, what would be
trained and why, and whether it can be exported for training. Of a bundle (a
folder or a zip file), shows inputs, outputs, state, optimizer and loss. Every
problem is listed at once; if there are any, the exit code is 3.

With --costs, runs training steps on random images under ONNX Runtime's profiler
and shows where the time goes: by operator and by layer, with forward, backward
and update apart. A MODEL.onnx gets the default recipe of winnow export; the name
of a shipped bundle works too.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow inspect model.onnx",
			"winnow inspect lenet-bundle --json",
			"winnow inspect resnet8 --costs --batch-size 128 --threads 2 --device cpu",
			"winnow inspect model.onnx --costs --top 20 --profile-out trace.json"),
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: train.DefaultBatchSize, Destination: &o.BatchSize, Category: flagsMachine,
				Usage: "batch size `N`, for the memory of activations and for --costs"},
			&cli.BoolFlag{Name: "costs", Destination: &o.WithCosts, Category: flagsOutput,
				Usage: "show where the time of a training step goes"},
			jsonFlag(&o.JSON),
		}, slices.Concat(o.Forward.flags(), o.Costs.flags())...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "a model or a bundle")
			if err != nil {
				return err
			}
			o.Path = args[0]
			o.Forward.set(c)
			if o.BatchSize < 1 {
				return usagef("--batch-size %d: give 1 or more", o.BatchSize)
			}
			for _, name := range costFlagNames() {
				if c.IsSet(name) && !o.WithCosts {
					return usagef("--%s: only with --costs", name)
				}
			}
			return runInspect(c.Context, o, out)
		},
	}
}

func runInspect(ctx context.Context, o inspectOptions, out *output) error {
	if o.WithCosts {
		return inspectCosts(ctx, o, out)
	}
	b, err := openBundle(ctx, o.Path)
	if b == nil && isModelFile(o.Path) {
		return inspectModel(o, out)
	}
	if err != nil {
		return err
	}
	return inspectBundle(b, o, out)
}

func isModelFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && !strings.EqualFold(filepath.Ext(path), ".zip")
}

// modelReport is the JSON form of an inspected model.
type modelReport struct {
	File       string            `json:"file"`
	Producer   string            `json:"producer,omitempty"`
	IRVersion  int64             `json:"ir_version"`
	Opset      int64             `json:"opset"`
	Inputs     []valueReport     `json:"inputs"`
	Outputs    []valueReport     `json:"outputs"`
	Weights    int               `json:"weights"`
	Parameters int64             `json:"parameters"`
	Bytes      int64             `json:"bytes"`
	Operators  []operatorReport  `json:"operators"`
	Tensors    []autodiff.Tensor `json:"tensors"` // what is trained, what is not, and why
	Trainable  bool              `json:"trainable"`
	BatchSize  int               `json:"batch_size"`
	Activation int64             `json:"activation_bytes"` // of the forward pass, for a batch
	Warnings   []string          `json:"warnings"`
	Problems   []string          `json:"problems"`

	advice []string // flags that export needs
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
		Tensors: []autodiff.Tensor{}, Warnings: []string{}, Problems: []string{}}
	if twice := opset.Rename(m); len(twice) > 0 {
		r.Warnings = append(r.Warnings, autodiff.RenamedNotice(twice))
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

// build makes the bundle that export would, with the loss that the model's end
// asks for, and notes the flags that it takes.
func (r *modelReport) build(m *onnx.Model, f forwardOptions) (*bundle.Bundle, error) {
	build := autodiff.Options{Name: "inspect", Warn: func(text string) { r.Warnings = append(r.Warnings, text) }}
	build.Decided = func(list []autodiff.Tensor) { r.Tensors = list }
	f.apply(&build)
	if autodiff.EndsInSigmoid(m, f.Output) {
		build.Loss.Name = bundle.BCE
		r.advice = append(r.advice, "--loss", bundle.BCE)
	}
	if f.Output != "" {
		r.advice = append(r.advice, "--output", f.Output)
	}
	if f.DynamicBatch {
		r.advice = append(r.advice, "--dynamic-batch")
	}
	if in := m.Graph.Inputs; len(in) == 1 && len(in[0].Shape) == 2 {
		r.advice = append(r.advice, "--input-size", "CxHxW")
	}
	return autodiff.Build(m, build)
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
		size := int64(v.DType.Size())
		for _, d := range v.Shape {
			size *= d.N
			if !d.IsConst() {
				size *= n
			}
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
			r.Parameters += elements(t.Dims)
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
		name := n.Op
		if n.Domain != "" {
			name = n.Domain + "." + n.Op
		}
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

func (r *modelReport) print(out *output) {
	out.printf("%s: ONNX model, opset %d", out.style(styleBold, r.File), r.Opset)
	if r.Producer != "" {
		out.printf(", by %s", r.Producer)
	}
	out.printf("\n\nInputs\n")
	printValues(out, r.Inputs)
	out.printf("\nOutputs\n")
	printValues(out, r.Outputs)
	out.printf("\nParameters\n  %s in %d tensors, %s\n", countText(r.Parameters), r.Weights, bytesText(r.Bytes))
	if r.Activation > 0 {
		out.printf("\nActivations\n  %s for a batch of %d\n", bytesText(r.Activation), r.BatchSize)
	}
	out.printf("\nOperators\n")
	rows := [][]any{}
	for _, op := range r.Operators {
		note := styled("gradient")
		if !op.Gradient {
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

func printValues(out *output, values []valueReport) {
	rows := make([][]string, 0, len(values))
	for _, v := range values {
		rows = append(rows, []string{v.Name, v.DType, v.Shape})
	}
	out.table(rows)
}

// printTensors lists what is trained, what is not, and why.
func printTensors(out *output, tensors []autodiff.Tensor) {
	if len(tensors) == 0 {
		return
	}
	count, values := map[string]int{}, map[string]int64{}
	for _, t := range tensors {
		count[t.State]++
		values[t.State] += elements(t.Shape)
	}
	out.printf("\nTensors: %s trained (%s values), %s left as they are (%s), %s of running statistics\n",
		tensorsText(count[autodiff.StateTrained]), countText(values[autodiff.StateTrained]),
		tensorsText(count[autodiff.StateFixed]), countText(values[autodiff.StateFixed]), tensorsText(count[autodiff.StateRunning]))
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

// bundleReport is the JSON form of an inspected bundle.
type bundleReport struct {
	Path       string           `json:"path"`
	Manifest   *bundle.Manifest `json:"manifest"`
	Parameters int64            `json:"parameters"`
	StateBytes int64            `json:"state_bytes"`
	Problems   []string         `json:"problems"`
}

func inspectBundle(b *bundle.Bundle, o inspectOptions, out *output) error {
	r := bundleReport{Path: o.Path, Manifest: &b.Manifest, Parameters: parameters(&b.Manifest), Problems: []string{}}
	r.Problems = append(r.Problems, problems(b.Validate())...)
	for _, s := range b.Manifest.State {
		if d, err := onnx.ParseDType(s.DType); err == nil {
			r.StateBytes += elements(s.Shape) * int64(d.Size())
		}
	}
	if o.JSON {
		if err := out.printJSON(r); err != nil {
			return err
		}
	} else {
		r.print(out)
	}
	return faults(o.Path, len(r.Problems))
}

func (r *bundleReport) print(out *output) {
	m := r.Manifest
	out.printf("%s: training bundle %s, from %s\n\n", out.style(styleBold, r.Path), m.Name, m.Source.File)
	rows := [][]string{
		{"images", shapeText(m.ImageShape[:]) + " " + m.Train.Images.DType},
		{"classes", fmt.Sprint(m.Classes)},
		{"loss", lossText(m.Loss)},
		{"optimizer", optimizerText(m.Optimizer)},
		{"precision", precisionText(m.Precision)},
		{"parameters", trainedText(m)},
		{"state", fmt.Sprintf("%d tensors, %s", len(m.State), bytesText(r.StateBytes))},
		{"pruner sees", pruningSight(m)},
	}
	out.table(rows)
	out.printf("\nRoles of %s\n", bundle.TrainFile)
	out.table(roleRows(m))
	if m.Tuned != nil {
		out.printf("\nTuned\n  %s\n", tunedText(m.Tuned))
		printChoices(out, m.Tuned)
	}
	out.printf("\nState\n")
	rows = rows[:0]
	for _, s := range m.State {
		rows = append(rows, []string{s.Name, s.Kind, s.DType, shapeText(s.Shape)})
	}
	out.table(rows)
	if len(m.Fixed) > 0 {
		out.printf("\nLeft as they are\n")
		rows = rows[:0]
		for _, f := range m.Fixed {
			rows = append(rows, []string{f.Name, shapeText(f.Shape), f.Role, f.Why})
		}
		out.table(rows)
	}
	if len(r.Problems) > 0 {
		printProblems(out, r.Problems)
		return
	}
	out.printf("\n%s\n", out.style(styleGreen, "No faults found."))
}

// pruningSight says which losses the pruner gets, the ground on which
// `--prune auto` decides.
func pruningSight(m *bundle.Manifest) string {
	switch {
	case m.Train.PerSampleLoss != nil:
		return "every sample's loss"
	case m.Train.Logits != nil:
		return "every sample's logits"
	}
	return "the batch's loss only"
}

func roleRows(m *bundle.Manifest) [][]string {
	t := &m.Train
	rows := [][]string{}
	add := func(side, role string, v *bundle.Value) {
		if v != nil {
			rows = append(rows, []string{side, role, v.Name, v.DType, v.Shape.String()})
		}
	}
	add("in", "images", &t.Images)
	add("in", "labels", t.Labels)
	add("in", "sample_weights", t.SampleWeights)
	add("in", "loss_scale", t.LossScale)
	add("in", "learning_rate", &t.LearningRate)
	for i := range t.Random {
		add("in", "random", &t.Random[i])
	}
	add("out", "loss", &t.Loss)
	add("out", "per_sample_loss", t.PerSampleLoss)
	add("out", "logits", t.Logits)
	return rows
}

func printProblems(out *output, list []string) {
	out.printf("\n%s\n", out.style(styleRed, "Problems"))
	for _, p := range list[:min(len(list), maxListed)] {
		out.printf("  - %s\n", p)
	}
	if n := len(list) - maxListed; n > 0 {
		out.printf("  and %d more, all in --json\n", n)
	}
}

// maxListed is how many problems are listed for people.
const maxListed = 100

func faults(path string, n int) error {
	switch n {
	case 0:
		return nil
	case 1:
		return inputf("inspect %q: 1 problem, listed above", path)
	}
	return inputf("inspect %q: %d problems, listed above", path, n)
}

// problems takes a joined error apart, one text for each.
func problems(err error) []string {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && strings.Contains(err.Error(), "\n") {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, problems(e)...)
		}
		return list
	}
	return slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// notThere reports whether a path names nothing at all.
func notThere(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}
