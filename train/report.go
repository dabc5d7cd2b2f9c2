package train

import (
	"fmt"

	"winnow/run"
)

// Phases of a run.
const (
	PhaseTrain     = "train"
	PhaseEval      = "eval"
	PhaseReference = "reference"
)

// Reporter hears of a run's course, from one goroutine. Its calls are part of
// the run's time and must return at once.
type Reporter interface {
	Notice(text string)  // a decision worth a line: which scorer was taken and why
	Progress(p Progress) // before a phase's first step (Step 0) and after each step
	Epoch(e run.Epoch)   // after an epoch and its evaluation
}

// Progress is where a run stands.
type Progress struct {
	Phase        string
	Epoch        int     // from 1
	Epochs       int     // in all
	Step, Steps  int     // finished steps of the phase, and all of them
	Samples      int     // finished samples of the phase
	Loss         float64 // of the last step; train only
	LearningRate float64 // of the last step; train only
	Used, Full   int64   // train samples seen so far in the run, and by full training up to the same point
}

// Saved is the share of samples that full training would have seen and this run did not.
func (p Progress) Saved() float64 { return savedRatio(p.Used, p.Full) }

type silent struct{}

func (silent) Notice(string)     {}
func (silent) Progress(Progress) {}
func (silent) Epoch(run.Epoch)   {}

var _ Reporter = silent{}

func (l *loop) noticef(format string, args ...any) {
	l.o.Reporter.Notice(fmt.Sprintf(format, args...))
}
