package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/prune"
	runs "winnow/run"
	ortrun "winnow/runtime"
	"winnow/runtime/mpi"
	"winnow/train"
	"winnow/train/schedule"
)

type trainOptions struct {
	Bundle     string
	Data       string
	TrainSize  int
	TestSize   int
	LeaveOut   string
	Transforms transformOptions

	Forward  forwardOptions
	Graph    graphOptions
	Images   imageOptions
	Targets  cli.StringSlice
	Changed  []string // flags of Graph and Images that were given
	InitSeed *uint64  // nil takes the recipe's seed
	Recipe   train.Recipe

	Device  deviceOptions
	Layout  string
	Workers int

	Job     train.Job // the processes that train together
	library string    // of MPI, that joins them
	comm    *mpi.Comm

	Out       string
	Overwrite bool
	Saving    savingOptions
	Report    bool
	Quiet     bool
}

func newTrainCommand(out *output) *cli.Command {
	o := trainOptions{}
	return &cli.Command{
		Name:      "train",
		Usage:     "train a model on images, skipping samples that teach it little",
		UsageText: "winnow train --bundle BUNDLE [--data SPEC] [FLAGS]",
		Description: about(`Trains the model of --bundle on --data and writes a run folder: metrics.jsonl and metrics.csv
(a line per epoch), model.onnx (the trained model, for inference anywhere),
checkpoints, summary.json and report.html. --bundle takes the name of a shipped bundle, an
exported bundle (a folder or a zip file), or an .onnx file, which is exported in
memory. Given an earlier run, or its model.onnx, training starts from its weights,
with its normalisation and a new optimizer.

Shipped bundles, for 10 classes:
`+shippedTable()+`
Pruning methods:
`+methodsText()+`
Presets of --aug, over which the flags that are given go:
`+presetText()+`
Ctrl-C ends the run cleanly and keeps what was done; so do SIGTERM, closing the
terminal (nohup keeps a run going), and a file named stop in the run folder. A run
that ended so, or was killed, goes on with --resume DIR from its newest checkpoint,
on the CPU to the same bits as if it had never ended. --resume auto --out DIR
starts it or goes on, for schedulers that restart jobs.

--config FILE takes flags from a file, with their names as keys: "lr: 0.1", lists as
[0.3, 0.3]. Flags given here override it; relative paths in it begin where winnow is
run, as on the command line. --print-config prints such a file. Each run writes its
own to config.yaml, with absolute paths, and a run from that repeats it.

Under mpirun, mpiexec or srun the processes share each batch, whose size
--batch-size is, and train as one does; each takes a GPU, or its part of the cores.

Only one process at a time can write to a run
folder. --overwrite replaces an earlier run as soon as the new one has finished an
epoch; it never touches a folder that is not a run, nor the model of --bundle.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow train --bundle lenet",
			"winnow train --bundle lenet --data fashion-mnist --prune bls-infobatch --seed 1",
			"winnow train --bundle resnet20 --data glyphs:color=rgb --crop-pad 2 --lr 0.1",
			"winnow train --bundle model.onnx --data mnist:DIR --device cuda",
			"winnow train --resume runs/lenet-glyphs-auto-s0"),
		Flags: trainFlags(&o),
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			out, err := o.join(out)
			if err != nil {
				return err
			}
			if o.Saving.Resume != "" {
				if done, err := o.goOn(c, out); done || err != nil {
					return err
				}
			}
			if err := o.meet(); err != nil {
				return err
			}
			o.Saving.typed, o.Saving.config = typedFlags(c), configLines(c)
			if err := setOptions(c, prune.UserOptions(), &o.Recipe.Prune); err != nil {
				return err
			}
			if err := setOptions(c, schedule.Options(), &o.Recipe.Schedule); err != nil {
				return err
			}
			if err := checkDependents(c); err != nil {
				return err
			}
			if err := o.Graph.set(c); err != nil {
				return err
			}
			o.Forward.set(c)
			o.Transforms.given = c.IsSet
			o.Changed = given(c, slices.Concat(new(graphOptions).flags(""), new(imageOptions).normalizeFlags("")))
			if c.IsSet("init-seed") {
				seed := c.Uint64("init-seed")
				o.InitSeed = &seed
			}
			return runTrain(c.Context, o, out)
		},
	}
}

func trainFlags(o *trainOptions) []cli.Flag {
	o.Recipe = train.Defaults().Recipe
	r := &o.Recipe
	flags := []cli.Flag{
		dataFlag(&o.Data),
		&cli.StringSliceFlag{Name: "target", Destination: &o.Targets, Category: flagsData, DefaultText: "by name, or the only one that fits",
			Usage: "which target of the data, `NAME=COLUMN`, the target NAME of the bundle takes; may be given for each"},
		&cli.IntFlag{Name: "limit-train", Destination: &o.TrainSize, Category: flagsData, DefaultText: "all",
			Usage: "use only the first `N` training samples"},
		&cli.IntFlag{Name: "limit-test", Destination: &o.TestSize, Category: flagsData, DefaultText: "all",
			Usage: "use only the first `N` test samples"},
		&cli.StringFlag{Name: "leave-out", Destination: &o.LeaveOut, Category: flagsData,
			Usage: "train without fold K of N of the training samples, `K/N`, drawn class by class"},

		&cli.StringFlag{Name: "bundle", Destination: &o.Bundle, Category: flagsModel, TakesFile: true,
			Usage: "`NAME` of a shipped bundle, an exported bundle, an .onnx file, or an earlier run"},

		&cli.IntFlag{Name: "epochs", Value: r.Epochs, Destination: &r.Epochs, Category: flagsRecipe, Usage: "number `E` of epochs"},
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: r.BatchSize, Destination: &r.BatchSize, Category: flagsRecipe, Usage: "batch size `N`"},
		&cli.IntFlag{Name: "accum", Value: 1, Destination: &r.Accum, Category: flagsRecipe,
			Usage: "add up the gradients of `N` batches for each step, as one batch N times as large would have them; batch normalisations see each batch by itself"},
		&cli.Float64Flag{Name: "lr", Value: r.LearningRate, Destination: &r.LearningRate, Category: flagsRecipe, Usage: "learning rate `LR`, the highest of the schedule"},
		&cli.StringFlag{Name: "sched", Value: r.Schedule.Name, Destination: &r.Schedule.Name, Category: flagsRecipe,
			Usage: "learning-rate schedule `NAME`: " + strings.Join(schedule.Names(), ", ")},
	}
	seeds := []cli.Flag{
		seedFlag(&r.Seed),
		&cli.Uint64Flag{Name: "init-seed", Category: flagsRecipe, DefaultText: "the value of --seed",
			Usage: "another seed `N` for a shipped model's first weights"},
	}
	rest := []cli.Flag{
		&cli.StringFlag{Name: "prune", Value: r.Method, Destination: &r.Method, Category: flagsPrune,
			Usage: "pruning `METHOD`, one of the list above; none trains in full"},
		&cli.StringFlag{Name: "prune-reference", Value: r.Reference, Destination: &r.Reference, Category: flagsPrune,
			Usage: "DAS: reference `SET` of trusted samples: population, holdout:F, pseudo:F, or a file of their indices"},

		layoutFlag(&o.Layout, runLayouts, "training graph to run; auto takes kernels (blocks of channels and operators of winnow's own) where the CPU has AVX2, else nchwc (ONNX Runtime's alone) where the bundle has one, each written anew as the run begins where need be"),
		&cli.IntFlag{Name: "workers", Destination: &o.Workers, Category: flagsMachine, DefaultText: "half the processors",
			Usage: "loader workers `N`"},

		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "runs/BUNDLE-DATA-METHOD-SEED", Usage: "run folder `DIR` to write"},
		overwriteFlag(&o.Overwrite, "the run at --out"),
		&cli.BoolFlag{Name: "report", Value: true, Destination: &o.Report, Category: flagsOutput,
			Usage: "write report.html at the end, as winnow report does; --report=false leaves it out"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &o.Quiet, Category: flagsOutput,
			Usage: "print nothing but errors"},
	}
	return slices.Concat(flags, o.Saving.flags(), o.Transforms.flags(), optionFlags(schedule.Options(), flagsRecipe), seeds, o.Forward.flags(),
		o.Graph.flags(flagsNew), o.Images.normalizeFlags(flagsNew), rest, optionFlags(prune.UserOptions(), flagsPrune), o.Device.flags())
}

// methodFull is the method that trains on everything.
const methodFull = "none"

// Columns of the tables in --help.
const (
	bundleColumn = 12
	methodColumn = 18
)

// shippedTable lists the shipped bundles for --help.
func shippedTable() string {
	var b strings.Builder
	for i, line := range models.About() {
		entry(&b, models.Names()[i], line, bundleColumn)
	}
	return b.String()
}

// methodsText lists the pruning methods for --help.
func methodsText() string {
	var b strings.Builder
	for _, m := range prune.Methods() {
		entry(&b, m.Name, m.Doc, methodColumn)
	}
	entry(&b, "SCORER-POLICY", "any scorer with any policy", methodColumn)
	fmt.Fprintf(&b, "Scorers: %s. Policies: %s.\n", kindNames(prune.Scorers()), kindNames(prune.Policies()))
	return b.String()
}

func runTrain(ctx context.Context, o trainOptions, out *output) error {
	if err := o.check(); err != nil {
		return err
	}
	p := newProgress(ctx, out, o.Recipe.Epochs, o.Quiet)
	data, err := openData(ctx, o.Data, out, p.Notice)
	if err != nil {
		return err
	}
	defer data.Close()
	channels, h, w := loader.ShapeOf(data.Train)
	o.Forward.data = [3]int64{int64(channels), int64(h), int64(w)}
	o.takeTargets(data.Train, p.Notice)
	run, pixels, err := o.resolve(ctx, p.Notice)
	if err != nil {
		return err
	}
	if n := int64(len(data.ClassNames)); n > 0 && n < run.Bundle.Manifest.Classes {
		p.Notice(fmt.Sprintf("the data has %d classes, the model %d; --num-classes %d gives an .onnx file or a shipped model a last layer of its own", n, run.Bundle.Manifest.Classes, n))
	}
	training, test, err := limitedSplits(data, o.TrainSize, o.TestSize)
	if err != nil {
		return err
	}
	if training, err = leftOut(training, o.LeaveOut); err != nil {
		return err
	}
	run.Command.LeftOut = o.LeaveOut
	if err := o.Saving.apply(&run, p.Notice); err != nil {
		return err
	}
	if n := data.Noise; n != nil {
		changed := 0
		for i := range uint32(training.Len()) {
			if training.Target(i).Class() != loader.TrueLabelOf(training, i) {
				changed++
			}
		}
		run.Command.LabelNoise = &runs.LabelNoise{Kind: n.Kind, Rate: n.Rate, Seed: n.Seed, To: n.To, Changed: changed}
		p.Notice(fmt.Sprintf("data: %s of %s training labels are wrong on purpose (%s noise)", countText(int64(changed)), countText(int64(training.Len())), n.Kind))
	}
	if run.Bad, err = badSamples(o.Transforms.OnBad); err != nil {
		return err
	}
	if err := o.Transforms.sources(&run, training, test, p.Notice); err != nil {
		return err
	}
	device, err := openDevice(ctx, o.Device, p.Notice)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := checkPrecision(run.Bundle, device, p.Notice); err != nil {
		return err
	}
	run.Device, run.Reporter = device, p
	run.Command.Threads = device.Threads()
	if err := o.direct(device); err != nil {
		return err
	}
	run.Job = o.Job
	if o.Device.Graph && (o.Job.Size > 1 || run.Accum > 1) {
		p.Notice("--cuda-graph has no effect on steps of several batches or processes")
	}
	if run.Out == "" {
		run.Out = runName(run.BundleName, data.Name, o.Recipe.Method, o.Recipe.Seed)
		if o.Job.Rank == 0 {
			if run.Out, err = claimRun(run.Out); err != nil {
				return err
			}
			defer os.Remove(run.Out) // where nothing was written
		}
	}
	if err := run.Validate(); err != nil {
		return err
	}
	about := runText(&run, pixels, device, out)
	if o.Job.Size > 1 {
		about += out.sprintf("\njob     %d processes, which share each batch; %s", o.Job.Size, o.library)
	}
	run.Config = runConfig(o.Saving.config, string(about), device.Threads())
	run.Begin = func() { p.begin(about) }

	summary, err := train.Run(ctx, run)
	if errors.Is(err, ortrun.ErrGraph) && !strings.Contains(err.Error(), o.Bundle) { // which file it is of
		err = fmt.Errorf("bundle %q: %w", o.Bundle, err)
	}
	p.clear()
	printBad(run.Bad, out)
	if summary != nil && !o.Quiet {
		printSummary(summary, run.Out, out)
	}
	if err == nil && o.Report && o.Job.Rank == 0 {
		o.report(ctx, &run, training, test, data.ClassNames, out)
	}
	return err
}

// report writes the page of a finished run. A run without it is finished all the same.
func (o *trainOptions) report(ctx context.Context, run *train.Options, training, test loader.Records, classes []string, out *output) {
	r, err := runs.Read(run.Out)
	if err == nil {
		p := reporting{run: r, training: training, test: test, classes: classes, device: run.Device, batch: run.BatchSize, decode: o.Transforms.Decoder,
			onBad: o.Transforms.OnBad, notice: func(string) {}}
		err = p.write(ctx, filepath.Join(run.Out, runs.ReportFile))
	}
	switch {
	case err != nil && ctx.Err() == nil:
		out.notef("note: no report: %s", err)
	case err == nil && !o.Quiet:
		out.printf("report %s\n", filepath.Join(run.Out, runs.ReportFile))
	}
}

// leftOut is records without a fold, K/N; "" leaves nothing out.
func leftOut(r loader.Records, fold string) (loader.Records, error) {
	if fold == "" {
		return r, nil
	}
	k, n, err := datasets.ParseFold(fold)
	if err != nil {
		return nil, usagef("--leave-out: %w", err)
	}
	return datasets.WithoutFold(r, k, n)
}

// check refuses what can be refused before anything is read, and settles on the data.
func (o *trainOptions) check() error {
	if o.Bundle == "" {
		return usagef("train: give --bundle: a shipped one (%s), a bundle's folder, or an .onnx file", shippedText())
	}
	var err error
	if o.Data, err = dataFor("train", o.Bundle, o.Data); err != nil {
		return err
	}
	o.Data = fromHere(o.Data)
	if o.InitSeed != nil && !slices.Contains(models.Names(), o.Bundle) {
		return usagef("--init-seed: only with a shipped bundle; winnow export --reinit draws new weights for an .onnx file")
	}
	if _, _, _, err := prune.Resolve(o.Recipe.Method, true); err != nil {
		return usagef("%w", err)
	}
	if err := o.Graph.validate(); err != nil {
		return err
	}
	if err := oneOf("--layout", o.Layout, runLayouts...); err != nil {
		return err
	}
	if err := o.Recipe.Validate(); err != nil {
		return err
	}
	if err := o.Transforms.validate(); err != nil {
		return err
	}
	o.Recipe.Augment, o.Recipe.Mix = o.Transforms.Augment, o.Transforms.Mix
	_, err = o.Device.resolve(nil)
	return err
}

// checkPrecision refuses a bundle that the device has no kernels for.
func checkPrecision(b *bundle.Bundle, d *ortrun.Device, notice func(string)) error {
	half := b.Manifest.Precision
	if half == "" || d.Provider() != ortrun.CPUProvider {
		return nil
	}
	if half == export.BFloat16 {
		return fmt.Errorf("bundle %q computes in %s: %w: the CPU has no kernels for it; run on CUDA, or export with --amp-dtype %s",
			b.Manifest.Name, half, ortrun.ErrNoDevice, export.Float16)
	}
	notice(half + " is slower than float32 on the CPU, which computes most of it in software; it is made for GPUs")
	return nil
}
