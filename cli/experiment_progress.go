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
	epochs int    // of a run
	metric string // that runs are compared by
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
	p.left.begin(at.Run.Name, at.Epochs)
	p.Progress(at)
}

// Progress redraws the bar, if there is a terminal to draw it on.
func (p *experimentProgress) Progress(at experiment.Progress) {
	running := p.left.at(at.Run.Name, at.Epochs)
	if p.quiet || !p.out.tty || p.ctx.Err() != nil {
		return
	}
	if p.bar == nil {
		p.bar = newBar(at.Runs)
	}
	doing := fmt.Sprintf("%s, epoch %d/%d", at.Run.Name, min(at.Epochs+1, p.epochs), p.epochs)
	if at.AtWork > 1 {
		doing = fmt.Sprintf("%d at work, %d of %d epochs", at.AtWork, running, at.AtWork*p.epochs)
	}
	text := fmt.Sprintf(" runs %s  %s", bar(p.bar, at.Runs, at.Done), doing)
	if s, ok := p.left.seconds((at.Runs-at.Done)*p.epochs - running); ok {
		text += "  " + seconds(s) + " left"
	}
	_, _ = io.WriteString(p.out.stderr, "\r\x1b[2K"+string(p.out.sprintf("%s", cut(text, p.out.width()-1))))
	p.drawn = true
}

// End prints the lasting line of a finished run. One that has not what runs are
// compared by ends the experiment: no other would have it.
func (p *experimentProgress) End(at experiment.Progress, r *run.Run, took bool) error {
	s := &r.Summary
	p.left.end(at.Run.Name, s)
	err := eval.HasMetric(r, p.metric)
	if p.quiet {
		return err
	}
	p.clear()
	was := ""
	if took {
		was = ", finished before"
	}
	p.out.notef("%s: %s %s, %s of samples saved, %s%s", at.Run.Name, metricHead(s.Metric), scoreText(s), percent(s.SavedRatio), seconds(s.WallSeconds), was)
	return err
}

// scoreText is what a run reached, with the loss and the further outputs of a
// model that has its own.
func scoreText(s *run.Summary) string {
	if s.Metric == eval.OwnScore {
		text := fmt.Sprintf("%s, loss %.4f", percent(s.TestAccuracy), s.TestLoss)
		for _, name := range s.Scalars {
			if x, ok := s.TestMetrics[name]; ok {
				text += fmt.Sprintf(", %s %.4g", name, x)
			}
		}
		return text
	}
	return percent(s.TestAccuracy)
}

// Failed prints what became of a run.
func (p *experimentProgress) Failed(at experiment.Progress, err error) {
	delete(p.left.running, at.Run.Name)
	p.clear()
	p.out.notef("%s; the other runs go on", err)
}

// Noted prints what a run says.
func (p *experimentProgress) Noted(at experiment.Progress, text string) {
	if p.quiet {
		return
	}
	p.clear()
	p.out.notef("%s: note: %s", at.Run.Name, text)
}

func (p *experimentProgress) clear() {
	if p.drawn && p.ctx.Err() == nil {
		_, _ = io.WriteString(p.out.stderr, "\r\x1b[2K")
	}
	p.drawn = false
}

// estimate tells the time left from the seconds an epoch took so far, in
// finished runs and in those at work. Between two epochs it counts down.
type estimate struct {
	now     func() time.Time
	took    float64 // seconds of finished runs
	epochs  int     // theirs
	running map[string]*working
	told    time.Time // when left was, zero where it must be told anew
	left    float64   // seconds at that time, below 0 where nothing is known
}

// working is a run at work.
type working struct {
	start      time.Time
	from, done int // epochs: when it began or went on, and now
}

func (e *estimate) begin(name string, epochs int) {
	if e.running == nil {
		e.running = map[string]*working{}
	}
	e.running[name] = &working{e.now(), epochs, epochs}
	e.told = time.Time{}
}

// at notes the finished epochs of a run at work, and adds those of all.
func (e *estimate) at(name string, epochs int) (all int) {
	if w := e.running[name]; w != nil && w.done != epochs {
		w.done, e.told = epochs, time.Time{}
	}
	for _, w := range e.running {
		all += w.done
	}
	return all
}

func (e *estimate) end(name string, s *run.Summary) {
	delete(e.running, name)
	e.took, e.epochs = e.took+s.WallSeconds, e.epochs+s.Epochs
}

// seconds is how long it takes to train what is left, a number of epochs, with
// as many runs at work as now; ok is whether anything is known.
func (e *estimate) seconds(left int) (_ float64, ok bool) {
	now := e.now()
	if e.told.IsZero() {
		e.told, e.left = now, -1
		took, n := e.took, e.epochs
		for _, w := range e.running {
			if w.done > w.from {
				took, n = took+now.Sub(w.start).Seconds(), n+w.done-w.from
			}
		}
		if n > 0 {
			e.left = took / float64(n) * float64(left) / float64(max(1, len(e.running)))
		}
	}
	return max(0, e.left-now.Sub(e.told).Seconds()), e.left >= 0
}
