// A layer normalisation: rows of d elements, each by its own mean and deviation.
#ifndef WINNOW_LAYERNORM_H
#define WINNOW_LAYERNORM_H

#include "winograd.h"

typedef struct {
	size_t rows, d, lanes;
} winnow_rows;

// y = (x - mean)*inverse*scale + bias, inverse = 1/sqrt(variance + epsilon); bias may be NULL.
void winnow_layernorm(const winnow_rows *s, const float *x, const float *scale, const float *bias, float epsilon, float *y, float *mean, float *inverse,
	winnow_for each, void *pool);

// Bytes of scratch memory that the gradient takes.
size_t winnow_layernorm_scratch(const winnow_rows *s);

// The gradients by x, scale and bias, of the adjoint dy.
void winnow_layernorm_grad(const winnow_rows *s, const float *dy, const float *x, const float *scale, const float *mean, const float *inverse, float *dx,
	float *dscale, float *dbias, void *scratch, winnow_for each, void *pool);

#endif
