package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	runs "winnow/run"
	"winnow/train"
)

// savingOptions say when a run writes checkpoints, and how it goes on from one.
type savingOptions struct {
	Resume string // a run folder, or auto
	Init   string
	Every  string
	Keep   int
	OnNaN  string
	Log    string
	Best   string
	typed  runs.CommandLine
	config []configLine
}

// logTensorBoard is what --log takes.
const logTensorBoard = "tensorboard"

// autoResume goes on where --out holds a run, and starts it where not.
const autoResume = "auto"

func (o *savingOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "resume", Destination: &o.Resume, Category: flagsOutput, TakesFile: true,
			Usage: "go on with the run in `DIR` from its newest checkpoint, with its own options; auto takes --out, and starts anew where there is none"},
		&cli.StringFlag{Name: "save-every", Value: train.DefaultEvery().String(), Destination: &o.Every, Category: flagsOutput,
			Usage: "write a checkpoint every `N` epochs (e), steps (s) or minutes (m); several with commas"},
		&cli.IntFlag{Name: "checkpoint-hist", Value: train.DefaultKeep, Destination: &o.Keep, Category: flagsOutput,
			Usage: "keep the newest `K` checkpoints, and the best"},
		&cli.StringFlag{Name: "log", Destination: &o.Log, Category: flagsOutput,
			Usage: "`tensorboard`: also write the numbers of each epoch as an event file, which tensorboard --logdir finds"},
		&cli.StringFlag{Name: "best", Destination: &o.Best, Category: flagsOutput, DefaultText: "the accuracy, or the task's first metric",
			Usage: "`METRIC` of the test samples that says which checkpoint is the best: loss, one that winnow eval prints, or a further output of a model with its own loss, of which less is better; NAME=max turns that"},
		&cli.StringFlag{Name: "init", Destination: &o.Init, Category: flagsModel, TakesFile: true,
			Usage: "first weights of --bundle, from a `RUN`, a .safetensors or an .onnx file"},
		&cli.StringFlag{Name: "on-nan", Value: train.OnNaNStop, Destination: &o.OnNaN, Category: flagsRecipe,
			Usage: "loss that is not finite: `stop|skip|rollback`: end the run, leave the step out, or go back to the last checkpoint at half the learning rate"},
	}
}

// free names the flags that may be given again with another value: they change
// nothing of what a run means, or are held against the run in another way.
func (o *trainOptions) free() []string {
	return slices.Concat(names(o.Device.flags()), unrecorded, []string{"workers", "save-every", "checkpoint-hist",
		"on-nan", "log", "epochs", "bundle", "data", "init"})
}

// pathFlags have values that may be paths; the paths of dataFlagName lie within its value.
var pathFlags = []string{"bundle", "init", "prune-reference"}

const dataFlagName = "data"

// fromHere is --data with its relative paths made absolute, so that a run finds
// its data again from any folder.
func fromHere(spec string) string {
	if dir, err := os.Getwd(); err == nil {
		spec = datasets.Absolute(spec, dir)
	}
	return spec
}

// goOn takes the options of the run that --resume names. It reports whether
// there is nothing left to do.
func (o *trainOptions) goOn(c *cli.Context, out *output) (done bool, err error) {
	s := &o.Saving
	dir := s.Resume
	switch {
	case o.Overwrite:
		return false, usagef("--resume and --overwrite: give one of the two")
	case dir == autoResume && o.Out == "":
		return false, usagef("--resume %s: give the folder with --out", autoResume)
	case dir == autoResume:
		dir = o.Out
	case o.Out != "" && !sameFolder(o.Out, dir):
		return false, usagef("--resume %s goes on in that folder; leave out --out %s", dir, o.Out)
	}
	p, err := runs.Last(dir)
	if s.Resume == autoResume && errors.Is(err, runs.ErrNothing) {
		s.Resume = ""
		o.Overwrite = !exists(filepath.Join(dir, runs.SummaryFile)) // of a run that never had a checkpoint
		return false, nil
	} else if other := notExperiment(dir, nil); other != nil {
		return false, other
	} else if err != nil && !runs.Begun(dir) && !notThere(dir) {
		return false, err
	} else if err != nil {
		return false, fmt.Errorf("%w; winnow train --out %s --resume auto starts one", err, dir)
	}
	if err := o.take(c, &p.Typed); err != nil {
		return false, err
	}
	if err := o.agrees(c, dir); err != nil {
		return false, err
	}
	o.Out, s.Resume = dir, dir
	if r, err := runs.Read(dir); err == nil && !r.Summary.Interrupted && p.Epoch >= o.Recipe.Epochs {
		out.notef("note: run %s is finished, with %s; a larger --epochs goes on", dir, counted(p.Epoch, "epoch"))
		return true, nil
	}
	return false, nil
}

