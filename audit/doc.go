// Package audit ranks training samples by how likely their label is wrong.
//
// It owns what is known of each label (what a model predicts and how sure it is,
// what the losses of a run say), the rankings made of it, the decision which
// labels are suspect, and, where the wrong labels are known, how well a ranking
// finds them. It takes numbers by sample and knows nothing of files, images or
// models.
//
// Terms. The given label is the one that the data has. A model's self-confidence
// is its probability of the given label. Suspicion is what a ranking gives a
// sample: larger is more likely wrong, NaN is unknown and comes last.
package audit
