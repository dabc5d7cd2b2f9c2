// The dimensions of a tensor in another order.
#ifndef WINNOW_PERMUTE_H
#define WINNOW_PERMUTE_H

#include "elementwise.h"
#include "winograd.h"

// winnow_permutation is how what comes out lies in what goes in. Dimensions of 1 are
// gone, and those that stay side by side are one.
typedef struct {
	size_t rank;
	size_t dims[WINNOW_RANK], steps[WINNOW_RANK]; // of what comes out, and floats of what goes in from one to the next
	size_t lanes;
} winnow_permutation;

// Whether perm is an order of rank dimensions, and what it does.
int winnow_permutation_of(winnow_permutation *s, const int64_t *dims, const int64_t *perm, size_t rank, size_t lanes);

void winnow_permute(const winnow_permutation *s, const float *x, float *y, winnow_for each, void *pool);

#endif
