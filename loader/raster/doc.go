// Package raster works on one image at a time: it decodes files, resizes, crops
// and changes pixels, into memory that its caller keeps.
//
// It owns what pixels a file stands for, and the geometry and colour arithmetic
// of the transforms; it refuses files that are damaged or too large before it
// allocates their pixels. It knows nothing of samples, seeds or epochs.
//
// Resizing has loops in Go and, for AVX2, in C, which give the same bits.
//
// Terms. An Image is uint8 in planes: channel, then row, then column; a packed
// one, as JPEG is decoded, has its channels pixel after pixel. A box is a
// rectangle of an image, in whole pixels.
package raster