// take sets the flags of the run, and refuses one that was given otherwise now.
func (o *trainOptions) take(c *cli.Context, typed *runs.CommandLine) error {
	free := o.free()
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		was, recorded := typed.Flags[name]
		if name == flagHFlip && was == "true" { // of a run from when it was a switch
			was = defaultFlip
		}
		switch {
		case c.IsSet(name) && !slices.Contains(free, name):
			if now := valueText(c, name); recorded && now != was {
				return usagef("--%s %s: the run was started with %s; leave it out, or start a new run with --init %s", name, now, was, o.Saving.Resume)
			} else if !recorded && now != defaultText(f) {
				return usagef("--%s %s: the run was started without; leave it out, or start a new run with --init %s", name, now, o.Saving.Resume)
			}
		case !c.IsSet(name) && recorded:
			if name == dataFlagName { // relative in runs of earlier versions
				was = datasets.Absolute(was, typed.Dir)
			}
			if err := c.Set(name, was); err != nil {
				return inputf("run %q: --%s %q: %w", o.Saving.Resume, name, was, err)
			}
		}
	}
	if c.IsSet("tf32") {
		on := c.Bool("tf32")
		o.Device.TF32 = &on
	}
	return nil
}

func defaultText(f cli.Flag) string {
	if d, ok := f.(cli.DocGenerationFlag); ok {
		return strings.Trim(d.GetValue(), `"`)
	}
	return ""
}

// typedFlags are the flags that were given, as they can be given again.
func typedFlags(c *cli.Context) runs.CommandLine {
	t := runs.CommandLine{Flags: map[string]string{}}
	t.Dir, _ = os.Getwd() // only said
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if c.IsSet(name) && !slices.Contains(unrecorded, name) {
			t.Flags[name] = recordedText(name, valueText(c, name))
		}
	}
	return t
}

// valueText is a flag's value in the form that it is given in.
func valueText(c *cli.Context, name string) string {
	switch v := c.Value(name).(type) {
	case cli.Float64Slice:
		return joined(v.Value())
	case *cli.Float64Slice:
		return joined(v.Value())
	case cli.StringSlice:
		return strings.Join(v.Value(), ",")
	case *cli.StringSlice:
		return strings.Join(v.Value(), ",")
	default:
		return fmt.Sprint(v)
	}
}

func joined(list []float64) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(parts, ",")
}

func sameFolder(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// apply puts the options into those of the trainer, and --init into its bundle.
func (o *savingOptions) apply(run *train.Options, notice func(string)) (err error) {
	if run.Every, err = train.ParseEvery(o.Every); err != nil {
		return err
	}
	if o.Keep < 1 {
		return usagef("--checkpoint-hist %d: give 1 or more", o.Keep)
	}
	if o.Log != "" {
		if err := oneOf("--log", o.Log, logTensorBoard); err != nil {
			return err
		}
	}
	run.Keep, run.OnNaN, run.Best, run.Typed, run.Resume, run.Events = o.Keep, o.OnNaN, o.Best, o.typed, o.Resume != "", o.Log == logTensorBoard
	if o.Init == "" || run.Resume {
		return nil
	}
	if run.Out != "" && sameFolder(run.Out, o.Init) {
		return usagef("--init %s: the run itself cannot be replaced by the one that starts from it; choose another --out", o.Init)
	}
	note, err := train.InitFrom(run.Bundle, o.Init)
	if err != nil {
		return err
	}
	notice(note)
	return nil
}
