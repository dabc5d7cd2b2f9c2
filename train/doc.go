// Package train runs the training loop: it streams batches from a loader
// through a bundle's training graph, hands the losses to a pruner, and visits
// in the next epoch what the pruner's plan says.
//
// It owns the options of a run and the counting of samples and of time; package
// run writes what comes of it, schedule has the learning rates, step the driving
// of the graphs, and costs says, without a run, where the time of a step goes. It
// refuses data that contradicts the bundle, before anything long starts.
//
// Terms. An epoch is one pass over a plan, a step one batch of it. Progress is
// the time that a schedule reads, in epochs: finished epochs plus the finished
// share of the current one's steps, so that a pruned epoch moves it as far as
// a full one. A reference set is a small set of samples whose mean loss the
// scorer DAS compares every sample with.
package train
