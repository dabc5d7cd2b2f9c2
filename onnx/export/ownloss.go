package export

import (
	"fmt"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// shareBatch gives the dynamic first axes of images and labels one name: they
// are one batch, whatever the exporter called them.
func shareBatch(g *onnx.Graph) {
	for i, in := range g.Inputs {
		if len(in.Shape) > 0 && !in.Shape[0].IsConst() {
			g.Inputs[i].Shape = append(onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}, in.Shape[1:]...)
		}
	}
}

// findOwnLoss finds the loss and the labels of a model that ends in its loss:
// a float32 scalar, [1] or [N], and an input beside the images whose first axis is the batch.
func (f *forward) findOwnLoss(inf *infer.Inference, o *Options) error {
	if err := f.chooseLoss(inf, o); err != nil {
		return err
	}
	if image := ownImage(f.graph); image != "" {
		return f.findTargets(image)
	}
	for _, in := range f.graph.Inputs {
		if len(in.Shape) == 0 || in.Shape[0].IsConst() {
			continue
		}
		if in.DType == onnx.Int64 && len(in.Shape) == 1 || in.DType == onnx.Float32 && len(in.Shape) == 2 && in.Shape[1].IsConst() {
			f.label = in
			f.label.Shape = append(onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}, in.Shape[1:]...)
			if in.DType == onnx.Int64 {
				return nil
			}
		}
	}
	if f.label.Name == "" {
		return fmt.Errorf("export: loss %q: no input is int64 [N] or float32 [N, K], to take the labels: %w", bundle.NoLoss, emit.ErrModel)
	}
	return nil
}

// chooseLoss finds the loss among the outputs: the one that is asked for, else
// that named loss, else the first that can be; all others are reported beside it.
func (f *forward) chooseLoss(inf *infer.Inference, o *Options) error {
	var all []onnx.Value
	at := -1
	for _, out := range f.graph.Outputs {
		v, _ := inf.Type(out.Name)
		v.Name = out.Name
		scalar := v.Shape != nil && (len(v.Shape) == 0 || len(v.Shape) == 1 && v.Shape[0] == onnx.Const(1))
		perSample := len(v.Shape) == 1 && v.Shape[0] == onnx.Symbol(onnx.BatchSymbol)
		if !scalar && !perSample || !slices.Contains(countable, v.DType) {
			continue
		}
		switch loss := v.DType == onnx.Float32; {
		case out.Name == o.Loss.Output && !loss:
			return optionError("loss-output", "%q is %v; a loss is float32", out.Name, v.DType)
		case out.Name == o.Loss.Output, loss && o.Loss.Output == "" && (at < 0 || out.Name == ownLossName && all[at].Name != ownLossName):
			at = len(all)
		}
		all = append(all, v)
	}
	switch {
	case at < 0 && o.Loss.Output != "":
		return optionError("loss-output", "no output %q is a float32 scalar or [N]; those that are numbers are %s", o.Loss.Output, namesOf(all))
	case at < 0:
		return fmt.Errorf("export: loss %q: no output is a float32 scalar or [N]: %w", bundle.NoLoss, emit.ErrModel)
	case len(all) > bundle.MaxScalars:
		return fmt.Errorf("export: loss %q: the model gives %d numbers, want at most %d: %w", bundle.NoLoss, len(all), bundle.MaxScalars, emit.ErrModel)
	}
	f.loss = all[at]
	f.scalars = slices.Delete(all, at, at+1)
	if len(f.scalars) > 0 {
		o.Warn(fmt.Sprintf("the loss is output %q; reported beside it %s (--loss-output takes another)", f.loss.Name, namesOf(f.scalars)))
	}
	return nil
}

// ownLossName is what an output is called that is surely the loss.
const ownLossName = "loss"

// countable are the types of further outputs.
var countable = []onnx.DType{onnx.Float32, onnx.Int64, onnx.Int32, onnx.Uint8, onnx.Bool}

