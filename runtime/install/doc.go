// Package install puts the ONNX Runtime library, and on request its CUDA
// provider, into the user's cache, where the runtime package looks for it.
//
// It owns the pins: versions, archives and the SHA-256 of every file. What does
// not match them is refused, and nothing of it is installed. Packages come by
// npm's own client where there is one, with no script of theirs run; without
// it, the library comes from the project's releases.
//
// Terms. A package is an npm package; its integrity is the SHA-512 that npm
// reports. An asset is an archive of the project's releases page; it holds
// another build of the same version, trusted by a note that is left beside it
// once its archive was checked.
package install
