package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"winnow/eval"
	"winnow/run"
	"winnow/train"
)

const (
	barWidth = 12 // both lines fit 80 columns
	// redrawEvery keeps the bars from costing time that training could use.
	redrawEvery = 100 * time.Millisecond
)

// progress shows a run's course: one lasting line for each epoch and, on a
// terminal, a bar for the epochs and one for the steps below it.
type progress struct {
	ctx           context.Context // once cancelled, the terminal is left as it is
	out           *output
	quiet         bool
	total         int // epochs of the run
	headed        bool
	epochs, steps *progressbar.ProgressBar
	drawn         bool // two bars stand on the terminal
	last          time.Time
	phaseStart    time.Time
	start         time.Time // of the first step seen
	startAt       float64   // the epochs done by then
	now           func() time.Time
}

var _ train.Reporter = (*progress)(nil)

func newProgress(ctx context.Context, out *output, epochs int, quiet bool) *progress {
	return &progress{ctx: ctx, out: out, total: epochs, quiet: quiet, now: time.Now}
}

func newBar(total int) *progressbar.ProgressBar {
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(barWidth),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "━", SaucerHead: "━", SaucerPadding: "─"}))
}

// Notice prints a decision of the trainer.
func (p *progress) Notice(text string) {
	if p.quiet {
		return
	}
	p.clear()
	p.out.notef("note: %s", text)
}

// begin prints what the run is, before anything else.
func (p *progress) begin(text styled) {
	if !p.quiet {
		p.out.notef("%s", text)
	}
}

// Progress redraws the bars, if there is a terminal to draw them on.
func (p *progress) Progress(s train.Progress) {
	if p.quiet || !p.out.tty || p.ctx.Err() != nil {
		return
	}
	now := p.now()
	if s.Step == 0 {
		p.phaseStart = now
	}
	if s.Step > 0 && s.Step < s.Steps && now.Sub(p.last) < redrawEvery {
		return
	}
	p.last = now
	if p.epochs == nil {
		p.epochs, p.steps = newBar(s.Epochs), newBar(s.Steps)
	}
	done := s.Epoch
	if s.Phase == train.PhaseTrain {
		done--
	}
	p.draw(bar(p.epochs, s.Epochs, done)+p.timeLeft(s, done, now)+"  saved "+percent(s.Saved()),
		bar(p.steps, s.Steps, s.Step)+"  "+phaseText(s, now.Sub(p.phaseStart)))
}

// timeLeft is how long the rest takes if it goes on as so far, "" where that
// cannot be told yet. An evaluation counts as part of the epoch before it.
func (p *progress) timeLeft(s train.Progress, done int, now time.Time) string {
	at := float64(done)
	if s.Phase == train.PhaseTrain && s.Steps > 0 {
		at += float64(s.Step) / float64(s.Steps)
	}
	if p.start.IsZero() {
		p.start, p.startAt = now, at
	}
	if at <= p.startAt {
		return ""
	}
	left := now.Sub(p.start).Seconds() / (at - p.startAt) * (float64(s.Epochs) - at)
	return "  " + seconds(left) + " left"
}

// phaseText says what the step bar's phase is at.
func phaseText(s train.Progress, took time.Duration) string {
	var speed string
	if took > 0 && s.Samples > 0 {
		speed = fmt.Sprintf("  %s images/s", countText(int64(float64(s.Samples)/took.Seconds())))
	}
	if s.Phase != train.PhaseTrain {
		return s.Phase + speed
	}
	return fmt.Sprintf("loss %.4f  lr %.3g%s", s.Loss, s.LearningRate, speed)
}

// bar sets a bar and returns it as text; an epoch's number of steps changes
// with its plan, and one bar serves them all.
func bar(b *progressbar.ProgressBar, total, done int) string {
	if b.GetMax() != total && total > 0 {
		b.ChangeMax(total)
	}
	b.Reset()
	_ = b.Set(done) // the writer discards and cannot fail
	return strings.TrimSpace(b.String())
}

// draw puts two lines on the terminal, over the two that are there.
func (p *progress) draw(epochs, steps string) {
	width := p.out.width() - 1
	var b strings.Builder
	if p.drawn {
		b.WriteString("\x1b[1A\r")
	}
	fmt.Fprintf(&b, "\x1b[2K%s\n\x1b[2K%s", cut(" epochs "+epochs, width), cut(" step   "+steps, width))
	_, _ = io.WriteString(p.out.stderr, b.String())
	p.drawn = true
}

// clear takes the bars off the terminal, so that a lasting line can be written.
func (p *progress) clear() {
	if p.drawn && p.ctx.Err() == nil {
		_, _ = io.WriteString(p.out.stderr, "\r\x1b[2K\x1b[1A\x1b[2K")
	}
	p.drawn = false
}

// Epoch prints the lasting line of an epoch.
func (p *progress) Epoch(e run.Epoch) {
	if p.quiet {
		return
	}
	p.clear()
	speed := 0.0
	if t := e.StepSeconds + e.WaitSeconds; t > 0 {
		speed = float64(e.SamplesUsed) / t
	}
	if !p.headed {
		p.out.printf("%s\n", p.out.style(styleDim, fmt.Sprintf(epochHead,
			"epoch", "loss", "test loss", metricHead(e.Metric), "lr", "samples", "saved", "images/s", "time")))
		p.headed = true
	}
	p.out.printf(epochLine+"\n", fmt.Sprintf("%d/%d", e.Epoch, p.total), e.TrainLoss, e.TestLoss,
		p.out.style(styleBold, fmt.Sprintf("%8s", percent(e.TestAccuracy))), fmt.Sprintf("%.3g", e.LearningRate),
		countText(int64(e.SamplesUsed)), percent(e.SavedRatio), countText(int64(speed)), seconds(e.WallSeconds))
}

// metricHead names the column of the task's main metric.
func metricHead(metric string) string {
	if metric == "" {
		return eval.Accuracy
	}
	return metric
}

// The table of epochs: its head and its lines.
const (
	epochHead = "%7s %7s %9s %8s %8s %10s %6s %9s %6s"
	epochLine = "%7s %7.4f %9.4f %s %8s %10s %6s %9s %6s"
)

// countProgress shows how many steps of something are done; nil where nothing
// is to be shown.
func countProgress(out *output, what string) func(done, steps int) {
	if !out.tty {
		return nil
	}
	var b *progressbar.ProgressBar
	return func(done, steps int) {
		if b == nil {
			b = progressbar.NewOptions(steps, progressbar.OptionSetWriter(out.stderr), progressbar.OptionShowCount(),
				progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(barWidth),
				progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
				progressbar.OptionThrottle(redrawEvery), progressbar.OptionClearOnFinish())
		}
		_ = b.Set(done)
	}
}

// fetchProgress shows a download of known size; nil where nothing is to be shown.
func fetchProgress(out *output, what string) func(done, total int64) {
	if !out.tty {
		return nil
	}
	var b *progressbar.ProgressBar
	return func(done, total int64) {
		if b == nil {
			b = progressbar.NewOptions64(total, progressbar.OptionSetWriter(out.stderr), progressbar.OptionShowBytes(true),
				progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(barWidth),
				progressbar.OptionThrottle(redrawEvery), progressbar.OptionClearOnFinish())
		}
		_ = b.Set64(done)
	}
}
