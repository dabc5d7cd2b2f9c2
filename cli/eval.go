package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	ortrun "winnow/runtime"
	"winnow/train"
)

type evalOptions struct {
	Path     string
	Data     string
	DataSet  bool // --data was given
	Train    bool
	TestSize int
	Batch    int
	Images   imageOptions
	Device   deviceOptions
	JSON     bool
}

func newEvalCommand(out *output) *cli.Command {
	var o evalOptions
	flags := []cli.Flag{
		dataFlag(&o.Data),
		&cli.BoolFlag{Name: "train", Destination: &o.Train, Category: flagsData, Usage: "evaluate on the training split"},
		&cli.IntFlag{Name: "limit-test", Destination: &o.TestSize, Category: flagsData, DefaultText: "all",
			Usage: "use the first `N` samples"},
		&cli.IntFlag{Name: "batch-size", Value: loader.DefaultBatchSize, Destination: &o.Batch, Category: flagsMachine,
			Usage: "samples `N` at a time"},
		jsonFlag(&o.JSON),
	}
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure a trained model: top-1, top-5, loss, accuracy by class",
		ArgsUsage: "RUN|MODEL.onnx|BUNDLE",
		Description: examples(`Runs a run folder's model, any ONNX classifier or a bundle with its initial
weights over a data set. A run is measured on the data it was trained with,
unless --data says otherwise.`,
			"winnow eval runs/lenet-glyphs-auto-s0",
			"winnow eval model.onnx --data fashion-mnist --mean 0.286 --std 0.353 --json"),
		Flags: append(append(flags, o.Images.normalizeFlags()...), o.Device.flags()...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "a run, a model or a bundle")
			if err != nil {
				return err
			}
			o.Path, o.DataSet = args[0], c.IsSet("data")
			return runEval(c.Context, o, out)
		},
	}
}

// classifier is an ONNX model that gives class scores for images.
type classifier struct {
	model []byte
	spec  eval.Spec
	data  string // the data it was trained with, "" if that is not known
	own   bool   // made by this program: what normalises is inside
}

func runEval(ctx context.Context, o evalOptions, out *output) error {
	if o.Batch < 1 || o.Batch > loader.MaxBatchSize {
		return usagef("--batch-size %d: give 1 to %d", o.Batch, loader.MaxBatchSize)
	}
	if err := o.Images.validate(); err != nil {
		return err
	}
	m, err := openClassifier(ctx, o.Path)
	if err != nil {
		return err
	}
	if !o.DataSet && m.data != "" {
		o.Data = m.data
	}
	data, err := openData(o.Data)
	if err != nil {
		return err
	}
	defer data.Close()
	src := data.Test
	if o.Train {
		src = data.Train
	}
	if src, err = limited(src, o.TestSize, "--limit-test"); err != nil {
		return err
	}
	if err := m.spec.CheckData(src); err != nil {
		return err
	}
	device, err := openDevice(ctx, o.Device, func(text string) { out.notef("%s", text) })
	if err != nil {
		return err
	}
	defer device.Close()
	result, err := m.evaluate(ctx, device, src, o)
	if err != nil {
		return err
	}
	return printResult(o, data.ClassNames, result, out)
}

func (m *classifier) evaluate(ctx context.Context, device *ortrun.Device, src loader.Source, o evalOptions) (*eval.Result, error) {
	runner, closer, err := m.open(device, o)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	l, err := loader.New(src, loader.Options{BatchSize: o.Batch})
	if err != nil {
		return nil, err
	}
	it, err := l.Epoch(ctx, 1, nil, nil)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	return eval.Evaluate(ctx, runner, it, m.spec.Classes)
}

