// Package export turns a forward ONNX model into a training bundle: it makes the
// model ready, finds what is trained, and writes a training graph, with loss,
// gradients and the optimizer's update, and an evaluation graph, of standard
// operators. Rebuild writes a bundle's graphs anew from the model in it.
// Blocks.Kernels adds a graph of either kind with operators of the project's
// own, for a run alone.
//
// Mixed precision is a pass over the finished forward and backward nodes, as
// torch.autocast would run them: products in half precision, what follows them
// in the type of its operands, sums, losses, statistics and state in float32.
//
// A last Softmax, LogSoftmax or Sigmoid is taken as the loss means it: the loss
// is that of the model as it is written, computed from the scores before where
// it contains the activation, and what is evaluated are those scores.
//
// It refuses models whose image input or class scores cannot be found or are one
// of several, and options that contradict each other or the model.
//
// Terms. A parameter is a trained initializer (one without dimensions only where
// the file says that it is a parameter, for those are mostly constants). A buffer
// is state that a step replaces without a gradient (running statistics). The
// portable graph runs on every provider, the blocked one on the CPU's (package
// nchwc). A value is computed in half precision if what makes it runs in that;
// its float32 version, where one is needed, is then a cast of it.
package export
