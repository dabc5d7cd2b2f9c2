package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"winnow/eval"
	"winnow/loader"
	"winnow/loader/raster"
	"winnow/prune"
	"winnow/report"
	runs "winnow/run"
	ortrun "winnow/runtime"
)

type reportOptions struct {
	Run    string
	Data   string
	Out    string
	OnBad  string
	Decode string
	Batch  int
	Device deviceOptions
}

func newReportCommand(out *output) *cli.Command {
	var o reportOptions
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Aliases: []string{"d"}, Destination: &o.Data, Category: flagsData, DefaultText: "the run's",
			Usage: "where the run's data is now, `SPEC`"},
		decoderFlag(&o.Decode),
		onBadOfRunFlag(&o.OnBad),
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Value: loader.DefaultBatchSize, Destination: &o.Batch, Category: flagsMachine, Usage: "batch size `N`"},
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
			DefaultText: "RUN/report.html", Usage: "`FILE.html` to write; replaces an older page, never another file"},
	}
	return &cli.Command{
		Name:      "report",
		Usage:     "write the page of a run: charts, confusions, worst mistakes, options",
		ArgsUsage: "RUN",
		Description: about(`Writes RUN/report.html, one file that opens without a network and needs no
script: accuracy, loss, learning rate, samples kept, scores and time over the
epochs (a drag across a chart zooms in); accuracy by class and what is taken for
what, of the run's model on the test samples; the worst mistakes and the samples
that were pruned most and never, with their pictures; every option. It follows
the reader's light or dark scheme, and prints. winnow train writes it at the end
of a run; this command writes it again, and for runs of winnow experiment, which
leaves it out.`,
			[]int{0, 1, 2, 3, 4, 130},
			"winnow report runs/lenet-glyphs-auto-s0"),
		Flags: append(flags, o.Device.flags()...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "the folder of a run")
			if err != nil {
				return err
			}
			o.Run = args[0]
			return runReport(c.Context, o, out)
		},
	}
}

func runReport(ctx context.Context, o reportOptions, out *output) error {
	if o.Batch < 1 || o.Batch > loader.MaxBatchSize {
		return usagef("--batch-size %d: give 1 to %d", o.Batch, loader.MaxBatchSize)
	}
	if err := checkDecoder(o.Decode); err != nil {
		return err
	}
	if _, err := badSamples(o.OnBad); err != nil {
		return err
	}
	r, err := runs.Read(o.Run)
	if err != nil {
		return notExperiment(o.Run, err)
	}
	if o.Out == "" {
		o.Out = filepath.Join(o.Run, runs.ReportFile)
	}
	if err := pageFile.placeable(o.Out); err != nil {
		return err
	}
	notice := func(text string) { out.notef("note: %s", text) }
	o.OnBad = onBadOf(o.Run, o.OnBad, notice)
	data, err := openOwn(ctx, r.Summary.Data, o.Data, out, notice)
	if err != nil {
		return err
	}
	defer data.Close()
	c := &r.Summary.Config
	training, test := data.Train, data.Test
	if c.Command != nil {
		if training, test, err = limitedSplits(data, c.Command.LimitTrain, c.Command.LimitTest); err != nil {
			return err
		}
		if training, err = leftOut(training, c.Command.LeftOut); err != nil {
			return err
		}
	}
	if training.Len() != c.TrainSamples || test.Len() != c.TestSamples {
		return inputf("report: data %q has %s and %s samples, run %q was trained with %s and %s; --data names the data as it was", cmp.Or(o.Data, r.Summary.Data),
			countText(int64(training.Len())), countText(int64(test.Len())), o.Run, countText(int64(c.TrainSamples)), countText(int64(c.TestSamples)))
	}
	device, err := openDevice(ctx, o.Device, notice)
	if err != nil {
		return err
	}
	defer device.Close()
	p := reporting{run: r, training: training, test: test, classes: data.ClassNames, device: device, batch: o.Batch, decode: o.Decode, onBad: o.OnBad, notice: notice}
	if err := p.write(ctx, o.Out); err != nil {
		return err
	}
	out.printf("%s\n", o.Out)
	return nil
}

// reporting is what a report is made with.
type reporting struct {
	run            *runs.Run
	training, test loader.Records
	classes        []string
	device         *ortrun.Device
	batch          int
	decode, onBad  string
	notice         func(string)
}

// Pictures of a report.
const (
	shownMistakes = 24
	shownSamples  = 12
)

// write makes the page.
func (p *reporting) write(ctx context.Context, path string) error {
	r := &report.Report{Run: p.run, Classes: p.classes}
	name, _, err := decoderHere(p.decode)
	if err != nil {
		return err
	}
	decoder, err := raster.NewDecoder(name)
	if err != nil {
		return err
	}
	if p.run.Summary.Epochs > 0 {
		if err := p.judge(ctx, r, decoder); err != nil {
			return fmt.Errorf("report: %q: %w", p.run.Dir, err)
		}
	}
	if err := p.samples(r, decoder); err != nil {
		return err
	}
	return pageFile.write(path, func(w io.Writer) error { return report.Write(w, r) })
}

// mistake is a test sample that is taken for another class.
type mistake struct {
	index             uint32
	label, prediction int
	loss, confidence  float64
}

