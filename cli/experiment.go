package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/experiment"
	"winnow/prune"
	"winnow/run"
)

type experimentOptions struct {
	Plan   experiment.Plan
	Epochs int // of a run
	Out    string
	Resume string
	Jobs   int // runs at a time
	Form   forms
	Quiet  bool
}

// maxJobs bounds the processes at a time.
const maxJobs = 1024

// Flags of train that an experiment sets itself, or has its own of.
var plannedFlags = []string{"prune", "prune-ratio", "seed", "out", "overwrite", "resume", "quiet", "report"}

func newExperimentCommand(out *output) *cli.Command {
	var o experimentOptions
	flags := slices.DeleteFunc(trainFlags(&trainOptions{}), func(f cli.Flag) bool { return slices.Contains(plannedFlags, f.Names()[0]) })
	trained := names(flags)
	return &cli.Command{
		Name:      "experiment",
		Usage:     "train methods, ratios and seeds, and compare them with full training",
		UsageText: "winnow experiment --bundle BUNDLE [--data SPEC] [FLAGS]",
		Description: about(`Trains every method of --methods with every ratio of --ratios, and all of that with
as many --seeds; other flags are those of winnow train. A seed draws a shipped
model's first weights, the order and the augmentation, so runs of one seed are a
pair, and each method is compared with full training (none) pair by pair: accuracy
with its standard deviation, the difference with its 95% interval by a paired
t-test, the worst class, samples and seconds saved. "No loss within X points" is
said only where the interval says it; else "not shown", with the loss that is, or
about how many seeds it would take. The interval is about seeds, not about the test samples.

The folder of --out holds plan.json, which says what the runs are, and a run folder
each below runs, which winnow eval and winnow compare take. Each run is a process of
its own, and --jobs N trains N at a time. Ctrl-C ends those at work cleanly; --resume DIR goes on, and so does the
same command again. A finished run is never trained again; more methods, ratios or
seeds with the same --out add runs. At the end it has results.md, results.csv,
results.json and accuracy.svg, the table and a picture.

--config FILE takes all of this from a YAML file with the names of the flags:
methods: [none, random]. --budget trains, beside each pruned run, one in full of as
many epochs as take about as many samples, and compares with that.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow experiment --bundle lenet --data fashion-mnist --seeds 5",
			"winnow experiment --bundle lenet --methods none,random,bls-infobatch --ratios 0.3,0.5 --seeds 5",
			"winnow experiment --config plan.yaml",
			"winnow experiment --resume experiments/lenet-glyphs"),
		Flags: slices.Concat(flags, []cli.Flag{
			&cli.StringFlag{Name: "methods", Value: "none,random,auto", Category: flagsPrune,
				Usage: "pruning methods `M,M`, as for --prune of winnow train"},
			&cli.StringFlag{Name: "ratios", Category: flagsPrune, DefaultText: "the default of --prune-ratio",
				Usage: "prune ratios `R,R` of every method but none"},
			&cli.StringFlag{Name: "noise", Category: flagsData, DefaultText: "0",
				Usage: "wrong labels `P,P`, as noise=P of --data: 0.2, pairflip:0.4; each is compared with full training on the same"},
			&cli.IntFlag{Name: "seeds", Value: 3, Category: flagsRecipe,
				Usage: "train everything with `N` seeds"},
			&cli.Uint64Flag{Name: "seed", Category: flagsRecipe, DefaultText: "0", Usage: "first seed `N`; the others follow it"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
				DefaultText: "experiments/BUNDLE-DATA", Usage: "folder `DIR` of the experiment"},
			&cli.StringFlag{Name: "resume", Destination: &o.Resume, Category: flagsOutput, TakesFile: true,
				Usage: "go on with the experiment in `DIR`, by its own plan"},
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: 1, Destination: &o.Jobs, Category: flagsMachine,
				Usage: "train `N` runs at a time; each takes --threads threads"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &o.Quiet, Category: flagsOutput,
				Usage: "print nothing but the result and errors"},
		}, o.Form.flags()),
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			if err := o.Form.check(); err != nil {
				return err
			}
			if o.Jobs < 1 || o.Jobs > maxJobs {
				return usagef("--jobs %d: give 1 to %d", o.Jobs, maxJobs)
			}
			if err := o.plan(c, trained); err != nil {
				return err
			}
			if _, typed := o.Plan.Flags["threads"]; o.Jobs > 1 && !typed && !o.Quiet {
				out.notef("%d runs at a time, each with a thread for every core; --threads N gives each fewer", o.Jobs)
			}
			o.Epochs = c.Int("epochs")
			if n, err := strconv.Atoi(o.Plan.Flags["epochs"]); err == nil {
				o.Epochs = n
			}
			return runExperiment(c.Context, o, out)
		},
	}
}

// plan makes the plan from the flags, or reads that of --resume. trained are the
// flags of train that it takes.
func (o *experimentOptions) plan(c *cli.Context, trained []string) error {
	decide := append([]string{"methods", "noise", "ratios", "seeds", "seed", "out", "budget"}, trained...)
	if o.Resume != "" {
		for _, name := range decide {
			if c.IsSet(name) {
				return usagef("--resume %s goes on by the plan there; leave out --%s", o.Resume, name)
			}
		}
		p, err := experiment.Read(o.Resume)
		if err != nil {
			return err
		}
		for name := range p.Flags {
			if !slices.Contains(trained, name) {
				return inputf("experiment %q: its plan has a flag %.40q, which is none of an experiment", o.Resume, name)
			}
		}
		o.Plan, o.Out, o.Form.Budget = *p, o.Resume, p.Budget
		return nil
	}
	if c.String("bundle") == "" {
		return usagef("experiment: give --bundle: a shipped one (%s), a bundle's folder, or an .onnx file", shippedText())
	}
	typed := typedFlags(c)
	maps.DeleteFunc(typed.Flags, func(name, _ string) bool { return !slices.Contains(trained, name) })
	p := experiment.Plan{Dir: typed.Dir, Flags: typed.Flags, Budget: o.Form.Budget, Methods: words(c.String("methods"))}
	data, err := dataFor("experiment", c.String("bundle"), c.String("data"))
	if err != nil {
		return err
	}
	p.Flags[dataFlagName] = fromHere(data)
	if p.Ratios, err = parseShares("ratios", c.String("ratios")); err != nil {
		return err
	}
	if text := c.String("noise"); text != "" {
		p.Noise = words(text)
	}
	n := c.Int("seeds")
	if n < 1 || n > experiment.MaxRuns {
		return usagef("--seeds %d: give 1 to %d", n, experiment.MaxRuns)
	}
	for i := range n {
		p.Seeds = append(p.Seeds, c.Uint64("seed")+uint64(i))
	}
	if err := p.Complete(); err != nil {
		return usagef("%w", err)
	}
	if o.Plan = p; o.Out == "" {
		bundle := strings.TrimSuffix(filepath.Base(c.String("bundle")), filepath.Ext(c.String("bundle")))
		o.Out = filepath.Join("experiments", folderName(bundle, data))
	}
	return nil
}

// words are what stands between commas.
func words(text string) []string {
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// parseShares reads shares of 1 with commas between, none from nothing.
func parseShares(name, text string) (list []float64, err error) {
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || !(x >= 0 && x <= 1) {
			return nil, usagef("--%s %q: give shares from 0 to 1 with commas between", name, text)
		}
		list = append(list, x)
	}
	return list, nil
}

func runExperiment(ctx context.Context, o experimentOptions, out *output) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("experiment: finding the program itself: %w", err)
	}
	for _, f := range resultFiles { // now, not after hours of training
		if err := f.kind.replaceable(filepath.Join(o.Out, f.name)); err != nil {
			return err
		}
	}
	p := newExperimentProgress(ctx, out, o.Epochs, o.Quiet)
	p.metric = o.Form.Metric
	if !o.Quiet {
		out.notef("%s in %s: %s", counted(len(o.Plan.Runs), "run"), o.Out, planText(&o.Plan))
		first := o.Plan.Methods[0]
		if _, policy, _, err := prune.Resolve(first, true); err == nil && policy != prune.PolicyFull && !o.Form.Budget && len(o.Plan.Runs) > len(o.Plan.Seeds) {
			out.notef("note: nothing is trained in full, so differences are to %s; with none in --methods they are to full training", first)
		}
	}
	runs, err := experiment.Train(ctx, o.Out, program, &o.Plan, o.Jobs, p)
	p.clear()
	if ctx.Err() != nil {
		out.notef("%d of %s finished; winnow experiment --resume %s goes on", len(runs), counted(len(o.Plan.Runs), "run"), o.Out)
		return err
	}
	if errors.Is(err, eval.ErrMetric) {
		return err
	}
	if werr := o.write(runs, out); werr != nil {
		return errors.Join(asChild(err), werr)
	}
	return asChild(err)
}

// write prints the comparison of what is finished.
func (o *experimentOptions) write(runs []run.Run, out *output) error {
	if len(runs) == 0 {
		return nil
	}
	options := o.Form.options()
	options.Meant = []string{"data", "epochs"} // noise and budgets, by the plan
	if first := o.Plan.Methods[0]; first != prune.MethodAuto {
		options.Baseline = first
	}
	c, err := eval.Compare(runs, options)
	if err != nil {
		return err
	}
	if err := o.writeFiles(c); err != nil {
		return err
	}
	if done, err := o.Form.write(c, out); done || err != nil {
		return err
	}
	if err := c.WriteGroups(out.stdout, eval.Text); err != nil {
		return err
	}
	for _, note := range c.Notes {
		out.printf("note: %s\n", note)
	}
	out.printf("\n%s: %s\n", o.Out, styled(strings.Join([]string{resultsMD, resultsCSV, resultsJSON, resultsSVG}, ", ")))
	return nil
}

// Files of an experiment's folder with its results.
const (
	resultsMD   = "results.md"
	resultsCSV  = "results.csv"
	resultsJSON = "results.json"
	resultsSVG  = "accuracy.svg"
)

var resultFiles = []struct {
	name  string
	kind  kind
	write func(*eval.Comparison, io.Writer) error
}{
	{resultsMD, groupsMD, func(c *eval.Comparison, w io.Writer) error { return c.WriteGroups(w, eval.Markdown) }},
	{resultsCSV, groupsCSV, func(c *eval.Comparison, w io.Writer) error { return c.WriteGroups(w, eval.CSV) }},
	{resultsJSON, groupsJSON, func(c *eval.Comparison, w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	}},
	{resultsSVG, svgFile, func(c *eval.Comparison, w io.Writer) error { return c.WriteChart(w, eval.FormatSVG, eval.AxisSaved) }},
}

// writeFiles writes the comparison into the experiment's folder.
func (o *experimentOptions) writeFiles(c *eval.Comparison) error {
	for _, f := range resultFiles {
		if err := f.kind.write(filepath.Join(o.Out, f.name), func(w io.Writer) error { return f.write(c, w) }); err != nil {
			return err
		}
	}
	return nil
}

// childKinds are what the exit codes of a run say of the experiment's error.
var childKinds = map[int]error{2: ErrUsage, 3: ErrInput, 4: ErrRuntime, 130: context.Canceled}

// asChild gives the error of a run the kind that it had there.
func asChild(err error) error {
	var child *experiment.ChildError
	if !errors.As(err, &child) || childKinds[child.Code] == nil {
		return err
	}
	return &marked{text: err.Error(), kind: childKinds[child.Code], err: err}
}

func planText(p *experiment.Plan) string {
	text := strings.Join(p.Methods, ", ")
	if len(p.Noise) > 0 {
		text += "; noise " + strings.Join(p.Noise, ", ")
	}
	for i, x := range p.Ratios {
		text += [2]string{", ", "; ratios "}[max(0, 1-i)] + fmt.Sprint(x)
	}
	return text + "; " + counted(len(p.Seeds), "seed")
}
