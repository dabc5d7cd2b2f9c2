package autodiff

import (
	"winnow/onnx"
	"winnow/onnx/bundle"
)

// sgd emits one parameter's update, as torch.optim.SGD documents it (dampening 0):
//
//	g = grad + decay*p
//	v = momentum*v + g        v starts at 0
//	p = p - rate*(g + momentum*v if Nesterov, else v)
func (e *emitter) sgd(b *bundle.Bundle, p, grad, rate string, init *onnx.Tensor, o Options) {
	g := grad
	if o.WeightDecay != 0 {
		g = e.addOp(g, e.mul(p, e.scalar(o.WeightDecay)))
	}
	step, velocity, nextVelocity := g, "", ""
	if o.Momentum != 0 {
		velocity = e.input(p+".momentum", onnx.Float32, onnx.ShapeOf(init.Dims...)).Name
		nextVelocity = e.named(e.nextName(velocity), "Add", nil, e.mul(velocity, e.scalar(o.Momentum)), g)
		step = nextVelocity
		if o.Nesterov {
			step = e.addOp(g, e.mul(nextVelocity, e.scalar(o.Momentum)))
		}
	}
	next := e.named(e.nextName(p), "Sub", nil, p, e.mul(step, rate))
	e.state(b, p, bundle.KindParameter, next, init)
	if velocity != "" {
		e.state(b, velocity, bundle.KindOptimizer, nextVelocity, onnx.NewTensor(onnx.Float32, init.Dims...))
	}
}
