package export

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"winnow/internal/option"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

// DefaultDelta is where Huber's loss turns from a square to a line, PyTorch's default.
const DefaultDelta = 1.0

// Defaults of the focal loss: those of torchvision.ops.sigmoid_focal_loss.
const (
	DefaultFocalGamma = 2.0
	DefaultFocalAlpha = 0.25
)

// DefaultDiceSmooth keeps a class that is neither there nor found at no loss.
const DefaultDiceSmooth = 1.0

// DefaultIgnore is the class of pixels that are left out: what Pascal VOC's masks
// have where nobody can say.
const DefaultIgnore = 255

// lossKind is a row of the table of losses.
type lossKind struct {
	name, doc string
	reads     reads
	ends      map[string]endRule // what it takes of a model that ends in an activation
	emit      func(*terms) (perSample, adjoint string, over float64)
	masks     bool // it is of masks alone
	several   bool // it needs several outputs for a pixel
	whole     bool // it is no mean over pixels
}

// losses is the table of losses; formulas stand beside the functions that emit them.
var losses = []lossKind{
	{name: bundle.CrossEntropy, doc: "cross-entropy of Softmax, for one class of several", reads: reads{"smoothing": nil, "class-weights": nil}, emit: crossEntropy, several: true,
		ends: map[string]endRule{"Softmax": takeBefore, "LogSoftmax": takeBefore, "Sigmoid": refuseEnd}},
	{name: bundle.BCE, doc: "binary cross-entropy of Sigmoid, for each class by itself", reads: reads{"smoothing": nil, "class-weights": nil, "pos-weight": nil}, emit: binaryCrossEntropy,
		ends: endsInSigmoid},
	{name: bundle.Focal, doc: "binary cross-entropy that counts less where the model is right already", reads: reads{"focal-gamma": nil, "focal-alpha": nil, "class-weights": nil}, emit: focal,
		ends: endsInSigmoid},
	{name: bundle.Dice, doc: "one less the overlap of masks, of each class by itself", reads: reads{"dice-smooth": nil, "class-weights": nil}, emit: dice, masks: true, whole: true,
		ends: map[string]endRule{"Softmax": takeBefore, "LogSoftmax": refuseEnd, "Sigmoid": takeBefore}},
	{name: bundle.MSE, doc: "mean squared error", reads: reads{"class-weights": nil}, ends: endsAsWritten, emit: squaredError},
	{name: bundle.L1, doc: "mean absolute error", reads: reads{"class-weights": nil}, ends: endsAsWritten, emit: absoluteError},
	{name: bundle.Huber, doc: "squared error that goes on as a line beyond delta", reads: reads{"huber-delta": nil, "class-weights": nil}, ends: endsAsWritten, emit: huber},
	{name: bundle.NoLoss, doc: "the model ends in its loss", reads: reads{"loss-output": nil},
		ends: map[string]endRule{"Softmax": takeBefore, "LogSoftmax": takeBefore, "Sigmoid": takeBefore}},
}

var endsInSigmoid = map[string]endRule{"Softmax": refuseEnd, "LogSoftmax": refuseEnd, "Sigmoid": takeBefore}

var endsAsWritten = map[string]endRule{"Softmax": asWritten, "LogSoftmax": asWritten, "Sigmoid": asWritten}

// lossesElsewhere are losses as PyTorch, Keras and segmentation_models name them,
// without case, "loss", and what is no letter or digit.
var lossesElsewhere = map[string]string{
	"crossentropy": "cross-entropy", "softcrossentropy": "cross-entropy, with --smoothing,", "categoricalcrossentropy": "cross-entropy", "sparsecategoricalcrossentropy": "cross-entropy",
	"nll": "cross-entropy, for which the model may end in LogSoftmax,", "ce": "cross-entropy", "softmaxcrossentropy": "cross-entropy",
	"bcewithlogits": "bce", "softbcewithlogits": "bce, with --smoothing,", "binarycrossentropy": "bce", "multilabelsoftmargin": "bce",
	"sigmoidfocal": "focal", "binaryfocalcrossentropy": "focal", "binaryfocal": "focal",
	"meansquarederror": "mse", "l2": "mse", "mae": "l1", "meanabsoluteerror": "l1", "smoothl1": "huber, with --huber-delta for beta,",
	"softdice": "dice", "jaccard": noOverlap, "iou": noOverlap, "tversky": noOverlap, "lovasz": noOverlap, "lovaszsoftmax": noOverlap, "mcc": noOverlap,
}

const noOverlap = "no loss; dice is the nearest, and a model may end in its own (none),"

// lossElsewhere says what another library's loss is called here.
func lossElsewhere(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name[strings.LastIndexByte(name, '.')+1:]))
	plain = strings.TrimSuffix(plain, "loss")
	if text := lossesElsewhere[plain]; text != "" {
		return text
	}
	if lossOf(plain) != nil {
		return plain
	}
	return ""
}

