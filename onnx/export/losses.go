package export

import (
	"math"
	"slices"

	"winnow/internal/option"
	"winnow/onnx/bundle"
)

// DefaultDelta is where Huber's loss turns from a square to a line, PyTorch's default.
const DefaultDelta = 1.0

// lossKind is a row of the table of losses.
type lossKind struct {
	name, doc string
	reads     reads
	ends      map[string]endRule // what it takes of a model that ends in an activation
	emit      func(*terms) (perSample, adjoint string, over float64)
}

// losses is the table of losses; formulas stand beside the functions that emit them.
var losses = []lossKind{
	{name: bundle.CrossEntropy, doc: "cross-entropy of Softmax, for one class of several", reads: reads{"smoothing": nil}, emit: crossEntropy,
		ends: map[string]endRule{"Softmax": takeBefore, "LogSoftmax": takeBefore, "Sigmoid": refuseEnd}},
	{name: bundle.BCE, doc: "binary cross-entropy of Sigmoid, for each class by itself", reads: reads{"smoothing": nil}, emit: binaryCrossEntropy,
		ends: map[string]endRule{"Softmax": refuseEnd, "LogSoftmax": refuseEnd, "Sigmoid": takeBefore}},
	{name: bundle.MSE, doc: "mean squared error", ends: endsAsWritten, emit: squaredError},
	{name: bundle.L1, doc: "mean absolute error", ends: endsAsWritten, emit: absoluteError},
	{name: bundle.Huber, doc: "squared error that goes on as a line beyond delta", reads: reads{"huber-delta": nil}, ends: endsAsWritten, emit: huber},
	{name: bundle.NoLoss, doc: "the model ends in its loss",
		ends: map[string]endRule{"Softmax": takeBefore, "LogSoftmax": takeBefore, "Sigmoid": takeBefore}},
}

var endsAsWritten = map[string]endRule{"Softmax": asWritten, "LogSoftmax": asWritten, "Sigmoid": asWritten}

// lossChoice has the kinds and options of losses.
var lossChoice = choice[bundle.Loss]{flag: "loss", kinds: kindsOf(losses, func(k *lossKind) kind { return kind{k.name, k.doc, k.reads} }), options: []option.Row[bundle.Loss]{
	{Name: "smoothing", Doc: "label smoothing `S`", Source: "this project: off",
		Default: 0.0, Field: func(l *bundle.Loss) any { return &l.Smoothing }, Hi: 1, Open: "hi", ZeroIsZero: true},
	{Name: "huber-delta", Doc: "quadratic for errors below `D`, linear above", Source: "torch.nn.HuberLoss",
		Default: DefaultDelta, Field: func(l *bundle.Loss) any { return &l.Delta }, Hi: math.MaxFloat32, Open: "lo"},
}}

// Losses lists the losses that Build knows, the default first.
func Losses() []option.Kind { return lossChoice.list() }

// LossOptions lists the options of losses.
func LossOptions() []option.Row[bundle.Loss] { return lossChoice.shown() }

// NewLoss has the defaults of a loss; those of no other where the name is unknown.
func NewLoss(name string) bundle.Loss {
	l := bundle.Loss{Name: name}
	if k, err := lossChoice.kindOf(name); err == nil {
		lossChoice.setDefaults(k, &l)
	}
	return l
}

// checkLoss fills defaults and refuses impossible settings.
func checkLoss(l *bundle.Loss) error {
	if l.Name == "" {
		l.Name = losses[0].name
	}
	k, err := lossChoice.kindOf(l.Name)
	if err != nil {
		return err
	}
	if l.SoftTargets && l.Smoothing > 0 {
		return optionError("smoothing", "%v, and the targets are no class labels", l.Smoothing)
	}
	if l.SoftTargets && l.Name == bundle.NoLoss {
		return optionError("loss", "%s: soft targets are the model's own affair", l.Name)
	}
	return lossChoice.check(k, l)
}

// lossOf is the row of a loss, nil for a name that is none.
func lossOf(name string) *lossKind {
	i := slices.IndexFunc(losses, func(k lossKind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &losses[i]
}