// judge runs the model over the test samples.
func (p *reporting) judge(ctx context.Context, r *report.Report, decoder raster.Decoder) error {
	bad, err := badSamples(p.onBad)
	if err != nil {
		return err
	}
	c, err := eval.OpenRun(p.run.Dir, "", func(string) {})
	if err != nil {
		return err
	}
	if c.Target != nil { // no class that could be confused with another
		return nil
	}
	src, err := evalSource(p.test, c.Spec.ImageShape, c.Images, p.decode, p.notice)
	if err != nil {
		return err
	}
	if err := c.Spec.CheckData(src); err != nil {
		return err
	}
	model, err := eval.OpenModel(p.device, c.Model, c.Spec, p.batch)
	if err != nil {
		return err
	}
	defer model.Close()
	l, err := loader.New(src, loader.Options{BatchSize: p.batch, Bad: bad})
	if err != nil {
		return err
	}
	it, err := l.Epoch(ctx, 1, nil, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	r.Confusion = &report.Confusion{Classes: c.Spec.Classes, Count: map[[2]int]int{}}
	var worst []mistake
	err = eval.Probabilities(ctx, model, it, c.Spec.Classes, func(i uint32, label int64, probability []float32) {
		best := 0
		for k, x := range probability {
			if x > probability[best] {
				best = k
			}
		}
		r.Confusion.Count[[2]int{int(label), best}]++
		if best == int(label) {
			return
		}
		m := mistake{i, int(label), best, -math.Log(float64(probability[label])), float64(probability[best])}
		at, _ := slices.BinarySearchFunc(worst, m, func(a, b mistake) int {
			return cmp.Or(cmp.Compare(b.loss, a.loss), cmp.Compare(b.confidence, a.confidence), cmp.Compare(a.index, b.index))
		})
		if at < shownMistakes {
			worst = slices.Insert(worst, at, m)
			worst = worst[:min(len(worst), shownMistakes)]
		}
	})
	if err != nil {
		return err
	}
	for _, m := range worst {
		card, err := p.card(p.test, decoder, m.index, fmt.Sprintf("test #%d", m.index),
			report.Line{Class: "fine", Text: classLabel(p.classes, m.label)}, report.Line{Class: "wrong", Text: fmt.Sprintf("taken for %s, %.0f%%", classLabel(p.classes, m.prediction), 100*m.confidence)})
		if err != nil {
			return err
		}
		r.Mistakes = append(r.Mistakes, card)
	}
	return nil
}

// card is a sample with its picture, where it can be read.
func (p *reporting) card(from loader.Records, decoder raster.Decoder, i uint32, head string, lines ...report.Line) (report.Card, error) {
	c := report.Card{Head: head, Lines: lines}
	m := pictureOf(from, decoder, i)
	if m == nil {
		return c, nil
	}
	var err error
	c.Picture, err = report.NewPicture(m)
	return c, err
}

// samples are those that were pruned most and never, as the newest checkpoint knows.
func (p *reporting) samples(r *report.Report, decoder raster.Decoder) error {
	c, err := runs.Newest(p.run.Dir)
	if errors.Is(err, runs.ErrNothing) {
		return nil
	} else if err != nil {
		return err
	}
	s, err := prune.ReadState(c.Pruner)
	if err != nil {
		return fmt.Errorf("run %q: %w", p.run.Dir, err)
	}
	epochs := uint16(min(s.Epoch, math.MaxUint16))
	if s.Taken == nil || s.Samples != p.training.Len() || epochs == 0 {
		return nil
	}
	loss := func(i int) float64 {
		if s.Loss == nil || s.Loss.Mean[i] != s.Loss.Mean[i] {
			return 0
		}
		return float64(s.Loss.Mean[i])
	}
	var pruned, kept []int
	for i, n := range s.Taken {
		switch {
		case s.Held[i]:
		case n < epochs:
			pruned = append(pruned, i)
		default:
			kept = append(kept, i)
		}
	}
	if len(pruned) == 0 {
		return nil // nothing was
	}
	slices.SortFunc(pruned, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.Taken[a], s.Taken[b]), cmp.Compare(loss(a), loss(b)), a-b)
	})
	slices.SortFunc(kept, func(a, b int) int { return cmp.Or(cmp.Compare(loss(b), loss(a)), a-b) })
	for _, of := range []struct {
		from []int
		to   *[]report.Card
	}{{pruned, &r.Pruned}, {kept, &r.Kept}} {
		for _, i := range of.from[:min(shownSamples, len(of.from))] {
			target := p.training.Target(uint32(i))
			lines := []report.Line{{Class: "soft", Text: fmt.Sprintf("in %d of %d epochs", s.Taken[i], epochs)}}
			if target.Kind() == loader.ClassTarget {
				lines = slices.Insert(lines, 0, report.Line{Text: classLabel(p.classes, int(target.Class()))})
			}
			if s.Loss != nil {
				lines = append(lines, report.Line{Class: "soft", Text: fmt.Sprintf("mean loss %.3f", loss(i))})
			}
			if is := loader.TrueLabelOf(p.training, uint32(i)); is != target.Class() {
				lines = append(lines, report.Line{Class: "wrong", Text: "made wrong; is " + classLabel(p.classes, int(is))})
			}
			card, err := p.card(p.training, decoder, uint32(i), fmt.Sprintf("#%d", i), lines...)
			if err != nil {
				return err
			}
			*of.to = append(*of.to, card)
		}
	}
	return nil
}
