package prune

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Names of the scorers.
const (
	ScorerNone     = "none"     // nothing is recorded
	ScorerLoss     = "loss"     // the last observed per-sample loss
	ScorerBLS      = "bls"      // running average of batch losses
	ScorerDAS      = "das"      // correlation with a reference trajectory
	ScorerSmoothed = "smoothed" // running average of per-sample losses
)

// Names of the policies.
const (
	PolicyFull          = "full"
	PolicyRandom        = "random"
	PolicyStatic        = "static"
	PolicyInfoBatch     = "infobatch"
	PolicySeTa          = "seta"
	PolicyEpsilonGreedy = "epsilon-greedy"
	PolicyUCB           = "ucb"
	PolicyRePB          = "repb"
)

// Names of what weights a plan carries.
const (
	RescaleAuto   = "auto"   // sample, except none for DAS under InfoBatch
	RescaleSample = "sample" // one weight per sample
	RescaleBatch  = "batch"  // the same weights, meant to be averaged over each batch (BatchWeight)
	RescaleNone   = "none"   // no weights
)

// Names of DAS's reference trajectories.
const (
	ReferencePopulation = "population" // mean loss of all samples observed in the epoch
	ReferenceOutside    = "outside"    // given by ObserveReference each epoch
	ReferencePseudo     = "pseudo"     // samples of lowest mean loss per class, chosen after the first Window epochs
)

// Names of BLS's first values.
const (
	StartFirst = "first" // the first batch loss seen
	StartZero  = "zero"  // 0, as the reference code has it
)

// Defaults.
const (
	DefaultRatio       = 0.5   // InfoBatch, arXiv 2303.04947, section 4.1
	DefaultDelta       = 0.875 // InfoBatch, arXiv 2303.04947, section 4.1
	MinKeepRatio       = 0.1   // InfoBatch reference code: the keep ratio never falls below it
	DefaultAlpha       = 0.9   // BLS reference code; the paper, arXiv 2604.04681, favours 0.7 to 0.8
	DefaultWindow      = 10    // DAS, arXiv 2604.07306: 10 epochs was best
	MinPoints          = 3     // points a trajectory needs for a DAS score: two always correlate perfectly
	DefaultGroups      = 10    // SeTa reference code, arXiv 2503.13385
	DefaultScale       = 0.5   // SeTa reference code, arXiv 2503.13385
	DefaultEpsilon     = 0.1   // this package's choice: the sources give no one value
	DefaultConfidence  = 1.0   // this package's choice: one deviation
	DefaultBatchWindow = 10    // this package's choice for RePB's local window, in batches
	DefaultPseudoShare = 0.01  // DAS, arXiv 2604.07306: 1% of the data is enough
)

// limits keep sizes that come from a user within what the state can hold.
const (
	maxEpochs = 1<<16 - 1
	maxWindow = 1024
	maxGroups = 1024
)

// Options configure a Pruner. Ratio and Delta are taken as they stand, since 0
// has a meaning for both; any other field left zero takes its default.
type Options struct {
	Samples int // n, samples in the data set, below 2^32-1; 0 is allowed and gives empty plans
	Epochs  int // E, epochs of the whole training, 1 to 65535

	Scorer string // one of the Scorer names; "" is none
	Policy string // one of the Policy names; "" is full

	Ratio float64 // prune ratio r, 0 to 1; RePB's rho
	Delta float64 // fraction of the epochs after which pruning stops, 0 to 1; 0 never prunes, 1 prunes to the end
	Seed  uint64  // the whole randomness of the plans

	Rescale string // one of the Rescale names; "" is auto

	Alpha float64 // BLS, smoothed and the deviation of UCB: weight of the past in the running average, in (0, 1); 0 is DefaultAlpha
	Start string  // BLS: one of the Start names; "" is first

	Window      int                // DAS: epochs in a trajectory, at least 3; 0 is DefaultWindow
	Reference   string             // DAS: one of the Reference names; "" is population
	PseudoShare float64            // DAS, pseudo: share of each class in the reference, in (0, 1]; 0 is DefaultPseudoShare
	Label       func(i uint32) int // DAS, pseudo: the class of a sample; called in the training goroutine

	Groups int     // SeTa: number of groups; 0 is DefaultGroups
	Scale  float64 // SeTa: window as a share of the groups, in (0, 1]; 0 is DefaultScale

	Epsilon     float64 // epsilon-greedy: share of the kept samples drawn at random, up to 1; 0 is DefaultEpsilon, a negative number is none
	Confidence  float64 // UCB: c, deviations added to the mean; 0 is DefaultConfidence, a negative number is none
	BatchWindow int     // RePB: batches whose mean score decides; 0 is DefaultBatchWindow

	Holdout []uint32 // samples that no plan may hold, such as a reference set that must not be trained on
	Threads int      // 0 is every processor; results do not depend on it
}

