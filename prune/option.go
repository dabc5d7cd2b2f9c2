package prune

import (
	"math"

	"winnow/internal/option"
)

// Bounds of sizes that come from a user, within what the state can hold.
const (
	maxEpochs  = 1<<16 - 1
	maxWindow  = 1024
	maxGroups  = 1024
	maxBatches = 1 << 20
)

// Option is one thing that a user may set of a method.
type Option = option.Row[Options]

// options is the table of options.
var options = []Option{
	{Name: "prune-ratio", Doc: "prune ratio `R`: share of the prunable samples to skip", Source: "InfoBatch, section 4.1",
		Default: DefaultRatio, Field: func(o *Options) any { return &o.Ratio }, Hi: 1, ZeroIsZero: true},
	{Name: "prune-delta", Doc: "prune during the first `D` of training only, 0 to 1", Source: "InfoBatch, section 4.1",
		Default: DefaultDelta, Field: func(o *Options) any { return &o.Delta }, Hi: 1, ZeroIsZero: true},
	{Name: "prune-rescale", Doc: "`auto|sample|batch|none`: weights of kept samples in the loss", Source: "below",
		Default: RescaleAuto, OneOf: []string{RescaleAuto, RescaleSample, RescaleBatch, RescaleNone},
		Field: func(o *Options) any { return &o.Rescale }},
	{Name: "prune-alpha", Doc: "BLS, smoothed: smoothing factor `A`, the weight of the past", Source: "BLS reference code; the paper favours 0.7 to 0.8",
		Default: DefaultAlpha, Field: func(o *Options) any { return &o.Alpha }, Hi: 1, Open: "both"},
	{Name: "prune-start", Doc: "`first|zero`: BLS starts its average from the first loss or from 0", Source: "the paper; zero is the reference code's",
		Default: StartFirst, OneOf: []string{StartFirst, StartZero}, Field: func(o *Options) any { return &o.Start }},
	{Name: "prune-window", Doc: "DAS: length `W` of a loss trajectory, in epochs", Source: "AlignPrune",
		Default: DefaultWindow, Field: func(o *Options) any { return &o.Window }, Lo: MinPoints, Hi: maxWindow},
	{Name: "prune-groups", Doc: "SeTa: number `G` of groups of like scores", Source: "SeTa's reference code; its scripts for CIFAR and ImageNet take 5",
		Default: DefaultGroups, Field: func(o *Options) any { return &o.Groups }, Lo: 1, Hi: maxGroups},
	{Name: "prune-scale", Doc: "SeTa: size `S` of the window, as a share of the groups", Source: "SeTa's reference code; its scripts take 0.9 for CIFAR with a ratio of 0.1, 0.6 for ImageNet with 0",
		Default: DefaultScale, Field: func(o *Options) any { return &o.Scale }, Hi: 1, Open: "lo"},
	{Name: "prune-epsilon", Doc: "epsilon-greedy: share `E` of the kept samples drawn at random", Source: "this project",
		Default: DefaultEpsilon, Field: func(o *Options) any { return &o.Epsilon }, Hi: 1, BelowIsNone: true},
	{Name: "prune-confidence", Doc: "UCB: add `C` standard deviations to a score", Source: "this project",
		Default: DefaultConfidence, Field: func(o *Options) any { return &o.Confidence }, Hi: math.MaxFloat32, BelowIsNone: true},
	{Name: "prune-batch-window", Doc: "RePB: compare a score with the mean of the last `B` batches", Source: "this project",
		Default: DefaultBatchWindow, Field: func(o *Options) any { return &o.BatchWindow }, Lo: 1, Hi: maxBatches},
	{Name: nameReference, Doc: "DAS: `SET` of trusted samples to compare with", Source: "this project: it needs nothing",
		Default: ReferencePopulation, OneOf: []string{ReferencePopulation, ReferenceOutside, ReferencePseudo},
		Field: func(o *Options) any { return &o.Reference }},
	{Name: namePseudo, Doc: "DAS: share F of each class in the reference `pseudo:F`", Source: "AlignPrune",
		Default: DefaultPseudoShare, Field: func(o *Options) any { return &o.PseudoShare }, Hi: 1, Open: "lo"},
}

// The trainer sets these two from one flag that also takes files.
const (
	nameReference = "prune-reference"
	namePseudo    = "prune-pseudo-share"
)

// UserOptions lists the options that a program can offer as they are.
func UserOptions() (rows []Option) {
	for _, row := range options {
		if row.Name != nameReference && row.Name != namePseudo {
			rows = append(rows, row)
		}
	}
	return rows
}

// Defaults are the options as a run has them that sets none.
func Defaults() Options {
	o := Options{Ratio: DefaultRatio, Delta: DefaultDelta}
	for i := range options {
		options[i].Resolve(&o)
	}
	return o
}
