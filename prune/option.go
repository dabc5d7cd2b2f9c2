package prune

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of sizes that come from a user, within what the state can hold.
const (
	maxEpochs  = 1<<16 - 1
	maxWindow  = 1024
	maxGroups  = 1024
	maxBatches = 1 << 20
)

// Option is one thing that a user may set of a method: a row of the table that
// flags, records, validation and the table in docs/pruning.md come from.
type Option struct {
	Name    string   // as a flag has it
	Doc     string   // one line; `X` names the value
	Source  string   // where the default is from
	Default any      // float64, int or string
	OneOf   []string // the words that a string may be; nil takes any

	field      func(*Options) any // pointer to the field of Default's type
	lo, hi     float64            // range of a number
	open       string             // which ends of the range are not in it: "lo", "hi", "both"
	zeroIsZero bool               // a field of 0 means 0, not the default
	belowIsNil bool               // a field below 0 means 0, since 0 means the default
}

// Get is the option's value: a float64, an int or a string.
func (p *Option) Get(o *Options) any {
	switch v := p.field(o).(type) {
	case *float64:
		return *v
	case *int:
		return *v
	case *string:
		return *v
	}
	panic("prune: an option of a type without a case")
}

// Set gives the option a value of Default's type as a user means it, 0
// included. A value out of range is an error that wraps ErrOptions.
func (p *Option) Set(o *Options, value any) error {
	if err := p.check(value); err != nil {
		return err
	}
	switch v := p.field(o).(type) {
	case *float64:
		*v = value.(float64)
		if *v == 0 && p.belowIsNil {
			*v = -1
		}
	case *int:
		*v = value.(int)
	case *string:
		*v = value.(string)
	}
	return nil
}

// resolve puts the default in place of an empty field.
func (p *Option) resolve(o *Options) {
	switch v := p.field(o).(type) {
	case *float64:
		if *v == 0 && !p.zeroIsZero {
			*v = p.Default.(float64)
		}
		if p.belowIsNil {
			*v = max(*v, 0)
		}
	case *int:
		if *v == 0 {
			*v = p.Default.(int)
		}
	case *string:
		if *v == "" {
			*v = p.Default.(string)
		}
	}
}

// check refuses a value that is out of range or no word of the option's.
func (p *Option) check(value any) error {
	if want := p.Wants(value); want != "" {
		return fmt.Errorf("prune: option %q: %v: want %s: %w", p.Name, value, want, ErrOptions)
	}
	return nil
}

// Wants says what a value of Default's type should be, "" where it is that.
func (p *Option) Wants(value any) string {
	var number float64
	switch v := value.(type) {
	case string:
		if p.OneOf == nil || slices.Contains(p.OneOf, v) {
			return ""
		}
		return "one of " + strings.Join(p.OneOf, ", ")
	case int:
		number = float64(v)
	case float64:
		number = v
	}
	loOpen, hiOpen := p.open == "lo" || p.open == "both", p.open == "hi" || p.open == "both"
	// The negated comparison refuses NaN too.
	if !(number >= p.lo && number <= p.hi) || loOpen && number == p.lo || hiOpen && number == p.hi {
		return p.rangeText(loOpen, hiOpen)
	}
	return ""
}

func (p *Option) rangeText(loOpen, hiOpen bool) string {
	text := fmt.Sprint(p.lo)
	if loOpen {
		text = "above " + text
	}
	switch {
	case p.hi == math.MaxFloat32:
		return text + " or more"
	case hiOpen:
		return fmt.Sprintf("%s and below %v", text, p.hi)
	case loOpen:
		return fmt.Sprintf("%s and up to %v", text, p.hi)
	}
	return fmt.Sprintf("%s to %v", text, p.hi)
}

