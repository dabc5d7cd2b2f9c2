// Package bundle reads, writes and checks training bundles, format winnow.bundle/1:
// a folder with bundle.json (the roles of every input and output), train.onnx,
// eval.onnx and init.safetensors, and optionally train.nchwc.onnx, the training
// graph in the block layout of some CPUs, and forward.onnx, the model that all
// were made from. A bundle is the one contract between
// onnx/export, or any other tool that makes training graphs, and the trainer.
//
// A step of several batches, or of several processes, needs its graph in two
// halves, gradients and update. No file holds them: Halves makes them of
// train.onnx when such a run begins, in the hundredth part of the time that its
// sessions take, so that bundles of any age have them, there is nothing to get out
// of step with train.onnx, and no command reads twice the graphs
// (docs/scaling.md has the figures).
//
// It refuses unknown formats by name, state without a pair, shapes and types
// that contradict the graphs, and any path that leaves the bundle's folder.
//
// Terms. A role is what an input or output of a graph stands for: images,
// labels, loss. State is a tensor that a step reads and replaces: a parameter,
// a buffer (running statistics), an optimizer's moment, or a running average
// of the weights (ema).
package bundle
