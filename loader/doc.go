// Package loader streams labelled images to the trainer in batches.
//
// It owns the sources of images (IDX files, images held in memory), the order
// of an epoch, augmentation and the prefetching workers. It refuses files
// whose size, dimensions or labels contradict their header. It knows nothing
// of models, losses or pruning: a plan arrives as indices and weights.
//
// Terms. A sample is one image with its label; its index (uint32) is its
// position in the source and never changes. A plan is the list of indices an
// epoch visits, with an optional weight for each. The order of an epoch is the
// plan, shuffled. A step is one batch. Images are uint8 in CHW layout: channel,
// then row, then column.
//
// Everything random is a function of (seed, epoch) or of (seed, epoch, sample
// index), so a batch has the same bytes for any number of workers.
package loader
