// Package schedule has the learning-rate schedules: the rate as a function of
// progress, in epochs.
//
// It owns the table of schedules and that of their options, with the sources of
// their defaults, and refuses options out of range.
package schedule

import (
	"errors"
	"math"
	"slices"
	"strings"

	"winnow/internal/option"
)

// Names of the learning-rate schedules.
const (
	Constant = "constant"
	Step     = "step"
	Cosine   = "cosine"
	OneCycle = "onecycle"
)

// Defaults of Schedule.
const (
	DefaultName        = Cosine
	DefaultDecayEpochs = 90.0 // timm, --decay-epochs
	DefaultDecayRate   = 0.1  // timm, --decay-rate
	DefaultWarmupLR    = 1e-5 // timm, --warmup-lr
	DefaultPctStart    = 0.3  // torch.optim.lr_scheduler.OneCycleLR, pct_start
	DefaultDivFactor   = 25.0 // the same, div_factor
	DefaultFinalDiv    = 1e4  // the same, final_div_factor
)

// Bounds of a run's epochs and of a learning rate.
const (
	MaxEpochs = 1<<16 - 1 // as prune has it
	MaxRate   = 1e6
)

// Schedule says how the learning rate follows progress, in epochs.
type Schedule struct {
	Name         string  `json:"name"`
	WarmupEpochs float64 `json:"warmup_epochs"` // linear from WarmupLR to the learning rate; not for onecycle, which has its own
	WarmupLR     float64 `json:"warmup_lr"`
	MinLR        float64 `json:"min_lr"`       // where cosine ends
	DecayEpochs  float64 `json:"decay_epochs"` // step: epochs between two decays
	DecayRate    float64 `json:"decay_rate"`   // step: factor of each
	PctStart     float64 `json:"pct_start"`    // onecycle: share of training spent rising
	DivFactor    float64 `json:"div_factor"`   // onecycle: the learning rate over the initial one
	FinalDiv     float64 `json:"final_div"`    // onecycle: the initial rate over the last one
}

// kind is a row of the table of schedules.
type kind struct {
	name   string
	uses   []string // names of the options that only some schedules read
	rises  bool     // has a warm-up of its own
	rateAt func(s Schedule, t, end, lr float64) float64
}

var schedules = []kind{
	{name: Constant, rateAt: func(_ Schedule, _, _, lr float64) float64 { return lr }},
	{name: Step, uses: []string{"decay-epochs", "decay-rate"}, rateAt: Schedule.step},
	{name: Cosine, uses: []string{"min-lr"}, rateAt: Schedule.cosine},
	{name: OneCycle, uses: []string{"pct-start", "div-factor", "final-div"}, rises: true, rateAt: Schedule.oneCycle},
}

// Option is one thing that a user may set of a schedule.
type Option = option.Row[Schedule]

var options = []Option{
	{Name: "warmup-epochs", Doc: "rise linearly over the first `E` epochs", Default: 0.0,
		Field: func(s *Schedule) any { return &s.WarmupEpochs }, Hi: MaxEpochs, ZeroIsZero: true},
	{Name: "warmup-lr", Doc: "learning rate `LR` that warm-up starts from", Default: DefaultWarmupLR,
		Field: func(s *Schedule) any { return &s.WarmupLR }, Hi: MaxRate, ZeroIsZero: true},
	{Name: "min-lr", Doc: "cosine: learning rate `LR` at the end", Default: 0.0,
		Field: func(s *Schedule) any { return &s.MinLR }, Hi: MaxRate, ZeroIsZero: true},
	{Name: "decay-epochs", Doc: "step: epochs `E` between two decays", Default: DefaultDecayEpochs,
		Field: func(s *Schedule) any { return &s.DecayEpochs }, Lo: 1e-3, Hi: math.MaxInt32, ZeroIsZero: true},
	{Name: "decay-rate", Doc: "step: factor `F` of each decay", Default: DefaultDecayRate,
		Field: func(s *Schedule) any { return &s.DecayRate }, Hi: 1, ZeroIsZero: true},
	{Name: "pct-start", Doc: "onecycle: share `S` of training spent rising", Default: DefaultPctStart,
		Field: func(s *Schedule) any { return &s.PctStart }, Hi: 1, Open: "both", ZeroIsZero: true},
	{Name: "div-factor", Doc: "onecycle: start at the learning rate over `D`", Default: DefaultDivFactor,
		Field: func(s *Schedule) any { return &s.DivFactor }, Lo: 1, Hi: 1e12, ZeroIsZero: true},
	{Name: "final-div", Doc: "onecycle: end at the first rate over `D`", Default: DefaultFinalDiv,
		Field: func(s *Schedule) any { return &s.FinalDiv }, Lo: 1, Hi: 1e12, ZeroIsZero: true},
}

