// Package eval measures trained models and compares runs.
//
// It owns the metrics (top-1 and top-5 accuracy, mean cross-entropy, accuracy
// of each class), the reading of finished run folders, and their comparison as
// a table, as JSON and as a chart. It refuses labels outside the class range,
// logits of the wrong size, and run files that are too large or not what they
// claim to be.
//
// Terms. Top-k accuracy is the share of samples whose label is among the k
// largest logits; among equal logits the lower class counts as larger. A run
// is a folder with summary.json and metrics.jsonl; the baseline of a
// comparison is its first run.
package eval
