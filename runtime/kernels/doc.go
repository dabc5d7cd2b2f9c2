// Package kernels owns what ONNX Runtime's operators are the limit for: operators
// of the project's own, in the domain "winnow", which a session of the CPU provider
// may use beside the library's. No bundle holds them: a run writes its training
// graph with them as it begins, where the processor has AVX2, and without them
// elsewhere. All are of images X, Y in blocks of channels, [N, C, H, W], in float32, and
// have the attribute block (8 or 16); what is by channel is [C]. The number of
// threads changes no bit of what they give.
//
//   - Conv3x3(X, W, B?) -> Y: a convolution of 3x3 with stride 1 of images in blocks of
//     channels, with a filter in ONNX's own order, W [K, C, 3, 3]. Attributes: pads (four
//     numbers from 0 to 2) and turned, by which W is [C, K, 3, 3] and turned around: the
//     data gradient of a convolution of K to C channels.
//   - Conv3x3Filter(X, dY) -> dW: the gradient of such a filter, [K, C, 3, 3].
//   - Moments(X) -> mean, variance, by channel.
//   - NormSums(dY, X, mean) -> the sums of dY and of dY*(X - mean), by channel.
//   - Affine(X, mean, scale, shift, other?, times?) -> (X - mean)*scale + shift + times*other,
//     by channel; with the attribute relu its positive part.
//   - Masked(dY, Y) -> dY where Y is above 0, else 0.
//
// The convolutions are Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2015), with a quarter of the multiplications, a few tiles
// at a time, so that what a tile is made into stays in the caches. Plain operators can
// do the same with images of parts in memory alone, which eats what is gained unless
// channels are many. The others are what a batch normalisation and the sum and ReLU
// behind it are made of: with a ReLU they read or write an image 11 times, forward and
// backward, where plain operators do 23 times.
package kernels