// withDefaults returns o with every empty field resolved.
func (o Options) withDefaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&o.Scorer, ScorerNone)
	def(&o.Policy, PolicyFull)
	def(&o.Rescale, RescaleAuto)
	def(&o.Start, StartFirst)
	def(&o.Reference, ReferencePopulation)
	defaultTo(&o.Alpha, DefaultAlpha)
	defaultTo(&o.Window, DefaultWindow)
	defaultTo(&o.PseudoShare, DefaultPseudoShare)
	defaultTo(&o.Groups, DefaultGroups)
	defaultTo(&o.Scale, DefaultScale)
	defaultTo(&o.Epsilon, DefaultEpsilon)
	defaultTo(&o.Confidence, DefaultConfidence)
	defaultTo(&o.BatchWindow, DefaultBatchWindow)
	o.Epsilon = max(o.Epsilon, 0)
	o.Confidence = max(o.Confidence, 0)
	if o.Rescale == RescaleAuto {
		o.Rescale = RescaleSample
		if o.Scorer == ScorerDAS && o.Policy == PolicyInfoBatch {
			o.Rescale = RescaleNone
		}
	}
	return o
}

func defaultTo[T int | float64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Validate reports everything that is wrong with the options at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(name string, format string, args ...any) {
		errs = append(errs, fmt.Errorf("prune: option %q: %s: %w", name, fmt.Sprintf(format, args...), ErrOptions))
	}
	oneOf := func(name, v string, names ...string) {
		if !slices.Contains(names, v) {
			bad(name, "%q is none of %v", v, names)
		}
	}
	// The negated comparisons refuse NaN too.
	within := func(name string, v, lo, hi float64, loOpen, hiOpen bool) {
		if !(v >= lo && v <= hi) || (loOpen && v == lo) || (hiOpen && v == hi) {
			above, below := "", ""
			if loOpen {
				above = "above "
			}
			if hiOpen {
				below = "below "
			}
			bad(name, "%v: want %s%v to %s%v", v, above, lo, below, hi)
		}
	}
	if o.Samples < 0 || uint64(o.Samples) >= math.MaxUint32 {
		bad("Samples", "%d is out of range", o.Samples)
	}
	if o.Epochs < 1 || o.Epochs > maxEpochs {
		bad("Epochs", "%d is not in 1..%d", o.Epochs, maxEpochs)
	}
	oneOf("Scorer", o.Scorer, scorerNames...)
	oneOf("Policy", o.Policy, policyNames...)
	oneOf("Rescale", o.Rescale, RescaleAuto, RescaleSample, RescaleBatch, RescaleNone)
	oneOf("Start", o.Start, StartFirst, StartZero)
	oneOf("Reference", o.Reference, ReferencePopulation, ReferenceOutside, ReferencePseudo)
	within("Ratio", o.Ratio, 0, 1, false, false)
	within("Delta", o.Delta, 0, 1, false, false)
	within("Alpha", o.Alpha, 0, 1, true, true)
	within("PseudoShare", o.PseudoShare, 0, 1, true, false)
	within("Scale", o.Scale, 0, 1, true, false)
	within("Epsilon", o.Epsilon, 0, 1, false, false)
	within("Confidence", o.Confidence, 0, math.MaxFloat32, false, false)
	if o.Window < MinPoints || o.Window > maxWindow {
		bad("Window", "%d is not in %d..%d", o.Window, MinPoints, maxWindow)
	}
	if o.Groups < 1 || o.Groups > maxGroups {
		bad("Groups", "%d is not in 1..%d", o.Groups, maxGroups)
	}
	if o.BatchWindow < 1 {
		bad("BatchWindow", "%d is below 1", o.BatchWindow)
	}
	if o.Threads < 0 {
		bad("Threads", "%d is below 0", o.Threads)
	}
	if o.Scorer == ScorerNone && needsScorer(o.Policy) {
		bad("Scorer", "policy %q needs a scorer", o.Policy)
	}
	if o.Scorer == ScorerDAS && o.Reference == ReferencePseudo && o.Label == nil {
		bad("Label", "the pseudo reference chooses class by class and needs labels")
	}
	for _, i := range o.Holdout {
		if int64(i) >= int64(o.Samples) {
			bad("Holdout", "sample %d is not below %d", i, o.Samples)
			break
		}
	}
	return errors.Join(errs...)
}

func needsScorer(policy string) bool {
	switch policy {
	case PolicyInfoBatch, PolicySeTa, PolicyEpsilonGreedy, PolicyUCB, PolicyRePB:
		return true
	}
	return false
}
