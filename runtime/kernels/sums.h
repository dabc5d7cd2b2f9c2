// Sums over the rows of a matrix.
#ifndef WINNOW_SUMS_H
#define WINNOW_SUMS_H

#include "winograd.h"

typedef struct {
	size_t rows, columns, lanes;
} winnow_matrix;

// Bytes of scratch memory that the call below takes.
size_t winnow_column_sums_scratch(const winnow_matrix *s);

// y = the sum of each column of x, rows by columns: of a few rows first, and then of
// those sums, in an order that lanes do not change.
void winnow_column_sums(const winnow_matrix *s, const float *x, float *y, void *scratch, winnow_for each, void *pool);

#endif
