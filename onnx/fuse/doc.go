// Package fuse puts operators by element that follow one another into one node of
// the project's own operator Elementwise (package runtime/kernels), so that what
// lies between them never goes to memory. It is for graphs that are run here and
// kept nowhere.
//
// A node of the result does what its nodes did, in their order, on the same
// numbers: sums, products and roots have the same bits. It stands where the last of
// them stood, and has the name of the first. Nodes of different parts of a step
// (bundle.ParseNodeName) stay apart, and so do those that another node stands
// between: nothing is computed twice, and nothing later than what waits for it.
//
// Terms. A chain is nodes whose outputs have one shape; what it reads has that
// shape, or dimensions of it that lie side by side, and 1 for the others.
package fuse
