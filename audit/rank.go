package audit

import (
	"cmp"
	"math"
	"slices"
)

// Names of the rankings.
const (
	ByMeanLoss       = "mean-loss"
	ByDAS            = "das"
	BySelfConfidence = "self-confidence"
)

// Run is what a training run tells of its samples; slices are nil where it does not.
type Run struct {
	MeanLoss  []float32 // over the times that a sample was seen; NaN for never
	Deviation []float32 // of these losses
	DAS       []float32 // NaN where a sample has none
	Seen      []uint16  // times
	// Expected is the mean loss that all samples had in the epochs in which a
	// sample was seen.
	Expected []float32
}

// ranking is a way to rank labels: suspicion of every sample, nil where what it
// needs is not known.
type ranking struct {
	name, doc string
	suspicion func(e *Evidence, r *Run) []float32
}

var rankings = []ranking{
	// Wrong labels are learned late, so that their losses stay above those of the
	// others while the model learns: O2U-Net (Huang et al. 2019, ICCV, equation 2)
	// ranks by the mean over epochs of the loss less the epoch's mean, and data
	// maps (Swayamdipta et al. 2020, arXiv 2009.10795) by mean confidence.
	{ByMeanLoss, "loss over the run, less the mean of the epochs that saw the sample", func(_ *Evidence, r *Run) []float32 {
		if r.MeanLoss == nil {
			return nil
		}
		out := slices.Clone(r.MeanLoss)
		for i := range r.Expected {
			out[i] -= r.Expected[i]
		}
		return out
	}},
	{ByDAS, "course of losses against that of the reference (AlignPrune)", func(_ *Evidence, r *Run) []float32 {
		if r.DAS == nil {
			return nil
		}
		out := make([]float32, len(r.DAS))
		for i, x := range r.DAS {
			out[i] = -x
		}
		return out
	}},
	{BySelfConfidence, "probability of the given label by the model (cleanlab)", func(e *Evidence, _ *Run) []float32 {
		out := e.SelfConfidence()
		for i, x := range out {
			out[i] = 1 - x
		}
		return out
	}},
}

// Rankings names the rankings, the default of a run first.
func Rankings() (names []string) {
	for _, r := range rankings {
		names = append(names, r.name)
	}
	return names
}

// About says in a line what a ranking ranks by.
func About(name string) string {
	for _, r := range rankings {
		if r.name == name {
			return r.doc
		}
	}
	return ""
}

// Suspicion ranks every sample by name; nil where the run or the model does not
// tell what the ranking needs.
func Suspicion(name string, e *Evidence, r *Run) []float32 {
	for i := range rankings {
		if rankings[i].name == name {
			return rankings[i].suspicion(e, r)
		}
	}
	return nil
}

// Order is the samples from the most suspect on; equals in order of index, and
// unknown ones last.
func Order(suspicion []float32) []int {
	order := make([]int, len(suspicion))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(known(suspicion[b]), known(suspicion[a])) })
	return order
}

// known puts an unknown suspicion below all others.
func known(x float32) float64 {
	if x != x {
		return math.Inf(-1)
	}
	return float64(x)
}