func namesOf(values []onnx.Value) string {
	if len(values) == 0 {
		return "none"
	}
	var names []string
	for _, v := range values {
		names = append(names, fmt.Sprintf("%q", v.Name))
	}
	return strings.Join(names, ", ")
}

// scalars emits the further numbers of a model with its own loss, means over
// the samples where there is one each.
func (s *training) scalars() {
	for _, v := range s.f.scalars {
		x := v.Name
		if v.DType != onnx.Float32 {
			x = s.Cast(x, onnx.Float32)
		}
		switch {
		case len(v.Shape) == 0 && x == v.Name:
		case len(v.Shape) == 1 && !v.Shape[0].IsConst():
			x = s.Named(s.Unique(v.Name+".mean"), "ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, x, s.Int64s(0))
		default:
			x = s.Named(s.Unique(v.Name+".number"), "Reshape", nil, x, s.Constant(onnx.FromInt64(nil, 0)))
		}
		s.roles.Scalars = append(s.roles.Scalars, bundle.Scalar{Name: v.Name, Output: s.output(x).Name})
	}
}

// ownImage is the first input of four dimensions, of a model with several inputs.
func ownImage(g *onnx.Graph) string {
	for _, in := range g.Inputs {
		if len(g.Inputs) > 1 && len(in.Shape) == 4 && (in.DType == onnx.Float32 || in.DType == onnx.Uint8) {
			return in.Name
		}
	}
	return ""
}

// findTargets takes every input but the images for a target: a class first, else
// a vector, else as they come.
func (f *forward) findTargets(image string) error {
	f.label, f.more = onnx.Value{}, nil
	var first, rest []onnx.Value
	for _, in := range f.graph.Inputs {
		if in.Name == image {
			continue
		}
		known := in.DType == onnx.Float32 || in.DType == onnx.Int64 || in.DType == onnx.Int32 || in.DType == onnx.Uint8
		if !known || len(in.Shape) == 0 || in.Shape[0].IsConst() || !in.Shape[1:].IsConst() {
			return fmt.Errorf("export: loss %q: input %q is %v %v; a target is a float32, int64, int32 or uint8 whose first dimension is the batch and whose others are fixed: %w",
				bundle.NoLoss, in.Name, in.DType, in.Shape, emit.ErrModel)
		}
		in.Shape = append(onnx.Shape{onnx.Symbol(onnx.BatchSymbol)}, in.Shape[1:]...)
		switch class := in.DType == onnx.Int64 && len(in.Shape) == 1; {
		case class && (len(first) == 0 || len(first[0].Shape) > 1):
			first, rest = []onnx.Value{in}, append(first, rest...)
		case len(first) == 0 && in.DType == onnx.Float32 && len(in.Shape) == 2:
			first = []onnx.Value{in}
		default:
			rest = append(rest, in)
		}
	}
	if len(first) > 0 {
		f.label = first[0]
	}
	f.more = rest
	return nil
}

// ownTargets are the inputs of a model's own loss, the label first.
func (f *forward) ownTargets() (targets []onnx.Value) {
	if f.label.Name != "" {
		targets = append(targets, f.label)
	}
	return append(targets, f.more...)
}

// lossIsMean is whether the model's own loss is one number for the batch.
func (f *forward) lossIsMean() bool {
	return f.loss.Name != "" && (len(f.loss.Shape) == 0 || f.loss.Shape[0].IsConst())
}

// ownLoss emits the mean of the model's loss and its adjoint: the scale where
// the loss is one number, else w_i/N.
func (e *writer) ownLoss(f *forward, weights, scale string) (loss, perSample, seed string) {
	if f.lossIsMean() {
		loss = e.Named(e.Unique(nameLoss), "Reshape", nil, f.loss.Name, e.Constant(onnx.FromInt64(nil, 0)))
		seed = scale
		if len(f.loss.Shape) == 1 {
			seed = e.Flat(scale, 1)
		}
		return loss, "", seed
	}
	loss = e.Named(e.Unique(nameLoss), "ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, f.loss.Name, e.Int64s(0))
	seed = e.Emit("Reciprocal", nil, e.Batch)
	if scale != "" {
		seed = e.Mul(seed, scale)
	}
	if weights != "" {
		return loss, f.loss.Name, e.Mul(seed, weights)
	}
	return loss, f.loss.Name, e.Broadcast(seed, f.loss.Name)
}

// ownLosses writes out the loss operators that stock builds have no kernel
// for: class labels [N, D...] on scores [N, K, D...], with class weights and an
// ignored class. One that gives its logarithms too stays, and is named as an
// operator without a rule. It tells whether there was one.
func ownLosses(g *onnx.Graph, inf *infer.Inference) (found bool, err error) {
	e := emit.New(g, inf)
	e.Within(bundle.PartLoss, nil)
	nodes := g.Nodes
	g.Nodes = nil
	for _, n := range nodes {
		x, labels := e.Shape(n.Input(0)), e.Shape(n.Input(1))
		known := n.Op == "SoftmaxCrossEntropyLoss" || n.Op == "NegativeLogLikelihoodLoss"
		if !known || len(x) < 2 || len(labels) != len(x)-1 || n.Output(1) != "" {
			g.Nodes = append(g.Nodes, n)
			continue
		}
		found = true
		writeLoss(e, n, len(labels))
	}
	return found, e.Err
}

// writeLoss is -w*log p of the class of each label, 0 where it is ignored; its
// mean is over the sum of the weights that count, as PyTorch defines it.
func writeLoss(e *emit.Builder, n *onnx.Node, rank int) {
	logp, labels := n.Inputs[0], n.Inputs[1]
	if n.Op == "SoftmaxCrossEntropyLoss" {
		logp = e.Emit("LogSoftmax", emit.Attrs{"axis": onnx.IntAttr(1)}, logp)
	}
	weight := "" // [N, D...]
	if i := n.Int("ignore_index", -1); i >= 0 {
		if e.DType(labels) != onnx.Int64 {
			labels = e.Cast(labels, onnx.Int64)
		}
		ignored := e.Emit("Equal", nil, labels, e.Constant(onnx.FromInt64([]int64{i})))
		labels = e.Where(ignored, e.Constant(onnx.FromInt64([]int64{0})), labels)
		weight = e.Cast(e.Emit("Not", nil, ignored), onnx.Float32)
	}
	if w := n.Input(2); w != "" {
		if t := e.Graph.Initializers[w]; t != nil {
			w = e.Constant(t) // by another name: it is no parameter
		}
		of := e.Emit("Gather", emit.Attrs{"axis": onnx.IntAttr(0)}, w, labels)
		if weight != "" {
			of = e.Mul(of, weight)
		}
		weight = of
	}
	each := e.Emit("GatherElements", emit.Attrs{"axis": onnx.IntAttr(1)}, logp, e.Emit("Unsqueeze", nil, labels, e.Int64s(1)))
	each = e.Emit("Squeeze", nil, each, e.Int64s(1))
	if weight != "" {
		each = e.Mul(each, weight)
	}
	all := make([]int64, rank)
	for i := range all {
		all[i] = int64(i)
	}
	switch reduction := n.Str("reduction", "mean"); {
	case reduction == "sum":
		each = e.Sum(each, false, all...)
	case reduction == "mean" && weight != "":
		each = e.Div(e.Sum(each, false, all...), e.Sum(weight, false, all...))
	case reduction == "mean":
		each = e.Emit("ReduceMean", emit.Attrs{"keepdims": onnx.IntAttr(0)}, each, e.Int64s(all...))
	}
	e.Named(n.Outputs[0], "Neg", nil, each)
}
