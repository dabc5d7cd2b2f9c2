package run

import (
	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/prune"
	"winnow/train/schedule"
)

// Epoch is one line of metrics.jsonl. Times are in seconds and end in
// _seconds; everything else repeats exactly with the seed on the same CPU.
type Epoch struct {
	Epoch        int     `json:"epoch"`      // from 1
	TrainLoss    float64 `json:"train_loss"` // mean of the reported, unweighted losses over the samples seen
	TestLoss     float64 `json:"test_loss"`
	TestAccuracy float64 `json:"test_accuracy"`
	TestTop5     float64 `json:"test_top5"`
	Measured
	TrainMetrics map[string]float64 `json:"train_metrics,omitempty"` // further outputs of a model with its own loss, means over the samples seen
	LearningRate float64            `json:"learning_rate"`           // of the last step
	Steps        int                `json:"steps"`
	SamplesUsed  int                `json:"samples_used"`                // seen in this epoch
	SamplesTotal int                `json:"samples_total"`               // what full training would have seen
	SavedRatio   float64            `json:"saved_ratio"`                 // over all epochs so far
	WrongUsed    int                `json:"wrong_labels_used,omitempty"` // of the plan, wrong by label noise
	// ScoreQuantiles are the scores after the epoch at the shares 0, 1/ScoreParts,
	// .., 1 of the samples that have one; none without a scorer.
	ScoreQuantiles []float32 `json:"score_quantiles,omitempty"`
	Seconds
}

// ScoreParts is the number of equal parts that ScoreQuantiles divide.
const ScoreParts = 40

// Measured is what a task that is no class is measured by. Its main metric stands
// in the place of the accuracy, cut to 0 to 1.
type Measured struct {
	Metric      string             `json:"metric,omitempty"` // name of the main one; "" is the accuracy itself
	TestMetrics map[string]float64 `json:"test_metrics,omitempty"`
}

// Measures are the numbers of test samples, as a run records them.
type Measures struct {
	Accuracy, Loss float64
	Metrics        map[string]float64 // by name, nil of classes
}

// Measures are those of model.onnx.
func (r *Result) Measures() Measures { return Measures{r.TestAccuracy, r.TestLoss, r.TestMetrics} }

// Measures are those after the epoch.
func (e *Epoch) Measures() Measures { return Measures{e.TestAccuracy, e.TestLoss, e.TestMetrics} }

// Seconds are the times of an epoch or of a run.
type Seconds struct {
	WallSeconds  float64 `json:"wall_seconds"`
	StepSeconds  float64 `json:"step_seconds"`  // inside training steps
	WaitSeconds  float64 `json:"wait_seconds"`  // waiting for the loader
	PruneSeconds float64 `json:"prune_seconds"` // plans, scores and reference losses
	EvalSeconds  float64 `json:"eval_seconds"`
}

// Summary is the content of summary.json.
type Summary struct {
	Result
	Seconds
	Place
	Seed        uint64 `json:"seed"`
	Scorer      string `json:"scorer"`
	Policy      string `json:"policy"`
	Bundle      string `json:"bundle"`
	Data        string `json:"data"`
	DataSum     string `json:"data_sha256,omitempty"` // of sizes, labels, and a sample of the images, as the model has them
	Config      Config `json:"config"`
	Interrupted bool   `json:"interrupted,omitempty"` // stopped before its last epoch ended

	BadCount   int                `json:"bad_samples_count,omitempty"` // samples left out because they could not be read
	BadSamples []loader.BadSample `json:"bad_samples,omitempty"`
}

// Result is what a run reached and what it took.
type Result struct {
	TestAccuracy     float64 `json:"test_accuracy"` // after the last finished epoch, of model.onnx
	BestTestAccuracy float64 `json:"best_test_accuracy"`
	TestLoss         float64 `json:"test_loss"`
	Epochs           int     `json:"epochs"`             // finished
	TrainSamplesUsed int64   `json:"train_samples_used"` // counted, over all steps
	TrainSamplesFull int64   `json:"train_samples_full"` // what full training up to the same point would have used
	SavedRatio       float64 `json:"saved_ratio"`

	Measured
	Scalars   []string `json:"scalars,omitempty"`    // which of TestMetrics are further outputs of the model
	BestValue float64  `json:"best_value,omitempty"` // of the metric that the best checkpoint was chosen by

	WorstClass ClassResult `json:"worst_class,omitzero"` // of model.onnx on the test samples
}

