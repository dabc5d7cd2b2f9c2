// Package tune times the forms of a model's gradients on a device, by
// themselves and for one batch size, and says which is the fastest of each.
//
// It owns how forms are timed, what counts as faster, and the cache of times.
// It refuses nothing: a cache that cannot be read or written is a notice.
//
// Terms. A case is one gradient of one geometry, a form one way to write it
// (onnx/autodiff). A place is where times hold: provider, processor or GPU,
// threads, batch size, version of ONNX Runtime and layout.
package tune
