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
//	checkpoint.safetensors  all state, and where training stopped
//	checkpoint.prune        the pruner's state at the same moment
//	summary.json            the result; written last, so a folder without it holds no finished run
package run
