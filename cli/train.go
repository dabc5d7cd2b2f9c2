package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	"winnow/prune"
	ortrun "winnow/runtime"
	"winnow/train"
)

type trainOptions struct {
	Bundle    string
	Data      string
	TrainSize int
	TestSize  int
	Augment   loader.Augment

	Forward  forwardOptions
	Graph    graphOptions
	Changed  []string // flags of Graph that were given
	Epochs   int
	Batch    int
	LR       float64
	Schedule train.Schedule
	Seed     uint64

	Method    string
	Prune     prune.Options // by the flags of prune.UserOptions
	Reference string

	Device  deviceOptions
	Layout  string
	Workers int

	Out       string
	Overwrite bool
	Quiet     bool
}

func newTrainCommand(out *output) *cli.Command {
	o := trainOptions{}
	return &cli.Command{
		Name:  "train",
		Usage: "train a bundle on images, pruning samples as it goes",
		Description: examples(`Trains the model of --bundle on --data and writes a run folder: metrics.jsonl
(a line for each epoch), model.onnx (the trained model, for inference anywhere),
a checkpoint and summary.json. --bundle takes the name of a shipped bundle
(`+shippedText()+`), the folder or zip file of an exported one, or an .onnx
file, which is exported on the way. A run folder, or its model.onnx, is trained
on from its weights, with its normalisation; the optimizer starts anew.

Pruning methods:
`+methodsText()+`
The first Ctrl-C ends the run cleanly, with what was done so far written; so do
SIGTERM and the end of the terminal (nohup keeps a run going). One process at a
time writes a run folder. --overwrite replaces a run, finished or not, once the
new one has its first epoch; what is no run, and the model of --bundle, never.`,
			"winnow train --bundle lenet",
			"winnow train --bundle lenet --data fashion-mnist --epochs 10 --prune bls-infobatch --prune-ratio 0.5 --seed 1",
			"winnow train --bundle resnet20 --data glyphs:color=rgb --crop-pad 2 --sched onecycle --lr 0.1 -o runs/glyphs",
			"winnow train --bundle model.onnx --data fashion-mnist:DIR --device cuda"),
		Flags: trainFlags(&o),
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			if err := setOptions(c, prune.UserOptions(), &o.Prune); err != nil {
				return err
			}
			if err := setOptions(c, train.ScheduleOptions(), &o.Schedule); err != nil {
				return err
			}
			o.Forward.set(c)
			o.Changed = nil
			for _, name := range graphFlagNames() {
				if c.IsSet(name) {
					o.Changed = append(o.Changed, name)
				}
			}
			return runTrain(c.Context, o, out)
		},
	}
}

func trainFlags(o *trainOptions) []cli.Flag {
	d := train.Defaults()
	o.Schedule, o.Prune = d.Schedule, d.Prune
	flags := []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Destination: &o.Bundle, Category: flagsData,
			Usage: "`NAME` of a shipped bundle, a bundle's folder or zip file, an .onnx file, or a run to go on from"},
		dataFlag(&o.Data),
		&cli.IntFlag{Name: "limit-train", Destination: &o.TrainSize, Category: flagsData, DefaultText: "all",
			Usage: "use the first `N` training samples"},
		&cli.IntFlag{Name: "limit-test", Destination: &o.TestSize, Category: flagsData, DefaultText: "all",
			Usage: "use the first `N` test samples"},
		&cli.IntFlag{Name: "crop-pad", Destination: &o.Augment.CropPad, Category: flagsData, DefaultText: "0",
			Usage: "random crops after padding by `P` pixels"},
		&cli.BoolFlag{Name: "hflip", Destination: &o.Augment.HFlip, Category: flagsData,
			Usage: "flip half of the images left to right"},

		&cli.IntFlag{Name: "epochs", Value: d.Epochs, Destination: &o.Epochs, Category: flagsRecipe, Usage: "epochs `E` to train"},
		&cli.IntFlag{Name: "batch-size", Value: d.BatchSize, Destination: &o.Batch, Category: flagsRecipe, Usage: "samples `N` of a step"},
		&cli.Float64Flag{Name: "lr", Value: d.LearningRate, Destination: &o.LR, Category: flagsRecipe, Usage: "largest learning rate `LR`"},
		&cli.StringFlag{Name: "sched", Value: d.Schedule.Name, Destination: &o.Schedule.Name, Category: flagsRecipe,
			Usage: "learning-rate schedule `NAME`: " + strings.Join(train.Schedules(), ", ")},
		seedFlag(&o.Seed),

		&cli.StringFlag{Name: "prune", Value: d.Method, Destination: &o.Method, Category: flagsPrune,
			Usage: "pruning `METHOD`, see above"},
		&cli.StringFlag{Name: "reference", Value: d.Reference, Destination: &o.Reference, Category: flagsPrune,
			Usage: "DAS's reference `SET`: population, holdout:F, pseudo:F, or a file of clean indices"},

		layoutFlag(&o.Layout, "how a step stores images; auto takes blocks of channels where the bundle has a graph for this CPU"),
		&cli.IntFlag{Name: "workers", Destination: &o.Workers, Category: flagsMachine, DefaultText: "chosen by the loader",
			Usage: "goroutines `N` that read images"},

		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "runs/BUNDLE-DATA-METHOD-SEED", Usage: "run folder `DIR`"},
		overwriteFlag(&o.Overwrite, "the run that --out holds"),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &o.Quiet, Category: flagsOutput,
			Usage: "print errors only"},
	}
	return slices.Concat(flags, optionFlags(train.ScheduleOptions(), flagsRecipe), optionFlags(prune.UserOptions(), flagsPrune),
		o.Forward.flags(), o.Graph.flags(), o.Device.flags())
}

