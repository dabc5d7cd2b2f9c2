// Package models holds the forward graphs of small image models, built
// in Go with seeded weights, and the training bundles made from some of them
// that ship inside the program.
//
// The architectures: mlp, 784-256-10; lenet, two convolutions of 16 and 32
// channels and a hidden layer of 128 (after LeCun et al. 1998); resnet8 and
// resnet20, the CIFAR form of He et al. 2016 (arXiv 1512.03385, section 4.2) with
// projection shortcuts, 16-32-64 channels; unet, of three scales with 16, 32 and 64
// channels, for masks. Forward graphs alone, for measurements:
// resnet18 for 32x32 images (64 to 512 channels) and resnet50 (He et al. 2016,
// arXiv 1512.03385, table 1, strides in the 3x3 convolutions). Weights start as
// PyTorch's layers do: uniform in +-1/sqrt(fan in).
package models
