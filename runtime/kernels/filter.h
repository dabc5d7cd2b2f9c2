// Filters of the CPU provider's own convolutions on images in blocks of channels.
#ifndef WINNOW_FILTER_H
#define WINNOW_FILTER_H

#include "winograd.h"

typedef struct {
	size_t groups, k, c, taps; // filters and channels of each group: whole blocks
	size_t block, lanes;
	int turned;
} winnow_filters;

// to = filters [groups*k, c, taps] as [groups*k/b, c/b, taps, b of c, b of k]; turned for the
// data gradient, [groups*c/b, k/b, taps from the last, b of k, b of c].
void winnow_filter_blocks(const winnow_filters *s, const float *filter, float *to, winnow_for each, void *pool);

#endif