// methodsText lists the pruning methods for --help.
func methodsText() string {
	var b strings.Builder
	for _, m := range prune.Methods() {
		fmt.Fprintf(&b, "   %-15s %s\n", m.Name, m.Doc)
	}
	fmt.Fprintf(&b, "   %-15s any pair of %s and %s\n", "SCORER-POLICY", kindNames(prune.Scorers()), kindNames(prune.Policies()))
	return b.String()
}

func runTrain(ctx context.Context, o trainOptions, out *output) error {
	if o.Bundle == "" {
		return usagef("train: give --bundle: a shipped one (%s), a bundle's folder, or an .onnx file", shippedText())
	}
	if _, _, _, err := prune.Resolve(o.Method, true); err != nil {
		return usagef("%w", err)
	}
	if err := checkLayout(o.Layout); err != nil {
		return err
	}
	recipe := o.recipe()
	if err := recipe.ValidateRecipe(); err != nil {
		return err
	}
	if err := o.Augment.Validate(); err != nil {
		return usagef("--crop-pad: %w", err)
	}
	if _, err := o.Device.resolve(nil); err != nil { // before anything is read
		return err
	}
	p := newProgress(ctx, out, o.Epochs, o.Quiet)
	data, err := openData(o.Data, p.Notice)
	if err != nil {
		return err
	}
	defer data.Close()
	channels, h, w := loader.ShapeOf(data.Train)
	o.Forward.data = [3]int64{int64(channels), int64(h), int64(w)}
	run, err := o.resolve(ctx, p.Notice)
	if err != nil {
		return err
	}
	if err := o.sources(&run, data); err != nil {
		return err
	}
	device, err := openDevice(ctx, o.Device, p.Notice)
	if err != nil {
		return err
	}
	defer device.Close()
	if half := run.Bundle.Manifest.Precision; half != "" && device.Provider() == ortrun.CPUProvider {
		if half == autodiff.BFloat16 {
			return fmt.Errorf("bundle %q computes in %s: %w: the CPU has no kernels for it; run on CUDA, or export with --amp %s",
				run.BundleName, half, ortrun.ErrNoDevice, autodiff.Float16)
		}
		p.Notice(half + " is slower than float32 on the CPU, which computes most of it in software; it is made for GPUs")
	}
	run.Device, run.Reporter = device, p
	run.Extra["threads"] = device.Threads()
	if run.Out == "" {
		if run.Out, err = claimRun(runName(run.BundleName, data.Name, o.Method, o.Seed)); err != nil {
			return err
		}
		defer os.Remove(run.Out) // where nothing was written
	}
	if err := run.Validate(); err != nil {
		return err
	}
	p.begin(runText(&run, device, out))

	summary, err := train.Run(ctx, run)
	p.clear()
	if summary != nil && !o.Quiet {
		printSummary(summary, run.Out, out)
	}
	return err
}

// sources puts the images of the data through their transforms.
func (o *trainOptions) sources(run *train.Options, data *datasets.Dataset) error {
	records, err := limited(data.Train, o.TrainSize, "--limit-train")
	if err != nil {
		return err
	}
	augment, err := o.Augment.Transform(loader.ShapeOf(records))
	if err != nil {
		return err
	}
	if run.Train, err = loader.NewSource(records, augment); err != nil {
		return err
	}
	if run.Unaugmented, err = loader.NewSource(records, nil); err != nil {
		return err
	}
	if records, err = limited(data.Test, o.TestSize, "--limit-test"); err != nil {
		return err
	}
	run.Test, err = loader.NewSource(records, nil)
	return err
}

// block is that of a graph which the run can use.
func (o *trainOptions) block() (int64, error) {
	if strings.HasPrefix(o.Device.Device, "cuda") {
		return 0, nil
	}
	return blockHere(o.Layout, o.Device.Library)
}

