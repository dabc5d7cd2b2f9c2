package bundle

import "winnow/onnx"

// Format names the only layout this package writes.
const Format = "winnow.bundle/1"

// File names inside a bundle.
const (
	ManifestFile = "bundle.json"
	TrainFile    = "train.onnx"
	EvalFile     = "eval.onnx"
	BlockedFile  = "train.nchwc.onnx"
	ForwardFile  = "forward.onnx"
)

// Kinds of state.
const (
	KindParameter = "parameter"
	KindBuffer    = "buffer"
	KindOptimizer = "optimizer"
	KindEMA       = "ema"
)

// Manifest is the content of bundle.json.
type Manifest struct {
	Format     string         `json:"format"`
	Name       string         `json:"name"`
	Source     Source         `json:"source"`
	ImageShape [3]int64       `json:"image_shape"` // C, H, W
	Classes    int64          `json:"classes"`
	ClassNames []string       `json:"class_names,omitempty"`
	Loss       Loss           `json:"loss"`
	Optimizer  Optimizer      `json:"optimizer"`
	Precision  string         `json:"precision,omitempty"` // of train.onnx's products: float16 or bfloat16; "" is float32
	Normalize  Normalize      `json:"normalize"`
	Train      TrainRoles     `json:"train"`
	Eval       EvalRoles      `json:"eval"`
	Blocked    *Blocked       `json:"blocked,omitempty"` // nil: there is no such graph
	Tuned      *Tuned         `json:"tuned,omitempty"`   // nil: every form follows from its shape
	State      []State        `json:"state"`
	Fixed      []Fixed        `json:"fixed,omitempty"`     // tensors of the model that are not trained
	MinBatch   int64          `json:"min_batch,omitempty"` // fewest samples of a step; 0 is 1
	Weights    string         `json:"weights"`             // file name of the initial values
	Unknown    map[string]any `json:"-"`                   // fields of other tools, kept on rewrite
}

// Blocked says on which machines train.nchwc.onnx can take the place of
// train.onnx: it has the same roles, and operators of ONNX Runtime's CPU
// provider that store images in blocks of channels.
type Blocked struct {
	Block   int64 `json:"block"` // channels to a block: 16 with AVX-512, 8 with AVX2
	Kernels bool  `json:"-"`     // it has operators of package runtime/kernels; never of a file
}

// Source says which forward model the bundle was made from.
type Source struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Loss is the loss written into train.onnx.
type Loss struct {
	Name         string    `json:"name"` // cross-entropy, bce, focal, dice, mse, l1, huber
	Smoothing    float64   `json:"smoothing,omitempty"`
	Delta        float64   `json:"delta,omitempty"`         // of huber: where the square ends
	Gamma        float64   `json:"gamma,omitempty"`         // of focal: how much what is right already counts less
	Alpha        float64   `json:"alpha,omitempty"`         // of focal: the share that what is there counts; 0 weighs both alike
	DiceSmooth   float64   `json:"dice_smooth,omitempty"`   // of dice: added above and below the line
	ClassWeights []float64 `json:"class_weights,omitempty"` // of each output; none weighs all alike
	PosWeight    []float64 `json:"pos_weight,omitempty"`    // of bce: of what is there, for each output or one for all
	Ignore       *int64    `json:"ignore_index,omitempty"`  // of masks: pixels of this class are left out
	SoftTargets  bool      `json:"soft_targets,omitempty"`  // labels are float32 [N, K] instead of int64 [N]
	Output       string    `json:"output,omitempty"`        // of the model, that is its own loss; "" is the one that is found
}

// Optimizer is the update written into train.onnx.
type Optimizer struct {
	Name            string    `json:"name"` // sgd, adam, adamw, rmsprop, lars, lamb
	Momentum        float64   `json:"momentum,omitempty"`
	Nesterov        bool      `json:"nesterov,omitempty"`
	Betas           []float64 `json:"betas,omitempty"` // adam, adamw, lamb
	Eps             float64   `json:"eps,omitempty"`
	Alpha           float64   `json:"alpha,omitempty"`    // rmsprop: how much of the mean square stays
	Centered        bool      `json:"centered,omitempty"` // rmsprop
	Trust           float64   `json:"trust,omitempty"`    // lars
	WeightDecay     float64   `json:"weight_decay,omitempty"`
	NoDecayNormBias bool      `json:"no_decay_norm_bias,omitempty"` // vectors get no decay and no adapted rate
	Clip            float64   `json:"clip,omitempty"`               // largest norm of all gradients together
	EMA             float64   `json:"ema,omitempty"`                // decay of the weights' running average
}

// Normalize is the arithmetic on images inside both graphs: (x*Scale - Mean) / Std, by channel.
type Normalize struct {
	Scale float64   `json:"scale"`
	Mean  []float64 `json:"mean,omitempty"`
	Std   []float64 `json:"std,omitempty"`
}

// Value is a graph input or output: its name, element type (as onnx.DType
// prints it) and shape, whose first dimension may be the symbol "N".
type Value struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape Dims   `json:"shape"`
}

// Dims is a shape whose JSON form mixes numbers and symbols: ["N", 3, 32, 32].
type Dims onnx.Shape

// TrainRoles maps the roles of train.onnx. Nil roles are absent.
type TrainRoles struct {
	Images        Value    `json:"images"`
	Labels        *Value   `json:"labels,omitempty"`  // the first target, where it is a class [N] or a vector [N, K]
	Targets       []Target `json:"targets,omitempty"` // every target, that of Labels too; none: Labels is all there is
	SampleWeights *Value   `json:"sample_weights,omitempty"`
	LossScale     *Value   `json:"loss_scale,omitempty"`
	LearningRate  Value    `json:"learning_rate"`
	Random        []Value  `json:"random,omitempty"`
	Loss          Value    `json:"loss"`
	PerSampleLoss *Value   `json:"per_sample_loss,omitempty"`
	Logits        *Value   `json:"logits,omitempty"`
	Scalars       []Scalar `json:"scalars,omitempty"` // further outputs of a model with its own loss
}

// Scalar is a number that a model gives of a batch beside its loss.
type Scalar struct {
	Name   string `json:"name"`   // as the model has it
	Output string `json:"output"` // of the graph, float32 []
}

// EvalRoles maps the roles of eval.onnx; its other inputs are state, by the name in State.
type EvalRoles struct {
	Images Value  `json:"images"`
	Logits Value  `json:"logits"`
	Output *Value `json:"output,omitempty"` // what the model makes of the logits, and its loss is of; nil: themselves
}

// Evaluated is, for each state tensor, the index of the one whose values an
// evaluation and the exported model take in its place: its running average
// where there is one, else itself.
func (m *Manifest) Evaluated() []int {
	at := make([]int, len(m.State))
	index := map[string]int{}
	for i, s := range m.State {
		at[i], index[s.Name] = i, i
	}
	for i, s := range m.State {
		if p, ok := index[s.Of]; ok && s.Kind == KindEMA {
			at[p] = i
		}
	}
	return at
}

// State is one tensor that train.onnx reads as Input and replaces by Output.
// eval.onnx, where it uses the tensor, takes it under the same input name, and
// so does forward.onnx what is no optimizer's.
type State struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"`
	Input  string  `json:"input"`
	Output string  `json:"output"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"`
	Of     string  `json:"of,omitempty"` // of kind ema: the parameter that is averaged
}

// Fixed is a float32 tensor of the model that training leaves as it is.
type Fixed struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"`
	Role  string  `json:"role"` // what the model does with it
	Why   string  `json:"why"`
}