// ClassResult is how a model did on the samples of a class.
type ClassResult struct {
	Class   int `json:"class"`
	Samples int `json:"samples"`
	Correct int `json:"correct"`
}

// Place is where a run computed.
type Place struct {
	Provider       string `json:"provider"`
	Device         string `json:"device"`
	Layout         string `json:"layout"` // of images within a step: portable, nchwc or kernels
	RuntimeVersion string `json:"onnxruntime_version"`
}

// Config records every resolved option of a run.
type Config struct {
	Epochs       int               `json:"epochs"`
	BatchSize    int               `json:"batch_size"`
	Accum        int               `json:"accum,omitempty"` // batches of a step, where they are several
	LearningRate float64           `json:"lr"`
	Schedule     schedule.Schedule `json:"sched"`
	Optimizer    bundle.Optimizer  `json:"opt"`
	Loss         bundle.Loss       `json:"loss"`
	Precision    string            `json:"precision,omitempty"`
	Seed         uint64            `json:"seed"`
	Prune        PruneConfig       `json:"prune"`
	Augment      AugmentConfig     `json:"augment"`
	Images       *loader.Pipelines `json:"images,omitempty"` // what happens to images that are resized
	Mix          *loader.Mix       `json:"mix,omitempty"`    // of samples of a batch; nil where nothing is mixed
	Workers      int               `json:"workers"`
	Prefetch     int               `json:"prefetch"`
	DataConfig
	Source  bundle.Source `json:"source"` // the forward model that the bundle was made from
	Model   ModelConfig   `json:"model"`
	Command *Command      `json:"extra,omitempty"`
}

// DataConfig is the part of Config that the data and the model agree on.
type DataConfig struct {
	TrainSamples int      `json:"train_samples"`
	TestSamples  int      `json:"test_samples"`
	ImageShape   [3]int64 `json:"image_shape"` // channels, height, width
	Classes      int64    `json:"classes"`
	Target       *Target  `json:"target,omitempty"` // what the test samples are measured against; nil for a class
}

// Target is what of the data a model is measured against.
type Target struct {
	Kind string `json:"kind"` // of bundle's kinds of targets
	Name string `json:"name"` // that the data gives it
}

// Command is the part of Config that a command adds: what the user asked for.
type Command struct {
	Bundle     string  `json:"bundle"` // a shipped one's name, a path
	Device     string  `json:"device"`
	InitSeed   *uint64 `json:"init_seed,omitempty"` // of a shipped model's first weights
	Layout     string  `json:"layout"`
	LimitTest  int     `json:"limit_test"`
	LimitTrain int     `json:"limit_train"`
	// LabelNoise is what was done to the training labels: by it and the index,
	// or loader.TrueLabeler of the data opened again, each changed one is known.
	LabelNoise *LabelNoise `json:"label_noise,omitempty"`
	Threads    int         `json:"threads"`            // that the device took
	LeftOut    string      `json:"left_out,omitempty"` // K/N: fold K of N of the training samples
}

// LabelNoise is wrong labels made for an experiment.
type LabelNoise struct {
	Kind    string  `json:"kind"` // symmetric, asymmetric or pairflip
	Rate    float64 `json:"rate"`
	Seed    uint64  `json:"seed"`
	To      []int64 `json:"to,omitempty"` // what label k becomes; none where it is drawn
	Changed int     `json:"changed"`      // of the training samples used
}

// PruneConfig is the part of Config about pruning. What the method does not
// use has no effect; the reference is as it was asked for.
type PruneConfig struct {
	Method string `json:"method"` // as asked for: auto, bls-infobatch
	prune.Options
}

// AugmentConfig is the part of Config about augmentation.
type AugmentConfig struct {
	CropPad int  `json:"crop_pad"`
	HFlip   bool `json:"hflip"`
}

// ModelConfig says how to run model.onnx.
type ModelConfig struct {
	Images      string `json:"images"` // name of the input
	ImagesDType string `json:"images_dtype"`
	Logits      string `json:"logits"` // name of the output
}