// open makes the session; a foreign model of float32 images is fed normalised ones.
func (m *classifier) open(device *ortrun.Device, o evalOptions) (eval.Runner, io.Closer, error) {
	if m.own || !m.spec.Float {
		model, err := eval.OpenModel(device, m.model, m.spec, o.Batch)
		return model, model, err
	}
	s := m.spec.ImageShape
	ev, err := device.NewEvaluator(ortrun.EvalSpec{
		Model:  m.model,
		Images: ortrun.Slot{Name: m.spec.Images, DType: ortrun.Float32, Shape: []int64{-1, s[0], s[1], s[2]}},
		Logits: ortrun.Slot{Name: m.spec.Logits, DType: ortrun.Float32, Shape: []int64{-1, int64(m.spec.Classes)}},
	}, nil, o.Batch)
	if err != nil {
		return nil, nil, err
	}
	return newFloatRunner(ev, int(s[0]), int(s[1]*s[2]), o.Images), ev, nil
}

// openClassifier reads what is to be evaluated: a run folder, an .onnx file, or
// a bundle, whose initial weights are put in.
func openClassifier(ctx context.Context, path string) (*classifier, error) {
	if isModelFile(path) {
		m, err := onnx.Read(path)
		if err != nil {
			return nil, err
		}
		return newClassifier(path, m)
	}
	if exists(filepath.Join(path, eval.SummaryFile)) {
		run, err := eval.ReadRun(path)
		if err != nil {
			return nil, err
		}
		if run.Summary.Epochs == 0 {
			return nil, inputf("eval: run %q has no model: no epoch was finished", path)
		}
		m, err := onnx.Read(filepath.Join(path, eval.ModelFile))
		if err != nil {
			return nil, inputf("eval: run %q: %w", path, err)
		}
		model, err := m.Encode()
		if err != nil {
			return nil, err
		}
		return &classifier{model: model, spec: run.ModelSpec(), data: run.Summary.Data, own: true}, nil
	}
	if exists(filepath.Join(path, eval.MetricsFile)) {
		return nil, inputf("eval: run %q is not finished: it has no %s", path, eval.SummaryFile)
	}
	if notThere(path) && !slices.Contains(models.Names(), path) {
		return nil, inputf("eval: no %q: give a run's folder, an .onnx file, or a bundle (shipped are %s)", path, shippedText())
	}
	b, err := openBundle(ctx, path)
	if err != nil {
		return nil, err
	}
	m, err := autodiff.Inference(b, b.Init)
	if err != nil {
		return nil, err
	}
	c, err := newClassifier(path, m)
	if err != nil {
		return nil, err
	}
	c.own = true
	return c, nil
}

// newClassifier finds the images and the logits of a model: its one input, its
// first output.
func newClassifier(path string, m *onnx.Model) (*classifier, error) {
	if err := onnx.Check(m); err != nil {
		return nil, err
	}
	if len(m.Graph.Inputs) != 1 || len(m.Graph.Outputs) == 0 {
		return nil, inputf("eval: %q has %d inputs and %d outputs, a classifier has one of each", path, len(m.Graph.Inputs), len(m.Graph.Outputs))
	}
	in, logits := m.Graph.Inputs[0], m.Graph.Outputs[0]
	if in.DType != onnx.Uint8 && in.DType != onnx.Float32 || len(in.Shape) != 4 || !in.Shape[1:].IsConst() {
		return nil, inputf("eval: %q takes %s %s, want images [N, C, H, W] of uint8 or float32", path, in.DType, in.Shape)
	}
	if logits.DType != onnx.Float32 || len(logits.Shape) != 2 || !logits.Shape[1].IsConst() {
		return nil, inputf("eval: %q gives %s %s, want logits [N, K] of float32", path, logits.DType, logits.Shape)
	}
	model, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return &classifier{model: model, spec: eval.Spec{
		Images: in.Name, Logits: logits.Name, Float: in.DType == onnx.Float32,
		ImageShape: [3]int64{in.Shape[1].N, in.Shape[2].N, in.Shape[3].N}, Classes: int(logits.Shape[1].N),
	}}, nil
}

// floatRunner feeds a model that takes float32 images, normalised outside of it.
type floatRunner struct {
	inner   eval.Runner
	factor  []float32 // by channel: x*factor + offset
	offset  []float32
	pixels  int // of a channel
	scratch []byte
}

