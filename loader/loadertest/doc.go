// Package loadertest is the conformance suite of formats: what a loader and a
// pruner rely on in any loader.Records. Each format of package datasets passes
// it, and a format without a case fails there.
package loadertest
