// Package step drives a bundle's graphs: it turns the roles of bundle.json into
// what the runtime binds, state into tensors and back, a loader's uint8 images
// into what a graph takes, and a seed into a graph's random inputs.
//
// It owns the choice between a bundle's training graphs and the one conversion
// of pixels. It refuses a layout that bundle and device do not have for each
// other.
package step
