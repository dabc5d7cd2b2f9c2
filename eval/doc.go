// Package eval measures trained models and compares runs.
//
// It owns the metrics (top-1 and top-5 accuracy, mean cross-entropy, calibration
// error, accuracy of each class; of several labels, quantities and masks those in
// task.go), the opening of a classifier, whoever made it, and the
// comparison of runs as tables, as JSON and as a chart, with its statistics. It
// refuses labels outside the class range and logits of the wrong size.
//
// Terms. Top-k accuracy is the share of samples whose label is among the k
// largest logits; among equal logits the lower class counts as larger. The
// baseline of a comparison is its first run, or the group of that run: the runs
// of the same options, which differ in their seeds. Groups are compared by pairs
// of the same seed, with Student's t (stats.go).
package eval
