package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"winnow/eval"
	"winnow/experiment"
	"winnow/run"
)

// experimentProgress shows an experiment's course: a lasting line for each run
// and, on a terminal, a bar over all of them.
type experimentProgress struct {
	ctx    context.Context // once cancelled, the terminal is left as it is
	out    *output
	quiet  bool
	epochs int // of a run
	bar    *progressbar.ProgressBar
	drawn  bool
	left   estimate
}

var _ experiment.Reporter = (*experimentProgress)(nil)

func newExperimentProgress(ctx context.Context, out *output, epochs int, quiet bool) *experimentProgress {
	return &experimentProgress{ctx: ctx, out: out, epochs: epochs, quiet: quiet, left: estimate{now: time.Now}}
}

// Begin draws the bar before the first second.
func (p *experimentProgress) Begin(at experiment.Progress) {
	p.left.begin(at.Epochs)
	p.Progress(at)
}

// Progress redraws the bar, if there is a terminal to draw it on.
func (p *experimentProgress) Progress(at experiment.Progress) {
	if p.quiet || !p.out.tty || p.ctx.Err() != nil {
		return
	}
	if p.bar == nil {
		p.bar = newBar(at.Runs)
	}
	text := fmt.Sprintf(" runs %s  %s, epoch %d/%d", bar(p.bar, at.Runs, at.Done), at.Run.Name, min(at.Epochs+1, p.epochs), p.epochs)
	if s, ok := p.left.seconds(at.Epochs, (at.Runs-at.Done)*p.epochs-at.Epochs); ok {
		text += "  " + seconds(s) + " left"
	}
	_, _ = io.WriteString(p.out.stderr, "\r\x1b[2K"+string(p.out.sprintf("%s", cut(text, p.out.width()-1))))
	p.drawn = true
}

// End prints the lasting line of a finished run.
func (p *experimentProgress) End(at experiment.Progress, r *run.Run, took bool) {
	s := &r.Summary
	p.left.end(s)
	if p.quiet {
		return
	}
	p.clear()
	was := ""
	if took {
		was = ", finished before"
	}
	p.out.notef("%s: %s %s, %s of samples saved, %s%s", at.Run.Name, metricHead(s.Metric), scoreText(s), percent(s.SavedRatio), seconds(s.WallSeconds), was)
}

// scoreText is what a run reached, with the loss where that is all that says it.
func scoreText(s *run.Summary) string {
	if s.Metric == eval.OwnScore {
		return fmt.Sprintf("%s, loss %.4f", percent(s.TestAccuracy), s.TestLoss)
	}
	return percent(s.TestAccuracy)
}

// Failed prints what became of a run.
func (p *experimentProgress) Failed(_ experiment.Progress, err error) {
	p.clear()
	p.out.notef("%s; the other runs go on", err)
}

func (p *experimentProgress) clear() {
	if p.drawn && p.ctx.Err() == nil {
		_, _ = io.WriteString(p.out.stderr, "\r\x1b[2K")
	}
	p.drawn = false
}

// estimate tells the time left from the seconds an epoch took so far, in
// finished runs and in the one at work. Between two epochs it counts down.
type estimate struct {
	now    func() time.Time
	took   float64 // seconds of finished runs
	epochs int     // theirs
	start  time.Time
	from   int // epochs of the run at work when it began or went on
	seen   int // and when left was told
	told   time.Time
	left   float64 // seconds at that time, below 0 where nothing is known
}

func (e *estimate) begin(epochs int) {
	e.start, e.from = e.now(), epochs
	e.told = time.Time{}
}

func (e *estimate) end(s *run.Summary) { e.took, e.epochs = e.took+s.WallSeconds, e.epochs+s.Epochs }

// seconds is how long it takes to train what is left, a number of epochs; ok is
// whether anything is known.
func (e *estimate) seconds(epochs, left int) (_ float64, ok bool) {
	now := e.now()
	if e.told.IsZero() || epochs != e.seen {
		e.told, e.seen, e.left = now, epochs, -1
		if n := e.epochs + epochs - e.from; n > 0 {
			running := 0.0
			if epochs > e.from {
				running = now.Sub(e.start).Seconds()
			}
			e.left = (e.took + running) / float64(n) * float64(left)
		}
	}
	return max(0, e.left-now.Sub(e.told).Seconds()), e.left >= 0
}
