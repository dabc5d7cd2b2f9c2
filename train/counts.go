package train

import (
	"time"

	"winnow/run"
)

// counts are what a run has done: what a checkpoint must hold of its position.
type counts struct {
	used     int64 // samples
	fullDone int64 // full training's samples in finished epochs
	step     int64 // finished, in the run

	// Of the open epoch:
	total     int // full training's samples
	plan      int // samples of its plan
	epochUsed int // samples used
	epochStep int // steps finished, with those of which every image was bad
}

// open is what was counted of the open epoch beside counts: zero at its beginning.
type open struct {
	lossSum float64   // of the reported losses, by sample
	scalars []float64 // the same of the model's further outputs
	rate    float64   // of the last step
	ended   bool      // the pruner's epoch is closed
	began   time.Time
	clock   clock // at its beginning
}

// full is how many samples full training would have used when as large a share
// of the epoch was done.
func (c *counts) full() int64 {
	if c.epochUsed == 0 || c.plan == 0 {
		return c.fullDone
	}
	return c.fullDone + int64(c.total)*int64(c.epochUsed)/int64(c.plan)
}

// stepped counts a step of n samples.
func (c *counts) stepped(n int) {
	c.step++
	c.epochUsed += n
	c.used += int64(n)
}

// end closes the epoch.
func (c *counts) end() {
	c.fullDone += int64(c.total)
	c.epochStep, c.epochUsed = 0, 0
}

func savedRatio(used, full int64) float64 {
	if full == 0 {
		return 0
	}
	return 1 - float64(used)/float64(full)
}

// clock is where the time of a run went.
type clock struct{ wait, steps, pruning, evals time.Duration }

func (c clock) minus(before clock) clock {
	return clock{c.wait - before.wait, c.steps - before.steps, c.pruning - before.pruning, c.evals - before.evals}
}

func (c clock) seconds(wall time.Duration) run.Seconds {
	return run.Seconds{WallSeconds: wall.Seconds(), StepSeconds: c.steps.Seconds(), WaitSeconds: c.wait.Seconds(),
		PruneSeconds: c.pruning.Seconds(), EvalSeconds: c.evals.Seconds()}
}
