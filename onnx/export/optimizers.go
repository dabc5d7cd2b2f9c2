package export

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/option"
	"winnow/onnx/bundle"
)

// Defaults of the optimizers' own settings: PyTorch's, and for the trust
// coefficient of LARS and the epsilon of LAMB those of the papers' recipes.
const (
	DefaultBeta1   = 0.9
	DefaultBeta2   = 0.999
	DefaultEps     = 1e-8
	DefaultLAMBEps = 1e-6
	DefaultAlpha   = 0.99
	DefaultTrust   = 0.001
)

// DecayOption is the option of a moving average of the weights, which there is
// none of without.
const DecayOption = "model-ema-decay"

// DefaultDecay is the decay of a moving average that is asked for, timm's.
const DefaultDecay = 0.9998

// optimizerKind is a row of the table of optimizers.
type optimizerKind struct {
	name, doc string
	reads     reads
	next      func(u *update, p, g string) string // the value that replaces a parameter p of gradient g
	check     func(o *bundle.Optimizer) error     // refuses settings that contradict each other; nil for none
}

// optimizers is the table of optimizers; formulas stand beside the functions that emit them.
var optimizers = []optimizerKind{
	{name: bundle.SGD, doc: "stochastic gradient descent with momentum", next: sgd, check: checkNesterov,
		reads: reads{"momentum": DefaultMomentum, "nesterov": nil}},
	{name: bundle.Adam, doc: "Adam, arXiv 1412.6980", next: adam,
		reads: reads{"opt-betas": nil, "opt-eps": nil}},
	{name: bundle.AdamW, doc: "Adam with the decay apart from the gradient, arXiv 1711.05101", next: adamW,
		reads: reads{"opt-betas": nil, "opt-eps": nil}},
	{name: bundle.RMSprop, doc: "RMSprop as PyTorch has it", next: rmsprop,
		reads: reads{"momentum": nil, "opt-eps": nil, "rmsprop-alpha": nil, "rmsprop-centered": nil}},
	{name: bundle.LARS, doc: "momentum with a rate for each tensor by its norm, arXiv 1708.03888", next: lars,
		reads: reads{"momentum": DefaultMomentum, "lars-trust": nil}},
	{name: bundle.LAMB, doc: "Adam with a rate for each tensor by its norm, arXiv 1904.00962", next: lamb,
		reads: reads{"opt-betas": nil, "opt-eps": DefaultLAMBEps}},
}

// optimizerChoice has the kinds and options of optimizers.
var optimizerChoice = choice[bundle.Optimizer]{flag: "opt", kinds: kindsOf(optimizers, func(k *optimizerKind) kind { return kind{k.name, k.doc, k.reads} }), options: []option.Row[bundle.Optimizer]{
	{Name: "momentum", Doc: "momentum `M`", Source: "He et al., arXiv 1512.03385, section 4.2", Default: 0.0,
		Field: func(o *bundle.Optimizer) any { return &o.Momentum }, Hi: 1, Open: "hi", ZeroIsZero: true},
	{Name: "nesterov", Doc: "use Nesterov momentum", Source: "torch.optim.SGD", Default: false,
		Field: func(o *bundle.Optimizer) any { return &o.Nesterov }},
	{Name: "opt-betas", Doc: "decay rates `B1,B2` of the two moments", Source: "arXiv 1412.6980, algorithm 1",
		Default: []float64{DefaultBeta1, DefaultBeta2}, Shown: "0.9,0.999",
		Field: func(o *bundle.Optimizer) any { return &o.Betas }, Hi: 1, Open: "hi"},
	{Name: "opt-eps", Doc: "epsilon `E`", Source: "torch.optim", Default: DefaultEps,
		Field: func(o *bundle.Optimizer) any { return &o.Eps }, Hi: math.MaxFloat32, Open: "lo"},
	{Name: "rmsprop-alpha", Doc: "smoothing constant `A`, PyTorch's alpha", Source: "torch.optim.RMSprop", Default: DefaultAlpha,
		Field: func(o *bundle.Optimizer) any { return &o.Alpha }, Hi: 1, Open: "both"},
	{Name: "rmsprop-centered", Doc: "use the centred form", Source: "torch.optim.RMSprop", Default: false,
		Field: func(o *bundle.Optimizer) any { return &o.Centered }},
	{Name: "lars-trust", Doc: "trust coefficient `T`", Source: "arXiv 1708.03888", Default: DefaultTrust,
		Field: func(o *bundle.Optimizer) any { return &o.Trust }, Hi: math.MaxFloat32, Open: "lo"},
	{Name: "weight-decay", Doc: "weight decay `D`", Source: "He et al., arXiv 1512.03385, section 4.2", Default: DefaultWeightDecay,
		Field: func(o *bundle.Optimizer) any { return &o.WeightDecay }, Hi: 1, Open: "hi", ZeroIsZero: true},
	{Name: "no-decay-norm-bias", Doc: "no weight decay on biases and normalisation layers", Source: "this project: off", Default: false,
		Field: func(o *bundle.Optimizer) any { return &o.NoDecayNormBias }},
	{Name: "clip-grad", Doc: "clip the global gradient norm to `C`", Source: "this project: off", Default: 0.0, Shown: "off",
		Field: func(o *bundle.Optimizer) any { return &o.Clip }, Hi: math.MaxFloat32, ZeroIsZero: true},
	{Name: DecayOption, Doc: "decay `D` of --model-ema at each step", Source: "timm, --model-ema-decay", Default: 0.0, Shown: fmt.Sprint(DefaultDecay),
		Field: func(o *bundle.Optimizer) any { return &o.EMA }, Hi: 1, Open: "hi", ZeroIsZero: true},
}}

// Optimizers lists the optimizers that Build knows, the default first.
func Optimizers() []option.Kind { return optimizerChoice.list() }

// OptimizerOptions lists the options of optimizers.
func OptimizerOptions() []option.Row[bundle.Optimizer] { return optimizerChoice.shown() }

// NewOptimizer has the defaults of an optimizer; those of no other where the name is unknown.
func NewOptimizer(name string) bundle.Optimizer {
	o := bundle.Optimizer{Name: name}
	if k, err := optimizerChoice.kindOf(name); err == nil {
		optimizerChoice.setDefaults(k, &o)
	}
	return o
}

// checkOptimizer fills defaults and refuses impossible settings.
func checkOptimizer(o *bundle.Optimizer) error {
	if o.Name == "" {
		o.Name = optimizers[0].name
	}
	k, err := optimizerChoice.kindOf(o.Name)
	if err != nil {
		return err
	}
	if err := optimizerChoice.check(k, o); err != nil {
		return err
	}
	if check := optimizerOf(o.Name).check; check != nil {
		return check(o)
	}
	return nil
}

func checkNesterov(o *bundle.Optimizer) error {
	if o.Nesterov && o.Momentum == 0 {
		return optionError("nesterov", "it needs a momentum above 0")
	}
	return nil
}

// optimizerOf is the row of an optimizer, nil for a name that is none.
func optimizerOf(name string) *optimizerKind {
	i := slices.IndexFunc(optimizers, func(k optimizerKind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &optimizers[i]
}
