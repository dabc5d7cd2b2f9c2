// Package emit appends nodes to a graph: it names them, infers the types of what
// they give, writes equal nodes and constants once, and encodes the result.
//
// It refuses what cannot be inferred: the first error stays in Builder.Err, and
// nothing is appended after it.
//
// Terms. The part of a graph and the owner, a node of the model, go into the
// names of what is emitted (bundle.NodeName). A value may have a second form in
// another layout of memory; operators that take every element by itself, and
// sums, then ask the Layout for it.
package emit