// recipe is the part of the trainer's options that needs nothing opened.
func (o *trainOptions) recipe() train.Options {
	run := train.Defaults()
	run.Epochs, run.BatchSize, run.LearningRate, run.Schedule = o.Epochs, o.Batch, o.LR, o.Schedule
	run.Augment, run.Seed = o.Augment, o.Seed
	run.Method, run.Prune, run.Reference = o.Method, o.Prune, o.Reference
	return run
}

// resolve makes the trainer's options, but for the data and the device.
func (o *trainOptions) resolve(ctx context.Context, notice func(string)) (train.Options, error) {
	run := o.recipe()
	o.Graph.InsistOnBlock = o.Layout == bundle.LayoutNCHWC
	b, err := trainingBundle(ctx, o.Bundle, o.Forward, o.Graph, o.Changed, o.block, notice)
	if err != nil {
		return run, err
	}
	run.Bundle, run.BundleName, run.Data = b, b.Manifest.Name, o.Data
	run.Workers, run.Layout = o.Workers, o.Layout
	run.Out, run.Overwrite = o.Out, o.Overwrite
	if !slices.Contains(models.Names(), o.Bundle) {
		run.Source = o.Bundle
	}
	run.Evaluator = evaluator{}
	run.Export = func(state map[string]*onnx.Tensor) ([]byte, error) { return inferenceModel(b, state) }
	run.Extra = map[string]any{
		"bundle": o.Bundle, "limit_train": o.TrainSize, "limit_test": o.TestSize,
		"device": o.Device.Device, "layout": o.Layout,
	}
	return run, nil
}

func inferenceModel(b *bundle.Bundle, state map[string]*onnx.Tensor) ([]byte, error) {
	m, err := autodiff.Inference(b, state)
	if err != nil {
		return nil, err
	}
	m.Producer = onnx.Producer
	return wire.Encode(m)
}

// openDevice opens the device; log hears of auto settling for the CPU, and of
// graphs that take long to prepare, which the end of ctx ends.
func openDevice(ctx context.Context, o deviceOptions, log func(string)) (*ortrun.Device, error) {
	r, err := o.resolve(func(string, ...any) {
		log("running on the CPU: no CUDA device can be used (winnow doctor says why)")
	})
	if err != nil {
		return nil, err
	}
	r.Context = ctx
	r.Preparing = func(nodes int) { log(preparingText(nodes)) }
	return ortrun.Open(r)
}

func preparingText(nodes int) string {
	return fmt.Sprintf("ONNX Runtime is preparing a graph of %s nodes; that takes long for deep graphs, and Ctrl-C ends it", countText(int64(nodes)))
}

// runName is the default folder of a run.
func runName(bundleName, data, method string, seed uint64) string {
	parts := []string{bundleName, data, method, "s" + strconv.FormatUint(seed, 10)}
	clean := func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}
	return filepath.Join("runs", strings.Map(clean, strings.Join(parts, "-")))
}

// claimRun makes a default folder, numbered where the name is taken, so that
// two runs that begin at once have one each. A folder asked for by name is never
// replaced by another.
func claimRun(name string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return "", err
	}
	free := name
	for i := 2; ; i++ {
		if err := os.Mkdir(free, 0o777); !errors.Is(err, fs.ErrExist) {
			return free, err
		}
		free = fmt.Sprintf("%s-%d", name, i)
	}
}

// runText says what is about to happen, a line each for what, on what, how and where.
func runText(r *train.Options, d *ortrun.Device, out *output) styled {
	m := &r.Bundle.Manifest
	return out.sprintf(`model   %s, %s, %s, %s, %s
data    %s, %s train and %s test images
recipe  %d epochs, batch %d, lr %g %s, seed %d
device  %s, %d threads, ONNX Runtime %s`,
		r.BundleName, trainedText(m), optimizerText(m.Optimizer), lossText(m.Loss), precisionText(m.Precision),
		r.Data, countText(int64(r.Train.Len())), countText(int64(r.Test.Len())),
		r.Epochs, r.BatchSize, r.LearningRate, r.Schedule.Name, r.Seed,
		d.Name(), d.Threads(), d.LibraryVersion())
}

func printSummary(s *train.Summary, dir string, out *output) {
	verdict := out.sprintf("accuracy %s (best %.4f) after %d epochs",
		out.style(styleBold, fmt.Sprintf("%.4f", s.TestAccuracy)), s.BestTestAccuracy, s.Epochs)
	if s.Epochs == 0 {
		verdict = "no epoch finished"
	}
	if s.Interrupted {
		verdict += ", interrupted"
	}
	out.printf("\n%s; %s of %s samples used, %s saved; %s\n", verdict,
		countText(s.TrainSamplesUsed), countText(s.TrainSamplesFull), percent(s.SavedRatio), seconds(s.WallSeconds))
	out.printf("run %s\n", dir)
}
