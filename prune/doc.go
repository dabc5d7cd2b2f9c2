// Package prune decides which samples an epoch trains on, and with what weight.
//
// It owns scores and plans. A scorer turns what the training step reports into
// one number per sample; a policy turns the numbers into the next epoch's plan.
// Any scorer works under any policy. The package knows indices and losses, and
// nothing of images, models or the library that runs them.
//
// It refuses a NaN or infinite loss (an error that names the samples, never a
// score), an index outside the data set, epochs out of order, and saved state
// of other options or with a wrong checksum.
//
// An epoch t of 1..E goes
//
//	plan, _ := p.Plan(t)
//	// per step: p.ObserveBatch or p.ObserveSamples, as p.Wants says
//	// with an outside reference set: p.ObserveReference
//	p.EndEpoch(t)
//
// Terms. A sample is its index in the data set, from 0 to n-1, whatever its
// position in a batch. A score says how much a sample still teaches: low
// scores are pruned first. A sample without a score is never pruned. The prune
// ratio r is the share taken away from what a policy may prune, the keep ratio
// is 1-r, and delta is the fraction of the epochs after which pruning stops,
// so that the last epochs see every sample (annealing). The weight of a sample
// multiplies its loss.
//
// A Pruner is made for one training goroutine and any number of concurrent
// readers of Stats, Scores and Save. Plans depend on the options, the seed and
// the observations alone, never on the number of threads.
package prune