// Options lists the options of schedules.
func Options() []Option { return options }

// Names lists the names that Schedule.Name accepts.
func Names() []string {
	names := make([]string, len(schedules))
	for i, k := range schedules {
		names[i] = k.name
	}
	return names
}

func kindOf(name string) *kind {
	i := slices.IndexFunc(schedules, func(k kind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &schedules[i]
}

// Default has every option at its default.
func Default() Schedule {
	s := Schedule{Name: DefaultName}
	for i := range options {
		options[i].Set(&s, options[i].Default)
	}
	return s
}

// Validate reports everything that is out of range in a run of so many epochs;
// options that the schedule does not read are not looked at.
func (s Schedule) Validate(epochs int) error {
	k := kindOf(s.Name)
	var errs []error
	if k == nil {
		errs = append(errs, option.Errorf("train", "sched", "%q, want one of %s", s.Name, strings.Join(Names(), ", ")))
		k = &kind{}
	}
	for i := range options {
		row := &options[i]
		others := slices.ContainsFunc(schedules, func(k kind) bool { return slices.Contains(k.uses, row.Name) })
		if others && !slices.Contains(k.uses, row.Name) {
			continue
		}
		if want := row.Wants(row.Get(&s)); want != "" {
			errs = append(errs, option.Errorf("train", row.Name, "%v, want %s", row.Get(&s), want))
		}
	}
	if s.WarmupEpochs > float64(epochs) {
		errs = append(errs, option.Errorf("train", "warmup-epochs", "%v, and the run has %d epochs", s.WarmupEpochs, epochs))
	}
	return errors.Join(errs...)
}

// At returns the learning rate at progress t of epochs, 0 <= t <= epochs, for
// a run whose largest rate is lr. Warm-up, where the schedule has none of its
// own, is linear: WarmupLR + (lr - WarmupLR) * t / WarmupEpochs.
func (s Schedule) At(t float64, epochs int, lr float64) float64 {
	k := kindOf(s.Name)
	if !k.rises && t < s.WarmupEpochs {
		return s.WarmupLR + (lr-s.WarmupLR)*t/s.WarmupEpochs
	}
	return k.rateAt(s, t, float64(epochs), lr)
}

// step is lr * DecayRate^floor(t / DecayEpochs), torch.optim.lr_scheduler.StepLR.
func (s Schedule) step(t, _, lr float64) float64 {
	return lr * math.Pow(s.DecayRate, math.Floor(t/s.DecayEpochs))
}

// cosine is MinLR + (lr - MinLR) * (1 + cos(pi * u)) / 2, u the share done of
// what follows warm-up (SGDR, arXiv 1608.03983, eq. 5, without restarts;
// torch.optim.lr_scheduler.CosineAnnealingLR).
func (s Schedule) cosine(t, end, lr float64) float64 {
	left := end - s.WarmupEpochs
	if left <= 0 {
		return lr
	}
	return anneal(lr, s.MinLR, math.Min((t-s.WarmupEpochs)/left, 1))
}

// oneCycle rises along half a cosine from lr/DivFactor to lr at PctStart, then
// falls to lr/DivFactor/FinalDiv (torch.optim.lr_scheduler.OneCycleLR).
func (s Schedule) oneCycle(t, end, lr float64) float64 {
	first, top := lr/s.DivFactor, s.PctStart*end
	if t < top {
		return anneal(first, lr, t/top)
	}
	return anneal(lr, first/s.FinalDiv, math.Min((t-top)/(end-top), 1))
}

// anneal goes from a to b along half a cosine as u goes from 0 to 1.
func anneal(a, b, u float64) float64 { return b + (a-b)*(1+math.Cos(math.Pi*u))/2 }
