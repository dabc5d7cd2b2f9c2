// Package train runs the training loop: it streams batches from a loader
// through a bundle's training graph, hands the losses to a pruner, and visits
// in the next epoch what the pruner's plan says.
//
// It owns the options of a run, the learning-rate schedules, the counting of
// samples and of time, and the run folder with its metrics, checkpoint and
// summary. MeasureCosts says, without a run, where the time of a step goes. It refuses data that contradicts the bundle, before anything long
// starts, a run folder that already holds a run or is written by another process,
// and one with files that no run wrote: they are known by content (earlier.go).
//
// Terms. An epoch is one pass over a plan, a step one batch of it. Progress is
// the time that a schedule reads, in epochs: finished epochs plus the finished
// share of the current one's steps, so that a pruned epoch moves it as far as
// a full one. A reference set is a small set of samples whose mean loss the
// scorer DAS compares every sample with. Of a step's costs, a part is the
// forward pass, the loss, the backward pass or the update, and a layer is a node
// of the model with all that computes it and its gradient. A run folder holds
//
//	metrics.jsonl           one line an epoch
//	model.onnx              the model after the last finished epoch, for inference
//	checkpoint.safetensors  all state, and where training stopped
//	checkpoint.prune        the pruner's state at the same moment
//	summary.json            the result; written last, so a folder without it holds no finished run
package train