// options is the table of options.
var options = []Option{
	{Name: "prune-ratio", Doc: "share `R` of the prunable samples to leave out", Source: "InfoBatch, section 4.1",
		Default: DefaultRatio, field: func(o *Options) any { return &o.Ratio }, hi: 1, zeroIsZero: true},
	{Name: "prune-delta", Doc: "fraction `D` of training after which nothing is pruned", Source: "InfoBatch, section 4.1",
		Default: DefaultDelta, field: func(o *Options) any { return &o.Delta }, hi: 1, zeroIsZero: true},
	{Name: "rescale", Doc: "how a plan's weights reach the loss: `auto|sample|batch|none`", Source: "below",
		Default: RescaleAuto, OneOf: []string{RescaleAuto, RescaleSample, RescaleBatch, RescaleNone},
		field: func(o *Options) any { return &o.Rescale }},
	{Name: "prune-alpha", Doc: "BLS, smoothed: weight `A` of the past in the running average", Source: "BLS reference code; the paper favours 0.7 to 0.8",
		Default: DefaultAlpha, field: func(o *Options) any { return &o.Alpha }, hi: 1, open: "both"},
	{Name: "prune-start", Doc: "BLS: first value of the average, the first loss or 0: `first|zero`", Source: "the paper; zero is the reference code's",
		Default: StartFirst, OneOf: []string{StartFirst, StartZero}, field: func(o *Options) any { return &o.Start }},
	{Name: "prune-window", Doc: "DAS: epochs `W` of a trajectory", Source: "AlignPrune",
		Default: DefaultWindow, field: func(o *Options) any { return &o.Window }, lo: MinPoints, hi: maxWindow},
	{Name: "prune-groups", Doc: "SeTa: groups `G` that the scores are split into", Source: "SeTa's reference code; its scripts for CIFAR and ImageNet take 5",
		Default: DefaultGroups, field: func(o *Options) any { return &o.Groups }, lo: 1, hi: maxGroups},
	{Name: "prune-scale", Doc: "SeTa: window as a share `S` of the groups", Source: "SeTa's reference code; its scripts take 0.9 for CIFAR with a ratio of 0.1, 0.6 for ImageNet with 0",
		Default: DefaultScale, field: func(o *Options) any { return &o.Scale }, hi: 1, open: "lo"},
	{Name: "prune-epsilon", Doc: "epsilon-greedy: share `E` of the kept samples that is drawn at random", Source: "this project",
		Default: DefaultEpsilon, field: func(o *Options) any { return &o.Epsilon }, hi: 1, belowIsNil: true},
	{Name: "prune-confidence", Doc: "UCB: deviations `C` that are added to a score", Source: "this project",
		Default: DefaultConfidence, field: func(o *Options) any { return &o.Confidence }, hi: math.MaxFloat32, belowIsNil: true},
	{Name: "prune-batch-window", Doc: "RePB: batches `B` whose mean score decides", Source: "this project",
		Default: DefaultBatchWindow, field: func(o *Options) any { return &o.BatchWindow }, lo: 1, hi: maxBatches},
	{Name: nameReference, Doc: "DAS: `SET` of clean samples to compare with", Source: "this project: it needs nothing",
		Default: ReferencePopulation, OneOf: []string{ReferencePopulation, ReferenceOutside, ReferencePseudo},
		field: func(o *Options) any { return &o.Reference }},
	{Name: namePseudo, Doc: "DAS: share F of each class in the reference `pseudo:F`", Source: "AlignPrune",
		Default: DefaultPseudoShare, field: func(o *Options) any { return &o.PseudoShare }, hi: 1, open: "lo"},
}

// The trainer sets these two from one flag that also takes files.
const (
	nameReference = "reference"
	namePseudo    = "pseudo-share"
)

// UserOptions lists the options that a program can offer as they are.
func UserOptions() []*Option {
	var rows []*Option
	for i := range options {
		if n := options[i].Name; n != nameReference && n != namePseudo {
			rows = append(rows, &options[i])
		}
	}
	return rows
}

// Defaults are the options as a run has them that sets none.
func Defaults() Options {
	o := Options{Ratio: DefaultRatio, Delta: DefaultDelta}
	for i := range options {
		options[i].resolve(&o)
	}
	return o
}
