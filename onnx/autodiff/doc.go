// Package autodiff writes the gradient of a graph as nodes of that graph: it
// walks the forward nodes backward with one rule per operator. Operators whose
// gradient is simplest as that of others are first composed of those (Compose).
//
// It refuses operators without a rule, naming every one of them at once, and
// knows nothing of losses, optimizers or bundles.
//
// Terms. The adjoint of a value is the gradient of the mean loss of a batch with
// respect to it, and has the value's shape. A rule takes the adjoints of a node's
// outputs and emits nodes that compute the adjoints of its inputs; it may return
// an adjoint in the broadcast shape, and the walk sums that down to the input's
// own. A form is one way to write a gradient that has no operator of its own; a
// case is one such gradient of one geometry. A layout may keep images in another
// form beside the plain one: its rules go before those of the table.
package autodiff
