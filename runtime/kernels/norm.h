// What a batch normalisation is made of, and poolings, of images in blocks of channels.
#ifndef WINNOW_NORM_H
#define WINNOW_NORM_H

#include "winograd.h"

typedef struct {
	size_t n, c, area; // images, channels in whole blocks, positions
	size_t block, lanes;
} winnow_images;

// Bytes of scratch memory that the sums take.
size_t winnow_sums_scratch(const winnow_images *s);

// The mean and the variance of each channel, of all images and positions: those of
// each image first, put together by Chan, Golub and LeVeque's formula (Algorithms for
// Computing the Sample Variance, 1983), so that x is read once.
void winnow_moments(const winnow_images *s, const float *x, float *mean, float *variance, void *scratch, winnow_for each, void *pool);

// The sums of dy, and of dy*(x - mean), of each channel.
void winnow_norm_sums(const winnow_images *s, const float *dy, const float *x, const float *mean, float *sum, float *product, void *scratch,
	winnow_for each, void *pool);

// y = (x - mean)*scale + shift + times*other by channel, or its positive part.
// other may be NULL, and so may times, which then is 1.
void winnow_affine(const winnow_images *s, const float *x, const float *mean, const float *scale, const float *shift, const float *other,
	const float *times, int relu, float *y, winnow_for each, void *pool);

// The windows of a pooling.
typedef struct {
	size_t h, w, oh, ow; // positions of the image that goes in and of what comes out
	size_t kernel[2], stride[2], dilation[2], begin[2];
} winnow_windows;

// dx = the gradient of a maximum pooling of x that gave y: each dy goes to the first of
// its window's elements, in row-major order, that is as large as y.
void winnow_maxpool_grad(const winnow_images *s, const winnow_windows *o, const float *dy, const float *x, const float *y, float *dx, winnow_for each,
	void *pool);

// g where y is above 0, else 0: the adjoint of a ReLU that gave y.
void winnow_masked(const winnow_images *s, const float *g, const float *y, float *out, winnow_for each, void *pool);

#endif