var _ eval.Runner = (*floatRunner)(nil)

func newFloatRunner(inner eval.Runner, channels, pixels int, o imageOptions) *floatRunner {
	r := &floatRunner{inner: inner, pixels: pixels}
	mean, std := o.Mean.Value(), o.Std.Value()
	for c := range channels {
		m, s := 0.0, 1.0
		if len(mean) > 0 {
			m = mean[min(c, len(mean)-1)]
		}
		if len(std) > 0 {
			s = std[min(c, len(std)-1)]
		}
		r.factor = append(r.factor, float32(o.Scale/s))
		r.offset = append(r.offset, float32(-m/s))
	}
	return r
}

// Run converts n images of bytes and runs the model on them.
func (r *floatRunner) Run(n int, images []byte) ([]float32, error) {
	r.scratch = slices.Grow(r.scratch[:0], 4*len(images))[:0]
	for i, x := range images {
		c := i / r.pixels % len(r.factor)
		r.scratch = appendFloat32(r.scratch, float32(x)*r.factor[c]+r.offset[c])
	}
	return r.inner.Run(n, r.scratch)
}

func appendFloat32(b []byte, v float32) []byte {
	u := math.Float32bits(v)
	return append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
}

func classLabel(names []string, k int) string {
	if k < len(names) {
		return names[k]
	}
	return fmt.Sprint(k)
}

// evalReport is the JSON form of an evaluation.
type evalReport struct {
	Model    string                `json:"model"`
	Data     string                `json:"data"`
	Split    string                `json:"split"`
	Samples  int                   `json:"samples"`
	Loss     float64               `json:"loss"`
	Top1     float64               `json:"top1"`
	Top5     float64               `json:"top5"`
	PerClass map[string]classScore `json:"per_class"`
}

type classScore struct {
	Samples  int     `json:"samples"`
	Correct  int     `json:"correct"`
	Accuracy float64 `json:"accuracy"`
}

func printResult(o evalOptions, names []string, r *eval.Result, out *output) error {
	split := "test"
	if o.Train {
		split = "train"
	}
	if o.JSON {
		report := evalReport{Model: o.Path, Data: o.Data, Split: split, Samples: r.Samples,
			Loss: r.Loss, Top1: r.Top1, Top5: r.Top5, PerClass: map[string]classScore{}}
		for k, c := range r.PerClass {
			report.PerClass[classLabel(names, k)] = classScore{c.Samples, c.Correct, c.Accuracy()}
		}
		return out.printJSON(report)
	}
	out.printf("%s on %s of %s, %s samples\n\n", out.style(styleBold, o.Path), split, o.Data, countText(int64(r.Samples)))
	out.table([][]string{
		{"top-1", fmt.Sprintf("%.4f", r.Top1)},
		{"top-5", fmt.Sprintf("%.4f", r.Top5)},
		{"loss", fmt.Sprintf("%.4f", r.Loss)},
	})
	out.printf("\nBy class\n")
	rows := [][]string{}
	for k, c := range r.PerClass {
		rows = append(rows, []string{classLabel(names, k), fmt.Sprintf("%.4f", c.Accuracy()), fmt.Sprintf("%d of %d", c.Correct, c.Samples)})
	}
	out.table(rows)
	return nil
}

// evaluator gives train the metrics of eval.
type evaluator struct{}

var _ train.Evaluator = evaluator{}

// Evaluate measures a model's logits over every batch.
func (evaluator) Evaluate(ctx context.Context, r train.Runner, b train.Batches, classes int) (train.Metrics, error) {
	res, err := eval.Evaluate(ctx, r, b, classes)
	if err != nil {
		return train.Metrics{}, err
	}
	return train.Metrics{Loss: res.Loss, Accuracy: res.Top1, Top5: res.Top5}, nil
}

// CrossEntropy fills dst with each sample's loss.
func (evaluator) CrossEntropy(dst, logits []float32, labels []int64, classes int) error {
	return eval.CrossEntropy(dst, logits, labels, classes)
}
