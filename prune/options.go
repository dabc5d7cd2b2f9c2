package prune

import (
	"errors"
	"math"
	"strings"
	"winnow/internal/option"
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

// Options configure a Pruner. Ratio and Delta are taken as they stand, since 0
// has a meaning for both; any other field left zero takes its default.
type Options struct {
	Samples int `json:"-"` // n, samples in the data set, below 2^32-1; 0 is allowed and gives empty plans
	Epochs  int `json:"-"` // E, epochs of the whole training, 1 to 65535

	Scorer string `json:"scorer"` // one of the Scorer names; "" is none
	Policy string `json:"policy"` // one of the Policy names; "" is full

	Ratio float64 `json:"ratio"` // prune ratio r, 0 to 1; RePB's rho
	Delta float64 `json:"delta"` // fraction of the epochs after which pruning stops, 0 to 1; 0 never prunes, 1 prunes to the end
	Seed  uint64  `json:"-"`     // the whole randomness of the plans

	Rescale string `json:"rescale"` // one of the Rescale names; "" is auto

	Alpha float64 `json:"alpha"` // BLS, smoothed and the deviation of UCB: weight of the past in the running average, in (0, 1); 0 is DefaultAlpha
	Start string  `json:"start"` // BLS: one of the Start names; "" is first

	Window      int                `json:"window"`                 // DAS: epochs in a trajectory, at least 3; 0 is DefaultWindow
	Reference   string             `json:"reference"`              // DAS: one of the Reference names; "" is population
	PseudoShare float64            `json:"pseudo_share,omitempty"` // DAS, pseudo: share of each class in the reference, in (0, 1]; 0 is DefaultPseudoShare
	Label       func(i uint32) int `json:"-"`                      // DAS, pseudo: the class of a sample; called in the training goroutine

	Groups int     `json:"groups"` // SeTa: number of groups; 0 is DefaultGroups
	Scale  float64 `json:"scale"`  // SeTa: window as a share of the groups, in (0, 1]; 0 is DefaultScale

	Choosing

	Holdout []uint32 `json:"-"` // samples that no plan may hold, such as a reference set that must not be trained on
	Threads int      `json:"-"` // 0 is every processor; results do not depend on it
}

// Choosing is how epsilon-greedy, UCB and RePB choose samples.
type Choosing struct {
	Epsilon     float64 `json:"epsilon"`      // epsilon-greedy: share of the kept samples drawn at random, up to 1; 0 is DefaultEpsilon, a negative number is none
	Confidence  float64 `json:"confidence"`   // UCB: c, deviations added to the mean; 0 is DefaultConfidence, a negative number is none
	BatchWindow int     `json:"batch_window"` // RePB: batches whose mean score decides; 0 is DefaultBatchWindow
}

// Resolved returns o with every default put in: here 0 is 0.
func (o Options) Resolved() Options {
	if o.Scorer == "" {
		o.Scorer = ScorerNone
	}
	if o.Policy == "" {
		o.Policy = PolicyFull
	}
	for i := range options {
		options[i].Resolve(&o)
	}
	if o.Rescale == RescaleAuto {
		o.Rescale = RescaleSample
		if o.Scorer == ScorerDAS && o.Policy == PolicyInfoBatch {
			o.Rescale = RescaleNone
		}
	}
	return o
}

// Validate reports everything that is wrong with the options at once.
func (o Options) Validate() error {
	o = o.Resolved()
	var errs []error
	bad := func(name string, format string, args ...any) {
		errs = append(errs, option.Errorf("prune", name, format, args...))
	}
	if o.Samples < 0 || uint64(o.Samples) >= math.MaxUint32 {
		bad("samples", "%d is out of range", o.Samples)
	}
	if o.Epochs < 1 || o.Epochs > maxEpochs {
		bad("epochs", "%d, want 1 to %d", o.Epochs, maxEpochs)
	}
	if scorerOf(o.Scorer) == nil {
		bad("scorer", "%q, want one of %s", o.Scorer, strings.Join(scorerNames(), ", "))
	}
	policy := policyOf(o.Policy)
	if policy == nil {
		bad("policy", "%q, want one of %s", o.Policy, strings.Join(policyNames(), ", "))
	}
	for i := range options {
		row := &options[i]
		if want := row.Wants(row.Get(&o)); want != "" {
			bad(row.Name, "%v, want %s", row.Get(&o), want)
		}
	}
	if o.Threads < 0 {
		bad("threads", "%d, want 0 or more", o.Threads)
	}
	if o.Scorer == ScorerNone && policy != nil && policy.scores {
		bad("scorer", "policy %q needs a scorer", o.Policy)
	}
	if o.Scorer == ScorerDAS && o.Reference == ReferencePseudo && o.Label == nil {
		bad("label", "the pseudo reference chooses class by class and needs labels")
	}
	for _, i := range o.Holdout {
		if int64(i) >= int64(o.Samples) {
			bad("holdout", "sample %d is not below %d", i, o.Samples)
			break
		}
	}
	return errors.Join(errs...)
}
