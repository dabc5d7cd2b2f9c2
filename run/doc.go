// Package run writes and reads a run folder.
//
// It owns the names of its files, the records in them, the lock that gives a
// folder to one process, and the knowledge of what is a run's and may be
// replaced: files are known by content, never by name (earlier.go). It refuses a
// folder that another process writes, one that holds a run or what no run wrote,
// and records that no run could have written. A run folder holds
//
//	metrics.jsonl           one line an epoch
//	model.onnx              the model after the last finished epoch, for inference
//	checkpoints/EPOCH-STEP/ all that a run needs to go on from there: after so many finished epochs and steps of the next
//	  state.safetensors     parameters, optimizer, running statistics
//	  pruner                scores and the current plan
//	  position.json         counts, clocks, options, identity of bundle and data, what metrics.jsonl was
//	  manifest.json         size and SHA-256 of the others; written last
//	stop                    a user's: the run ends as by Ctrl-C where it appears
//	config.yaml             the flags of the run, for winnow train --config; written before the first checkpoint
//	summary.json            the result; written last, so a folder without it holds no finished run
package run
