package run

import "winnow/loader"

// CheckpointFormat names the layout of a checkpoint.
const CheckpointFormat = "winnow.checkpoint/2"

// Position is where a run stands, all that is not state of the model or of the
// pruner. What is random in a run is a function of its seed and of this.
type Position struct {
	Format     string             `json:"format"`
	Epoch      int                `json:"epoch"`       // finished
	Step       int                `json:"step"`        // finished, of the open epoch
	GlobalStep int64              `json:"global_step"` // finished, in the run
	Open       OpenEpoch          `json:"open_epoch"`
	FullDone   int64              `json:"full_samples"` // full training's, of finished epochs
	Result     Result             `json:"result"`       // of the finished epochs; samples up to here
	BestEpoch  int                `json:"best_epoch"`   // with the best test accuracy
	Seconds    Seconds            `json:"seconds"`
	Metrics    Cut                `json:"metrics"` // what metrics.jsonl was
	NaN        NaN                `json:"not_finite"`
	Bad        []loader.BadSample `json:"bad_samples,omitempty"`
	Identity   Identity           `json:"identity"`
	Versions   Versions           `json:"versions"`
	Place      Place              `json:"place"`
	Scorer     string             `json:"scorer"`
	Policy     string             `json:"policy"`
	Config     Config             `json:"config"`
	Typed      CommandLine        `json:"command_line"`
}

// OpenEpoch is what was counted of an epoch that is not finished.
type OpenEpoch struct {
	SamplesUsed  int       `json:"samples_used"`
	LossSum      float64   `json:"loss_sum"`
	Scalars      []float64 `json:"scalars,omitempty"` // sums of the model's further outputs
	LearningRate float64   `json:"learning_rate"`
	PrunerEnded  bool      `json:"pruner_ended"` // all steps are done, and the pruner knows
	Seconds                // since it began
}

// NaN is what was done about losses that were not finite.
type NaN struct {
	Skipped   []int64 `json:"skipped,omitempty"` // steps of the run that were left out
	Rollbacks int     `json:"rollbacks,omitempty"`
	RateScale float64 `json:"rate_scale"` // of all learning rates from here on
}

// Cut is a beginning of a file.
type Cut struct {
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

// Identity is what a run must find again to go on, as SHA-256.
type Identity struct {
	Bundle string `json:"bundle"` // graphs and the names of the state
	Data   string `json:"data"`   // sizes, labels, and a sample of the images
}

// Versions are those of what computed.
type Versions struct {
	Winnow string `json:"winnow"`
	Go     string `json:"go"`
}

// CommandLine is what a user typed, so that nobody has to type it again.
type CommandLine struct {
	Dir   string            `json:"dir"` // where relative paths begin
	Flags map[string]string `json:"flags"`
}
