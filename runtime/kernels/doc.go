// Package kernels owns what ONNX Runtime's operators are the limit for: operators
// of the project's own, in the domain "winnow", which a session of the CPU provider
// may use beside the library's. No bundle holds them: a run writes its training
// graph with them as it begins, where the processor has AVX2, and without them
// elsewhere. All are of float32, and the number of threads changes no bit of what
// they give.
//
// Of images X, Y in blocks of channels, [N, C, H, W], with the attribute block (8 or
// 16), what is by channel being [C]:
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
//   - FilterBlocks(W) -> W [K, C, ...] as ONNX Runtime's own convolution on blocks takes it,
//     [K/b, C/b, ..., b of C, b of K] in memory. Attributes: group and turned, by which it is
//     turned around for the data gradient, [C/b, K/b, ..., b of K, b of C] for each group.
//   - ChannelFilter(X, dY) -> dW [C, 1, ...]: the gradient of the filter of a convolution by
//     channel. The attribute window has rows and columns of the kernel, the stride, the
//     dilation and the padding before.
//   - Masked(dY, Y) -> dY where Y is above 0, else 0.
//   - MaxPoolGrad(dY, X, Y) -> dX of a maximum pooling that gave Y, with an attribute window
//     like that.
//
// Of tensors of up to eight dimensions:
//
//   - Elementwise(X...) -> Y...: up to 32 steps by element in one pass. An input has the
//     dimensions of the whole, or a run of them and 1 for the others. Attributes: program,
//     three numbers for each step, a function (elementwise.h) and the two values it
//     takes, outputs, values, and block, the floats of a vector, which change no bit;
//     values are the inputs and then what each step gives.
//   - Permute(X) -> X with its dimensions in the order of the attribute perm.
//   - ColumnSums(X) -> the sums over the first dimensions, as many as the attribute axis says;
//     with the attribute keepdims they stay, as 1.
//   - LayerNorm(X, scale, bias?) -> Y, mean, inverse: rows of the dimensions from the
//     attribute axis on, each less its mean, times the inverse of its deviation (attribute
//     epsilon is added to the variance), times scale, plus bias.
//   - LayerNormGrad(dY, X, scale, mean, inverse) -> dX, dscale, dbias.
//
// The convolutions are Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2015), with a quarter of the multiplications, a few tiles
// at a time, so that what a tile is made into stays in the caches. Plain operators can
// do the same with images of parts in memory alone, which eats what is gained unless
// channels are many. Those of images besides are what a batch normalisation and the sum and ReLU
// behind it are made of: with a ReLU they read or write an image 11 times, forward and
// backward, where plain operators do 23 times. Elementwise goes through a chain of
// operators a few hundred elements at a time, so that what lies between them stays
// in the first cache; sums, products, quotients and roots have the bits of ONNX
// Runtime's, exponentials and the like are within three units in the last place.
package kernels
