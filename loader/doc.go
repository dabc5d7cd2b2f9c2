// Package loader streams labelled images to the trainer in batches.
//
// It owns the order of an epoch, the transforms and the prefetching workers, and
// the seam to the formats of package datasets: Records -> Transform -> Source.
// Records give what a format stores of a sample, by index; a Transform makes of
// it an image of the model's shape; a Source is what a Loader iterates. It
// knows nothing of files, models, losses or pruning: a plan arrives as indices
// and weights. Package loadertest holds what every format must keep.
//
// Terms. A sample is one image with its target; its index (uint32) is its
// position in the records and never changes. A target is what a sample
// is to be mapped to: a class, which is its label, a vector, a mask or a tensor. A plan is the list of indices an epoch
// visits, with an optional weight for each. The order of an epoch is the plan,
// shuffled. A step is one batch. Images are uint8 in CHW layout: channel, then
// row, then column.
//
// Everything random is a function of (seed, epoch), of (seed, epoch, sample index)
// or, where the samples of a batch are mixed, of (seed, epoch, step), so a batch has the same bytes for any number of workers.
package loader
