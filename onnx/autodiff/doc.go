// Package autodiff turns a forward ONNX model into a training bundle: it marks
// what depends on a trainable parameter, walks the graph backward with one rule
// per operator, adds the loss and the optimizer's update, and writes a training
// graph and an inference graph of standard operators only.
//
// Mixed precision is a pass over the finished forward and backward nodes, as
// torch.autocast would run them: products in half precision, what follows them
// in the type of its operands, sums, losses, statistics and state in float32.
//
// Beside the portable graph there can be a blocked one, for ONNX Runtime's CPU
// provider alone: images stay in blocks of channels from one convolution to the
// next, forward and backward, and filter gradients are convolutions too.
//
// A last Softmax, LogSoftmax or Sigmoid is taken as the loss means it: the loss
// is that of the model as it is written, computed from the scores before where
// it contains the activation, and what is evaluated are those scores.
//
// It refuses operators without a rule, naming every one of them at once, and
// models whose image input or class scores cannot be found or are one of several.
//
// Terms. The root is the mean loss of a batch. The adjoint of a value is the
// gradient of the root with respect to it, and has the value's shape. A rule
// takes the adjoints of a node's outputs and emits nodes that compute the
// adjoints of its inputs; a rule may return an adjoint in the broadcast shape,
// and the walk sums it down to the input's own. A parameter is a trained
// initializer (one without dimensions only where the file says that it is a
// parameter, for those are mostly constants); a buffer is state that a step
// replaces without a gradient (running statistics); a lowering, or form, is one
// way to write a gradient that has no operator of its own; a case is one such
// gradient of one geometry. Names of emitted nodes start with the part of the
// step, "images.", "forward.", "batch.", "loss.", "grad." or "update.", and, in
// the forward and backward passes, the forward node they are emitted for; a node
// of the model keeps its name. A value is born in half precision if what makes
// it runs in that; its float32 version, where one is needed, is then a cast of it.
package autodiff
