package cli

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/audit"
	"winnow/datasets"
	"winnow/loader"
	runs "winnow/run"
)

type auditOptions struct {
	Run    string
	Data   string
	Folds  int
	By     string
	Out    string
	Show   int
	OnBad  string
	Decode string
	Batch  int
	Device deviceOptions
	Quiet  bool
	JSON   bool
}

const (
	byAuto       = "auto"
	maxShow      = 1000
	testUntouch  = "the test split is not audited: to drop or mend what a model gets wrong there would make its accuracy look better than it is"
	auditFolder  = "audit"
	auditFolds   = "folds" // below it, the experiment of --folds
	defaultShown = 96
)

func newAuditCommand(out *output) *cli.Command {
	var o auditOptions
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Aliases: []string{"d"}, Destination: &o.Data, Category: flagsData, DefaultText: "the run's",
			Usage: "where the run's data is now, `SPEC`: the same samples in the same order"},
		decoderFlag(&o.Decode),
		onBadOfRunFlag(&o.OnBad),
		&cli.StringFlag{Name: "by", Value: byAuto, Destination: &o.By, Category: flagsRecipe,
			Usage: "`RANKING` of the labels: " + strings.Join(audit.Rankings(), ", ") + "; auto takes mean-loss where the run kept it and there are no folds, else self-confidence"},
		&cli.IntFlag{Name: "folds", Destination: &o.Folds, Category: flagsRecipe, DefaultText: "0, the run's own model",
			Usage: "train `K` times in full without a fold of the training samples, and judge each sample by the model that did not see it"},
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: loader.DefaultBatchSize, Destination: &o.Batch, Category: flagsMachine, Usage: "batch size `N`"},
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "RUN/audit", Usage: "folder `DIR` of the results; replaces those of an earlier audit, never other files"},
		&cli.IntFlag{Name: "show", Value: defaultShown, Destination: &o.Show, Category: flagsOutput, Usage: "put the `N` most suspect samples into gallery and contact sheet"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &o.Quiet, Category: flagsOutput, Usage: "print nothing but the result and errors"},
		jsonFlag(&o.JSON),
	}
	return &cli.Command{
		Name:      "audit",
		Usage:     "find labels of a run's training samples that are likely wrong",
		ArgsUsage: "RUN",
		Description: about(`Ranks the training samples of a finished run by how likely their label is wrong,
and writes to --out:
  labels.csv, .jsonl   every sample, the most suspect first: index, file, given
                       and predicted label, confidence, what the run knows of it
  labels.npz           the same by index, with cleanlab's names where it has
                       them: given_label, predicted_label, label_quality,
                       is_label_issue; and order, the most suspect first
  suspects.html, .png  the most suspect with their pictures
  audit.json           the counts

Rankings. mean-loss: the mean over epochs of a sample's loss less that of the epoch
(O2U-Net, Huang et al. 2019), which a model cannot hide by memorising a wrong label
at the end; the default. das: how its losses go against the reference's
(AlignPrune), of runs with DAS. self-confidence: the model's probability of the
given label, cleanlab's label quality. is_label_issue is confident learning's
choice (Northcutt et al. 2021). A model has seen the labels that it judges: --folds
asks models that have not, as cleanlab does. Each fold is a run of its own, in full
and with the run's other flags; the same command goes on after a Ctrl-C.

With label noise in --data, wrong labels are known: ROC AUC, average precision,
precision and recall of each ranking are told. The test split is never audited:
to drop or mend what a model gets wrong there would make its accuracy look better
than it is.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow audit runs/lenet-fashion-mnist-none-s0",
			"winnow audit runs/lenet-fashion-mnist-none-s0 --folds 5 --show 200"),
		Flags: append(flags, o.Device.flags()...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "the folder of a run")
			if err != nil {
				return err
			}
			o.Run = args[0]
			return runAudit(c.Context, o, out)
		},
	}
}

func (o *auditOptions) check() error {
	switch {
	case o.Batch < 1 || o.Batch > loader.MaxBatchSize:
		return usagef("--batch-size %d: give 1 to %d", o.Batch, loader.MaxBatchSize)
	case o.Folds != 0 && (o.Folds < 2 || o.Folds > datasets.MaxFolds):
		return usagef("--folds %d: give 2 to %d", o.Folds, datasets.MaxFolds)
	case o.Show < 1 || o.Show > maxShow:
		return usagef("--show %d: give 1 to %d", o.Show, maxShow)
	}
	if err := oneOf("--by", o.By, append([]string{byAuto}, audit.Rankings()...)...); err != nil {
		return err
	}
	if err := checkDecoder(o.Decode); err != nil {
		return err
	}
	_, err := badSamples(o.OnBad)
	return err
}

// auditData is what an audit reads: the training samples of a run.
type auditData struct {
	run     *runs.Run
	records loader.Records
	names   []string
	wrong   []bool // nil where that is not known
}

// audited is what an audit found.
type audited struct {
	data       *auditData
	evidence   *audit.Evidence
	known      *audit.Run
	by         string
	suspicion  []float32
	order      []int
	issues     []bool
	detections []audit.Detection
	decision   *audit.Decision // of issues; nil where wrong labels are not known
}

func runAudit(ctx context.Context, o auditOptions, out *output) error {
	if err := o.check(); err != nil {
		return err
	}
	r, err := runs.Read(o.Run)
	if err != nil {
		return notExperiment(o.Run, err)
	}
	if o.Out == "" {
		o.Out = filepath.Join(o.Run, auditFolder)
	}
	notice := func(text string) {
		if !o.Quiet {
			out.notef("note: %s", text)
		}
	}
	o.OnBad = onBadOf(o.Run, o.OnBad, notice)
	if s := &r.Summary; s.Interrupted {
		notice(fmt.Sprintf("the run was stopped after %d of %d epochs; winnow train --resume %s goes on", s.Epochs, s.Config.Epochs, o.Run))
	}
	d, err := openOwn(ctx, r.Summary.Data, o.Data, out, notice)
	if err != nil {
		return err
	}
	defer d.Close()
	data, err := auditOf(r, d, cmp.Or(o.Data, r.Summary.Data))
	if err != nil {
		return err
	}
	files, err := takeAuditFolder(o.Out)
	if err != nil {
		return err
	}
	defer files.Release()
	a, err := o.collect(ctx, data, out, notice)
	if err != nil {
		return err
	}
	if o.Folds > 0 {
		data.noteLonely(notice)
	}
	if err := a.rank(o.By, o.Folds > 0); err != nil {
		return err
	}
	pictures, err := a.pictures(ctx, o)
	if err != nil {
		return err
	}
	if err := a.write(files, o, pictures); err != nil {
		return err
	}
	if o.JSON {
		return out.printJSON(a.report(o))
	}
	a.print(o, out)
	return nil
}

// auditOf is the samples that a run was trained on.
func auditOf(r *runs.Run, d *datasets.Dataset, spec string) (*auditData, error) {
	c := &r.Summary.Config
	limit := 0
	if c.Command != nil {
		if limit = c.Command.LimitTrain; c.Command.LeftOut != "" {
			return nil, inputf("audit: run %q was trained without fold %s of its samples; audit one that has seen all", r.Dir, c.Command.LeftOut)
		}
	}
	records, err := limited(d.Train, limit, "--limit-train")
	if err != nil {
		return nil, err
	}
	if records.Len() != c.TrainSamples {
		return nil, inputf("audit: data %q has %s training samples, run %q was trained on %s; --data names the data as it was",
			spec, countText(int64(records.Len())), r.Dir, countText(int64(c.TrainSamples)))
	}
	if records.Len() > 0 && records.Target(0).Kind() != loader.ClassTarget {
		return nil, inputf("audit: the targets of %q are no classes; an audit ranks labels of one class an image", spec)
	}
	a, changed := &auditData{run: r, records: records, names: d.ClassNames}, 0
	for i := range uint32(records.Len()) {
		if loader.TrueLabelOf(records, i) != records.Target(i).Class() {
			if a.wrong == nil {
				a.wrong = make([]bool, records.Len())
			}
			a.wrong[i] = true
			changed++
		}
	}
	trained := 0
	if c.Command != nil && c.Command.LabelNoise != nil {
		trained = c.Command.LabelNoise.Changed
	}
	if changed != trained {
		return nil, inputf("audit: data %q has %s labels that are wrong on purpose, run %q was trained with %s; --data names the data with the same noise",
			spec, countText(int64(changed)), r.Dir, countText(int64(trained)))
	}
	return a, nil
}

// maxLonely is how much of the names of small classes is printed.
const maxLonely = 200

// noteLonely says of which classes no model that judges a sample has seen another.
func (d *auditData) noteLonely(notice func(string)) {
	count := make([]int, d.run.Summary.Config.Classes)
	for i := range uint32(d.records.Len()) {
		if k := d.records.Target(i).Class(); k >= 0 && k < int64(len(count)) {
			count[k]++
		}
	}
	var lonely []string
	for k, n := range count {
		if n == 1 {
			lonely = append(lonely, classLabel(d.names, k))
		}
	}
	if len(lonely) > 0 {
		notice(fmt.Sprintf("classes of one sample: %s: the model that judges it has seen none of the class, so it is suspect whatever it shows",
			cut(strings.Join(lonely, ", "), maxLonely)))
	}
}

// rank settles on a ranking and measures all of them where wrong labels are known.
func (a *audited) rank(by string, folds bool) error {
	if by == byAuto {
		if by = audit.ByMeanLoss; folds || a.known.MeanLoss == nil {
			by = audit.BySelfConfidence
		}
	}
	a.by = by
	if a.suspicion = audit.Suspicion(by, a.evidence, a.known); a.suspicion == nil {
		return inputf("audit: run %q keeps nothing to rank by %s (%s); --by %s needs the model alone",
			a.data.run.Dir, by, audit.About(by), audit.BySelfConfidence)
	}
	a.order = audit.Order(a.suspicion)
	a.issues = a.evidence.Issues()
	if a.data.wrong == nil {
		return nil
	}
	for _, name := range audit.Rankings() {
		if s := audit.Suspicion(name, a.evidence, a.known); s != nil {
			a.detections = append(a.detections, audit.Detect(name, s, a.data.wrong))
		}
	}
	d := audit.Decide(a.issues, a.data.wrong)
	a.decision = &d
	return nil
}

// auditReport is audit.json, and the JSON form of the output.
type auditReport struct {
	Run      string           `json:"run"`
	Data     string           `json:"data"`
	Samples  int              `json:"samples"`
	Ranking  string           `json:"ranking"`
	Folds    int              `json:"folds"`
	Issues   int              `json:"label_issues"`
	Wrong    *audit.Decision  `json:"known_wrong,omitempty"`
	Rankings []auditDetection `json:"rankings,omitempty"`
	Note     string           `json:"note"`
	Files    []string         `json:"files"`
	Suspects []*auditedSample `json:"suspects"`
}

// auditDetection is a detection whose numbers may be missing, which JSON has no NaN for.
type auditDetection struct {
	Ranking          string   `json:"ranking"`
	ROCAUC           *float64 `json:"roc_auc"`
	AveragePrecision *float64 `json:"average_precision"`
	AtWrong          *float64 `json:"precision_at_wrong"`
}

func numbered(x float64) *float64 {
	if x != x {
		return nil
	}
	return &x
}

const reportedSuspects = 20

func (a *audited) report(o auditOptions) *auditReport {
	r := &auditReport{Run: o.Run, Data: a.data.run.Summary.Data, Samples: a.data.records.Len(), Ranking: a.by, Folds: o.Folds,
		Wrong: a.decision, Note: testUntouch, Files: auditFiles}
	for _, yes := range a.issues {
		if yes {
			r.Issues++
		}
	}
	for _, d := range a.detections {
		r.Rankings = append(r.Rankings, auditDetection{d.Ranking, numbered(d.ROCAUC), numbered(d.AveragePrecision), numbered(d.AtWrong)})
	}
	for _, i := range a.order[:min(reportedSuspects, len(a.order))] {
		r.Suspects = append(r.Suspects, a.sample(i))
	}
	return r
}

func (a *audited) print(o auditOptions, out *output) {
	r := a.report(o)
	models := "its own model, which has seen these labels"
	if o.Folds > 0 {
		models = fmt.Sprintf("%d models that had not seen the sample", o.Folds)
	}
	out.printf("%s: %s training samples of %s, judged by %s\n", out.style(styleBold, o.Run), countText(int64(r.Samples)), r.Data, styled(models))
	out.printf("most suspect by %s: %s\n\n", a.by, audit.About(a.by))
	top := r.Suspects[:min(10, len(r.Suspects))]
	files := slices.ContainsFunc(top, func(s *auditedSample) bool { return s.File != "" })
	rows := [][]string{{"index", "given", "predicted", "confidence", "label quality", "mean loss", "seen"}}
	if files {
		rows[0] = append(rows[0], "file")
	}
	for _, s := range top {
		seen := ""
		if s.Seen != nil {
			seen = fmt.Sprint(*s.Seen)
		}
		row := []string{fmt.Sprint(s.Index), a.label(s.Given), a.label(s.Predicted), fixedText(s.Confident), fixedText(s.Quality), fixedText(s.MeanLoss), seen}
		if files {
			row = append(row, s.File)
		}
		rows = append(rows, row)
	}
	out.table(rows)
	out.printf("\n%s of %s labels are suspect by confident learning (is_label_issue)\n", countText(int64(r.Issues)), countText(int64(r.Samples)))
	if d := a.decision; d != nil {
		out.printf("%s labels are wrong on purpose: of the suspect ones %s are, and of the wrong ones %s are suspect\n\n",
			countText(int64(d.Wrong)), percent(d.Precision), percent(d.Recall))
		rows := [][]string{{"ranking", "ROC AUC", "average precision", "precision of the first " + countText(int64(d.Wrong))}}
		for _, d := range a.detections {
			rows = append(rows, []string{d.Ranking, fmt.Sprintf("%.4f", d.ROCAUC), fmt.Sprintf("%.4f", d.AveragePrecision), percent(d.AtWrong)})
		}
		out.table(rows)
		out.printf("  self-confidence ranks as the loss of the same model does\n")
	}
	out.printf("\n%s\n%s: %s\n", styled(testUntouch), o.Out, styled(strings.Join(auditFiles, ", ")))
}

// label is a class for people, "" for none.
func (a *audited) label(k int) string {
	if k < 0 {
		return ""
	}
	return classLabel(a.data.names, k)
}

func fixedText(x *float32) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%.4f", *x)
}
