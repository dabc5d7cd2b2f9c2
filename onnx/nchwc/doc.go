// Package nchwc writes training graphs in the layout of ONNX Runtime's CPU
// provider: images stay in blocks of channels from one convolution to the next,
// forward and backward, and gradients of filters are convolutions too. Its rules
// lie over those of autodiff and fall back on them.
//
// Where Layout.Kernels allows it, convolutions of 3x3 and normalisations take the
// operators of package runtime/kernels instead, which run in this program alone.
//
// It leaves to the plain layout whatever does not come in whole blocks of
// channels, and makes no graph for other providers.
//
// Terms. A block is 8 or 16 channels that lie side by side in memory. The blocked
// form of images reads [N, C, H, W] and lies in memory as [N, C/b, H, W, b]; the
// plain form is dropped where nothing reads it.
package nchwc
