// Convolutions of 3x3 with stride 1 on images in blocks of channels, by
// Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2015): 36 products in the place of 144 for a
// tile of 4x4 positions.
#ifndef WINNOW_WINOGRAD_H
#define WINNOW_WINOGRAD_H

#include <stddef.h>
#include <stdint.h>

// winnow_conv is the shape of a convolution. Images lie in memory as
// [n, channels/block, height, width, block], filters as [k, c, 3, 3].
typedef struct {
	size_t n, c, k;   // images, channels that go in and come out: whole blocks
	size_t h, w;      // of the image that goes in
	size_t oh, ow;    // of what comes out
	size_t top, left; // padding: 0 to 2
	size_t block;     // channels to a block: 8 or 16
	size_t lanes;     // parts of the work that may run at a time
	int turned;       // the filter is [c, k, 3, 3] and is turned around: a data gradient
} winnow_conv;

// winnow_for calls f(arg, i) for each i below n, at a time or in turn.
typedef void (*winnow_for)(void *pool, void (*f)(void *, size_t), size_t n, void *arg);

// Bytes of scratch memory, aligned to 64, that the calls below take.
size_t winnow_conv_scratch(const winnow_conv *s);
size_t winnow_filter_scratch(const winnow_conv *s);

// y = x convolved with filter, plus bias by channel unless it is NULL.
void winnow_conv_run(const winnow_conv *s, const float *x, const float *filter, const float *bias, float *y, void *scratch,
	winnow_for each, void *pool);

// filter = the gradient of a filter [k, c, 3, 3]: of images x of c channels and the adjoint dy, of k.
// Sums are taken in an order that lanes do not change.
void winnow_filter_run(const winnow_conv *s, const float *x, const float *dy, float *filter, void *scratch, winnow_for each, void *pool);

// Whether this processor can run them.
int winnow_conv_supported(void);

#endif
