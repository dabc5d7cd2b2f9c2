package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"winnow/train"
)

const (
	barWidth = 24
	// redrawEvery keeps the bars from costing time that training could use.
	redrawEvery = 100 * time.Millisecond
)

// progress shows a run's course: one lasting line for each epoch and, on a
// terminal, a bar for the epochs and one for the steps below it.
type progress struct {
	out           *output
	quiet         bool
	epochs, steps *progressbar.ProgressBar
	drawn         bool // two bars stand on the terminal
	last          time.Time
	phaseStart    time.Time
	now           func() time.Time
}

var _ train.Reporter = (*progress)(nil)

func newProgress(out *output, quiet bool) *progress {
	return &progress{out: out, quiet: quiet, now: time.Now}
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
	p.out.notef("%s", text)
}

// Progress redraws the bars, if there is a terminal to draw them on.
func (p *progress) Progress(s train.Progress) {
	if p.quiet || !p.out.tty {
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
	p.draw(bar(p.epochs, s.Epochs, done)+"  saved "+percent(s.Saved()),
		bar(p.steps, s.Steps, s.Step)+"  "+phaseText(s, now.Sub(p.phaseStart)))
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
	if p.drawn {
		_, _ = io.WriteString(p.out.stderr, "\r\x1b[2K\x1b[1A\x1b[2K")
		p.drawn = false
	}
}

// Epoch prints the lasting line of an epoch.
func (p *progress) Epoch(e train.Epoch) {
	if p.quiet {
		return
	}
	p.clear()
	speed := 0.0
	if t := e.StepSeconds + e.WaitSeconds; t > 0 {
		speed = float64(e.SamplesUsed) / t
	}
	p.out.printf("epoch %3d  loss %.4f  test loss %.4f  accuracy %s  lr %-8.3g  samples %s of %s  saved %s  %s images/s  %.1fs\n",
		e.Epoch, e.TrainLoss, e.TestLoss, p.out.style(styleBold, fmt.Sprintf("%.4f", e.TestAccuracy)), e.LearningRate,
		countText(int64(e.SamplesUsed)), countText(int64(e.SamplesTotal)), percent(e.SavedRatio), countText(int64(speed)), e.WallSeconds)
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// cut shortens plain text to a number of columns.
func cut(s string, width int) string {
	r := []rune(s)
	if width > 0 && len(r) > width {
		return string(r[:width])
	}
	return s
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