// lossChoice has the kinds and options of losses.
var lossChoice = choice[bundle.Loss]{flag: "loss", kinds: kindsOf(losses, func(k *lossKind) kind { return kind{k.name, k.doc, k.reads} }), options: []option.Row[bundle.Loss]{
	{Name: "smoothing", Doc: "label smoothing `S`", Source: "this project: off",
		Default: 0.0, Field: func(l *bundle.Loss) any { return &l.Smoothing }, Hi: 1, Open: "hi", ZeroIsZero: true},
	{Name: "huber-delta", Doc: "quadratic for errors below `D`, linear above", Source: "torch.nn.HuberLoss",
		Default: DefaultDelta, Field: func(l *bundle.Loss) any { return &l.Delta }, Hi: math.MaxFloat32, Open: "lo"},
	{Name: "focal-gamma", Doc: "power `G` of how far a probability is off", Source: "torchvision.ops.sigmoid_focal_loss",
		Default: DefaultFocalGamma, Field: func(l *bundle.Loss) any { return &l.Gamma }, Hi: maxGamma, ZeroIsZero: true},
	{Name: "focal-alpha", Doc: "share `A` that what is there counts, 0 for none", Source: "torchvision.ops.sigmoid_focal_loss",
		Default: DefaultFocalAlpha, Field: func(l *bundle.Loss) any { return &l.Alpha }, Hi: 1, Open: "hi", ZeroIsZero: true},
	{Name: "dice-smooth", Doc: "`S` added to overlap and sizes, 0 for none", Source: "this project: no loss where a class is neither there nor found",
		Default: DefaultDiceSmooth, Field: func(l *bundle.Loss) any { return &l.DiceSmooth }, Hi: math.MaxFloat32, ZeroIsZero: true},
	{Name: "class-weights", Doc: "weight `W,W,...` of each class or output", Source: "PyTorch's losses: none",
		Default: []float64(nil), Shown: "none", Field: func(l *bundle.Loss) any { return &l.ClassWeights }, Hi: math.MaxFloat32},
	{Name: "pos-weight", Doc: "weight `W[,W...]` of what is there, for all outputs or each", Source: "torch.nn.BCEWithLogitsLoss: none",
		Default: []float64(nil), Shown: "none", Field: func(l *bundle.Loss) any { return &l.PosWeight }, Hi: math.MaxFloat32, Open: "lo"},
	{Name: "loss-output", Doc: "output `NAME` of the model that is its loss, where it gives several numbers", Source: "this project: the one named loss, else the first",
		Default: "", Shown: "loss, else the first", Field: func(l *bundle.Loss) any { return &l.Output }},
}, elsewhere: lossElsewhere}

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

// maxGamma bounds the power of the focal loss; the paper tries up to 5.
const maxGamma = 100

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

// maxMaskClasses leaves a byte of a mask room for the class that is ignored.
const maxMaskClasses = 255

// lossFits refuses a loss that is none of the model's scores, and settles which
// pixels are left out.
func (o *Options) lossFits(f *forward) error {
	l, k, kind := &o.Loss, f.classes(), lossOf(o.Loss.Name)
	if n := int64(len(l.ClassWeights)); n > 0 && n != k {
		return optionError("class-weights", "%d, and the model has %d outputs", n, k)
	}
	if n := int64(len(l.PosWeight)); n > 1 && n != k {
		return optionError("pos-weight", "%d, and the model has %d outputs; give one for all or one for each", n, k)
	}
	if !f.masks() {
		switch {
		case kind.masks:
			return optionError("loss", "%s is of masks, and the model gives %v, one score a class for the whole image", l.Name, f.scores.Shape)
		case l.Ignore != nil:
			return optionError("ignore-index", "%d is of masks, and the model gives %v, one score a class for the whole image", *l.Ignore, f.scores.Shape)
		}
		return nil
	}
	h, w := f.scores.Shape[2].N, f.scores.Shape[3].N
	switch {
	case h != f.shape[1] || w != f.shape[2]:
		return fmt.Errorf("export: output %q gives masks of %dx%d, and images are %dx%d; let the model resize its scores: %w", f.scores.Name, h, w, f.shape[1], f.shape[2], emit.ErrModel)
	case l.SoftTargets:
		return optionError("vector-targets", "the model gives scores of every pixel, %v, whose targets are masks", f.scores.Shape)
	case kind.several && k == 1:
		return optionError("loss", "%s of one score a pixel is always 0; take --loss %s, %s or %s", l.Name, bundle.BCE, bundle.Dice, bundle.Focal)
	case k == 1 && l.Smoothing > 0:
		return optionError("smoothing", "%v goes with several classes, and the model gives one score a pixel", l.Smoothing)
	case k > maxMaskClasses:
		return fmt.Errorf("export: %d classes of pixels, want at most %d: %w", k, maxMaskClasses, emit.ErrModel)
	}
	if l.Ignore == nil {
		ignore := int64(DefaultIgnore)
		l.Ignore = &ignore
	}
	if i := *l.Ignore; i < 0 || i > 255 {
		return optionError("ignore-index", "%d, want 0 to 255, which a mask's byte can be", i)
	}
	return nil
}
