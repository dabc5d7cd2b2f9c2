package train

import (
	"errors"
	"math"
	"strings"
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
	DefaultSchedule    = Cosine
	DefaultDecayEpochs = 90   // timm, --decay-epochs
	DefaultDecayRate   = 0.1  // timm, --decay-rate
	DefaultWarmupLR    = 1e-5 // timm, --warmup-lr
	DefaultPctStart    = 0.3  // torch.optim.lr_scheduler.OneCycleLR, pct_start
	DefaultDivFactor   = 25   // the same, div_factor
	DefaultFinalDiv    = 1e4  // the same, final_div_factor
)

// Schedules lists the names that Schedule.Name accepts.
func Schedules() []string { return []string{Constant, Step, Cosine, OneCycle} }

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

// Schedule's default.
func defaultSchedule() Schedule {
	return Schedule{Name: DefaultSchedule, WarmupLR: DefaultWarmupLR, DecayEpochs: DefaultDecayEpochs,
		DecayRate: DefaultDecayRate, PctStart: DefaultPctStart, DivFactor: DefaultDivFactor, FinalDiv: DefaultFinalDiv}
}

func (s Schedule) validate(epochs int) error {
	var errs []error
	switch s.Name {
	case Constant, Step, Cosine, OneCycle:
	default:
		errs = append(errs, optionError("sched", "%q, want one of %s", s.Name, strings.Join(Schedules(), ", ")))
	}
	check := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) {
			errs = append(errs, optionError(name, "%v, want %v to %v", v, low, high))
		}
	}
	check("warmup-epochs", s.WarmupEpochs, 0, float64(epochs))
	check("warmup-lr", s.WarmupLR, 0, maxLearningRate)
	check("min-lr", s.MinLR, 0, maxLearningRate)
	if s.Name == Step {
		check("decay-epochs", s.DecayEpochs, 1e-3, math.MaxInt32)
		check("decay-rate", s.DecayRate, 0, 1)
	}
	if s.Name == OneCycle {
		check("pct-start", s.PctStart, 1e-6, 1-1e-6)
		check("div-factor", s.DivFactor, 1, 1e12)
		check("final-div", s.FinalDiv, 1, 1e12)
	}
	return errors.Join(errs...)
}

// At returns the learning rate at progress t of epochs, 0 <= t <= epochs, for
// a run whose largest rate is lr.
//
//   - constant: lr.
//   - step: lr * DecayRate^floor(t / DecayEpochs), torch.optim.lr_scheduler.StepLR.
//   - cosine: MinLR + (lr - MinLR) * (1 + cos(pi * u)) / 2, u the share done of
//     what follows warm-up (SGDR, arXiv 1608.03983, eq. 5, without restarts;
//     torch.optim.lr_scheduler.CosineAnnealingLR).
//   - onecycle: cosine from lr/DivFactor up to lr at PctStart, then down to
//     lr/DivFactor/FinalDiv (torch.optim.lr_scheduler.OneCycleLR).
//
// Warm-up is linear: WarmupLR + (lr - WarmupLR) * t / WarmupEpochs.
func (s Schedule) At(t float64, epochs int, lr float64) float64 {
	end := float64(epochs)
	if s.Name == OneCycle {
		first, top := lr/s.DivFactor, s.PctStart*end
		if t < top {
			return anneal(first, lr, t/top)
		}
		return anneal(lr, first/s.FinalDiv, math.Min((t-top)/(end-top), 1))
	}
	if t < s.WarmupEpochs {
		return s.WarmupLR + (lr-s.WarmupLR)*t/s.WarmupEpochs
	}
	switch s.Name {
	case Step:
		return lr * math.Pow(s.DecayRate, math.Floor(t/s.DecayEpochs))
	case Cosine:
		if left := end - s.WarmupEpochs; left > 0 {
			return anneal(lr, s.MinLR, math.Min((t-s.WarmupEpochs)/left, 1))
		}
	}
	return lr
}

// anneal goes from a to b along half a cosine as u goes from 0 to 1.
func anneal(a, b, u float64) float64 { return b + (a-b)*(1+math.Cos(math.Pi*u))/2 }
