package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/run"
	ortrun "winnow/runtime"
)

type evalOptions struct {
	Path    string
	Against string // another model, on the same samples
	Output  string
	Data    string
	Split   string
	Limit   int
	OnBad   string
	Decode  string
	Batch   int
	Images  imageOptions
	Device  deviceOptions
	JSON    bool
}

func newEvalCommand(out *output) *cli.Command {
	var o evalOptions
	flags := []cli.Flag{
		dataFlag(&o.Data),
		splitFlag(&o.Split, splitTest),
		&cli.IntFlag{Name: "limit", Destination: &o.Limit, Category: flagsData, DefaultText: "all",
			Usage: "use only the first `N` samples"},
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: loader.DefaultBatchSize, Destination: &o.Batch, Category: flagsMachine,
			Usage: "batch size `N`"},
		scoresFlag(&o.Output),
		decoderFlag(&o.Decode),
		onBadOfRunFlag(&o.OnBad),
		&cli.StringFlag{Name: "against", Destination: &o.Against, Category: flagsModel, TakesFile: true,
			Usage: "also evaluate `OTHER`, a run, a model or a bundle, and test whether the two differ"},
		jsonFlag(&o.JSON),
	}
	return &cli.Command{
		Name:      "eval",
		Usage:     "evaluate a model: top-1, top-5, loss, calibration, accuracy by class, confusions",
		ArgsUsage: "RUN|MODEL.onnx|BUNDLE",
		Description: about(`Evaluates the model of a run folder, any ONNX classifier, or a bundle with its first
weights. The data of a run is the data it was trained on, unless --data says
otherwise, all of its split unless --limit says so. A model may take images as
[N, C, H, W], [N, H, W, C] or flat [N, F], with a dynamic or a fixed batch size. The
loss is the mean cross-entropy; for a model that ends in Softmax, that is -log of the
label's probability. The calibration error is how far the probability of the first
class is from how often that class is right, in 15 bins. The throughput has the
reading of images in it. --split train of data with noise= tells labels that were
changed from those that were not. --against tests, on the same samples, whether one of
two models is right more often: McNemar's exact test. A run or a bundle whose targets
are no classes is measured by what they are: several labels by mean average precision,
F1 and exact matches, quantities by R2 and errors, masks by the mean intersection over
union and pixel accuracy, and a bundle or a run with the model's own loss by that and
the model's further outputs, as training computes them.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow eval runs/lenet-glyphs-auto-s0",
			"winnow eval model.onnx --data fashion-mnist --mean 0.286 --std 0.353 --json",
			"winnow eval runs/pruned --against runs/full"),
		Flags: append(append(flags, o.Images.normalizeFlags(flagsData)...), o.Device.flags()...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "a run, a model or a bundle")
			if err != nil {
				return err
			}
			o.Path = args[0]
			return runEval(c.Context, o, out)
		},
	}
}

func runEval(ctx context.Context, o evalOptions, out *output) error {
	if o.Batch < 1 || o.Batch > loader.MaxBatchSize {
		return usagef("--batch-size %d: give 1 to %d", o.Batch, loader.MaxBatchSize)
	}
	if err := o.Images.validate(); err != nil {
		return err
	}
	if err := checkDecoder(o.Decode); err != nil {
		return err
	}
	if _, err := badSamples(o.OnBad); err != nil {
		return err
	}
	o.OnBad = onBadOf(o.Path, o.OnBad, func(text string) { out.notef("note: %s", text) })
	own, err := o.ownLossOf(ctx, out)
	if err != nil {
		return err
	}
	given := o.Data
	var m *eval.Classifier
	if own == nil {
		if m, err = openClassifier(o.Path, o.Output, func(text string) { out.notef("note: %s", text) }); err != nil {
			return err
		}
		if o.Against != "" && m.Target != nil {
			return againstClasses(o.Path)
		}
		if o.Data == "" {
			o.Data = m.Data
		}
	}
	if o.Data, err = dataFor("eval", o.Path, o.Data); err != nil {
		return err
	}
	data, err := openOwn(ctx, o.Data, given, out, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return err
	}
	defer data.Close()
	records, err := split(data, o.Split)
	if err != nil {
		return err
	}
	if records, err = limited(records, o.Limit, "--limit"); err != nil {
		return err
	}
	if given == "" && o.Limit == 0 {
		o.sayLimit(records.Len(), out)
	}
	noisy := data.Noise != nil && o.Split == splitTrain
	device, err := openDevice(ctx, o.Device, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return err
	}
	defer device.Close()
	if own != nil {
		return o.evalOwnLoss(ctx, own, o.Data, records, device, data.ClassNames, out)
	}
	this, err := o.judge(ctx, m, o.Path, device, records, noisy, out)
	if err != nil {
		return err
	}
	var versus *against
	if o.Against != "" {
		other, err := openClassifier(o.Against, "", func(text string) { out.notef("note: %s", text) })
		if err != nil {
			return err
		}
		if other.Target != nil {
			return againstClasses(o.Against)
		}
		if other.Data != "" && other.Data != o.Data {
			out.notef("note: --against %s was trained on %s, and is judged on %s here", o.Against, other.Data, o.Data)
		}
		that, err := o.judge(ctx, other, o.Against, device, records, false, out)
		if err != nil {
			return fmt.Errorf("--against %q: %w", o.Against, err)
		}
		versus = this.against(o.Against, that)
	}
	if err := printResult(o, data.ClassNames, this, versus, out); err != nil {
		return err
	}
	if r := this.Result; r.NotFinite > 0 {
		return inputf("eval: %q: the loss is not finite: of %d samples, the first is sample %d; its scores are too large, or NaN",
			o.Path, r.NotFinite, r.FirstBad)
	}
	return nil
}

// sayLimit says where a run had fewer samples of the split than are taken here.
func (o *evalOptions) sayLimit(samples int, out *output) {
	if !run.Begun(o.Path) {
		return
	}
	last, err := run.Last(o.Path)
	if err != nil || last.Config.Command == nil {
		return
	}
	limit := last.Config.Command.LimitTest
	if o.Split == splitTrain {
		limit = last.Config.Command.LimitTrain
	}
	if limit > 0 && limit < samples {
		out.notef("note: the run had the first %s %s samples, here all %s are taken; --limit %d takes as many",
			countText(int64(limit)), o.Split, countText(int64(samples)), limit)
	}
}

func againstClasses(path string) error {
	return usagef("--against: only for models of classes, of which each sample is right or wrong, which %q is not", path)
}

// judged is an evaluation, and what was right in it.
type judged struct {
	*eval.Result
	calibration eval.Calibration
	noise       *noiseScore
	correct     map[uint32]bool // by sample
	taken       map[[2]int]int  // samples by label and by the class they were taken for
	seconds     float64
}

// noiseScore is the accuracy on labels that noise changed and on those that it
// left. A model that fits the changed ones has learned them by heart.
type noiseScore struct {
	Changed   classScore `json:"changed"`
	Unchanged classScore `json:"unchanged"`
}

func (n *noiseScore) add(changed, correct bool) {
	c := &n.Unchanged
	if changed {
		c = &n.Changed
	}
	c.Samples++
	if correct {
		c.Correct++
	}
	c.Accuracy = float64(c.Correct) / float64(c.Samples)
}

// against is how another model did on the samples that both saw.
type against struct {
	Model     string  `json:"model"`
	Top1      float64 `json:"top1"`
	Samples   int     `json:"samples"`    // that both were given
	OnlyThis  int     `json:"only_this"`  // right in this one alone
	OnlyOther int     `json:"only_other"` // right in the other alone
	P         float64 `json:"p"`          // of McNemar's exact test
}

func (j *judged) against(path string, other *judged) *against {
	a := &against{Model: path, Top1: other.Top1}
	for i, right := range j.correct {
		theirs, both := other.correct[i]
		if !both {
			continue
		}
		a.Samples++
		switch {
		case right && !theirs:
			a.OnlyThis++
		case theirs && !right:
			a.OnlyOther++
		}
	}
	a.P = eval.McNemar(a.OnlyThis, a.OnlyOther)
	return a
}

// judge evaluates a model on records.
func (o *evalOptions) judge(ctx context.Context, m *eval.Classifier, path string, device *ortrun.Device, records loader.Records, noisy bool, out *output) (*judged, error) {
	bad, err := badSamples(o.OnBad)
	if err != nil {
		return nil, err
	}
	src, err := evalSource(records, m.Spec.ImageShape, m.Images, o.Decode, func(text string) { out.notef("note: %s", text) })
	if err != nil {
		return nil, err
	}
	if err := m.Spec.CheckData(src); err != nil {
		return nil, fmt.Errorf("data %q: %w", o.Data, err)
	}
	j := &judged{correct: map[uint32]bool{}, taken: map[[2]int]int{}}
	if noisy {
		j.noise = &noiseScore{}
	}
	j.Result, j.seconds, err = evaluate(ctx, m, path, device, src, *o, bad, func(index uint32, label, predicted int, confidence float64) {
		correct := label == predicted
		j.taken[[2]int{label, predicted}]++
		j.calibration.Add(confidence, correct)
		if j.noise != nil {
			j.noise.add(loader.TrueLabelOf(records, index) != records.Target(index).Class(), correct)
		}
		if o.Against != "" {
			j.correct[index] = correct
		}
	})
	printBad(bad, out)
	if err != nil {
		return nil, fmt.Errorf("eval: %q: %w", path, err)
	}
	return j, nil
}

// evaluate also says how many seconds it took, reading of images included.
func evaluate(ctx context.Context, c *eval.Classifier, path string, device *ortrun.Device, src *loader.Source, o evalOptions, bad *loader.BadSamples,
	each func(uint32, int, int, float64)) (*eval.Result, float64, error) {
	task, err := c.Task(src)
	if err != nil {
		return nil, 0, err
	}
	batch := o.Batch
	if c.Spec.Batch > 0 {
		batch = c.Spec.Batch
	}
	if c.Spec.Float && !c.Inside {
		c.Spec.Factor, c.Spec.Offset = o.Images.affine(int(c.Spec.ImageShape[0]))
	}
	model, err := eval.OpenModel(device, c.Model, c.Spec, batch)
	if err != nil {
		return nil, 0, fmt.Errorf("%q: %w", path, err)
	}
	defer model.Close()
	l, err := loader.New(src, loader.Options{BatchSize: batch, Bad: bad})
	if err != nil {
		return nil, 0, err
	}
	it, err := l.Epoch(ctx, 1, nil, nil)
	if err != nil {
		return nil, 0, err
	}
	defer it.Close()
	began := time.Now()
	r, err := task.Evaluate(ctx, model, it, each)
	return r, time.Since(began).Seconds(), err
}

// openClassifier reads what is to be evaluated: a run folder, an .onnx file, or
// a bundle, whose initial weights are put in.
func openClassifier(path, output string, notice func(string)) (*eval.Classifier, error) {
	switch {
	case isModelFile(path):
		return eval.OpenFile(path, output, notice)
	case run.Begun(path) && !exists(filepath.Join(path, bundle.ManifestFile)):
		return eval.OpenRun(path, output, notice)
	case notThere(path) && !slices.Contains(models.Names(), path):
		return nil, inputf("eval: no %q: give a run's folder, an .onnx file, or a bundle (shipped are %s)", path, shippedText())
	}
	b, err := openBundle(path)
	if err != nil {
		return nil, err
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("bundle %q (winnow inspect lists its problems): %w", path, err)
	}
	return eval.OfBundle(b, output, notice)
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
	Rate     float64               `json:"samples_per_second"`
	Loss     *float64              `json:"loss"` // null where it is not finite
	Top1     float64               `json:"top1"`
	Top5     float64               `json:"top5"`
	ECE      float64               `json:"calibration_error"`
	Against  *against              `json:"against,omitempty"`
	Noise    *noiseScore           `json:"label_noise,omitempty"`
	PerClass map[string]classScore `json:"per_class"`
	Taken    []takenFor            `json:"confusion"` // what is not 0, by label and then by prediction
}

// takenFor is how many samples of a class were taken for one: an element of the
// confusion matrix.
type takenFor struct {
	Label     string `json:"label"`
	Predicted string `json:"predicted"`
	Samples   int    `json:"samples"`
}

// confusion lists the elements of the matrix that are not 0.
func (j *judged) confusion(names []string) (list []takenFor) {
	for _, at := range slices.SortedFunc(maps.Keys(j.taken), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
		list = append(list, takenFor{classLabel(names, at[0]), classLabel(names, at[1]), j.taken[at]})
	}
	return list
}

const shownConfusions = 10

// printConfusions prints the commonest mistakes.
func (j *judged) printConfusions(names []string, out *output) {
	wrong := slices.DeleteFunc(slices.Collect(maps.Keys(j.taken)), func(at [2]int) bool { return at[0] == at[1] })
	slices.SortFunc(wrong, func(a, b [2]int) int { return cmp.Or(j.taken[b]-j.taken[a], slices.Compare(a[:], b[:])) })
	if len(wrong) == 0 {
		return
	}
	out.printf("\nMost often taken for another class (--json has the whole matrix)\n")
	var rows [][]string
	for _, at := range wrong[:min(len(wrong), shownConfusions)] {
		rows = append(rows, []string{classLabel(names, at[0]) + " taken for " + classLabel(names, at[1]), fmt.Sprintf("%d of %d", j.taken[at], j.PerClass[at[0]].Samples)})
	}
	out.table(rows)
}

type classScore struct {
	Samples  int     `json:"samples"`
	Correct  int     `json:"correct"`
	Accuracy float64 `json:"accuracy"`
}

// pText is a p-value; the least are below what is computed.
func pText(p float64) string {
	if p < 1e-300 {
		return "p < 1e-300"
	}
	return fmt.Sprintf("p = %.3g", p)
}

func rate(samples int, seconds float64) float64 { return float64(samples) / max(seconds, 1e-9) }

func throughput(samples int, seconds float64) []string {
	return []string{"throughput", countText(int64(rate(samples, seconds))) + " samples/s"}
}

func printResult(o evalOptions, names []string, r *judged, versus *against, out *output) error {
	if len(r.Metrics) > 0 {
		return printTask(o, names, r.Result, r.seconds, out)
	}
	if o.JSON {
		report := evalReport{Model: o.Path, Data: o.Data, Split: o.Split, Samples: r.Samples, Rate: rate(r.Samples, r.seconds),
			Top1: r.Top1, Top5: r.Top5, ECE: r.calibration.Error(), Against: versus, Noise: r.noise, PerClass: map[string]classScore{}, Taken: r.confusion(names)}
		if r.NotFinite == 0 {
			report.Loss = &r.Result.Loss
		}
		for k, c := range r.PerClass {
			report.PerClass[classLabel(names, k)] = classScore{c.Samples, c.Correct, c.Accuracy()}
		}
		return out.printJSON(report)
	}
	out.printf("%s on %s of %s, %s samples\n\n", out.style(styleBold, o.Path), o.Split, o.Data, countText(int64(r.Samples)))
	out.table([][]string{
		{"top-1", percent(r.Top1)},
		{"top-5", percent(r.Top5)},
		{"loss", fmt.Sprintf("%.4f", r.Loss)},
		{"calibration error", percent(r.calibration.Error())},
		throughput(r.Samples, r.seconds),
	})
	if n := r.noise; n != nil {
		part := func(c classScore) string {
			return fmt.Sprintf("%s, %s of %s", percent(c.Accuracy), countText(int64(c.Correct)), countText(int64(c.Samples)))
		}
		out.printf("\nBy label noise\n")
		out.table([][]string{{"labels changed by noise", part(n.Changed)}, {"labels left as they were", part(n.Unchanged)}})
	}
	if v := versus; v != nil {
		out.printf("\nAgainst %s, on %s samples\n", v.Model, countText(int64(v.Samples)))
		out.table([][]string{
			{"top-1", percent(v.Top1)},
			{"right in this one alone", countText(int64(v.OnlyThis))},
			{"right in the other alone", countText(int64(v.OnlyOther))},
			{"McNemar's exact test", pText(v.P)},
		})
	}
	out.printf("\nBy class\n")
	rows, without := [][]string{}, 0
	for k, c := range r.PerClass {
		if c.Samples == 0 {
			without++
			continue
		}
		rows = append(rows, []string{classLabel(names, k), percent(c.Accuracy()), fmt.Sprintf("%d of %d", c.Correct, c.Samples)})
	}
	out.table(rows)
	if without > 0 {
		out.printf("  without samples: %s of %d\n", countText(int64(without)), len(r.PerClass))
	}
	r.printConfusions(names, out)
	return nil
}
