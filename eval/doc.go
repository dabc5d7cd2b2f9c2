// Package eval measures trained models and compares runs.
//
// It owns the metrics (top-1 and top-5 accuracy, mean cross-entropy, accuracy
// of each class), the opening of a classifier, whoever made it, and the
// comparison of runs as a table, as JSON and as a chart. It refuses labels outside
// the class range and logits of the wrong size.
//
// Terms. Top-k accuracy is the share of samples whose label is among the k
// largest logits; among equal logits the lower class counts as larger. The
// baseline of a comparison is its first run.
package eval
