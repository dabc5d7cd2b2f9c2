// Package fuse puts the project's own operators (package runtime/kernels) in the
// place of plain ones in a graph that is run here and kept nowhere:
//
//   - operators by element that follow one another become one Elementwise, so that
//     what lies between them never goes to memory, and so does a single one that
//     repeats a row or a column, which the provider does in one thread;
//   - a Transpose becomes Permute, but where ONNX Runtime makes one operator of it and a
//     product of matrices;
//   - a ReduceSum over the first dimensions becomes ColumnSums.
//
// A node of the result does what its nodes did, in their order, on the same
// numbers: sums, products and roots by element have the same bits, and ColumnSums adds
// in another order. What a chain becomes stands where the last of its nodes stood, and
// has the name of the first. Nodes of different parts of a step
// (bundle.ParseNodeName) stay apart, and so do those that another node stands
// between: nothing is computed twice, and nothing later than what waits for it.
//
// Terms. A chain is nodes whose outputs have one shape; what it reads has that
// shape, or dimensions of it that lie side by side, and 1 for the others.
package fuse
