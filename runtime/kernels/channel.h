// Convolutions by channel, of images in blocks of channels.
#ifndef WINNOW_CHANNEL_H
#define WINNOW_CHANNEL_H

#include "norm.h"

// Bytes of scratch memory that the call below takes.
size_t winnow_channel_filter_scratch(const winnow_images *s, const winnow_windows *o);

// filter = the gradient of a filter [c, kernel[0], kernel[1]] for each channel, of
// images x and the adjoint dy. Sums are taken in an order that lanes do not change.
void winnow_channel_filter(const winnow_images *s, const winnow_windows *o, const float *x, const float *dy, float *filter, void *scratch, winnow_for each, void *pool);

#endif
