package export

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/fuse"
	"winnow/onnx/nchwc"
)

// buildEval writes the evaluation graph into b, with the roles of its inputs and outputs.
func buildEval(f *forward, o Options, b *bundle.Bundle) error {
	e, images, err := evaluation(f, o, false)
	if err != nil {
		return err
	}
	b.Manifest.Eval = bundle.EvalRoles{Images: images, Logits: e.output(f.logits.Name)}
	if f.logits.Name != f.scores.Name {
		v := e.output(f.scores.Name)
		b.Manifest.Eval.Output = &v
	}
	b.Eval, err = emit.Encode(e.Graph)
	return err
}

// buildEvalBlocked writes the graph that gives the logits of buildEval's in
// blocks of channels, with operators of package runtime/kernels.
func buildEvalBlocked(f *forward, o Options, b *bundle.Bundle) (err error) {
	e, _, err := evaluation(f, o, true)
	if err != nil {
		return err
	}
	defer e.recovered(&err)
	e.output(f.logits.Name)
	fuse.Graph(e.Graph, e.Inf, o.Blocks.Size)
	b.BlockedEval, err = emit.Encode(e.Graph, nchwc.Domain, onnx.KernelDomain)
	return err
}

// evaluation writes the model's nodes as they are evaluated, in blocks or as they are.
func evaluation(f *forward, o Options, blocks bool) (_ *writer, images bundle.Value, err error) {
	e, nodes, images := graphFor(f, o)
	defer e.recovered(&err)
	if nodes, err = settle(e.Builder, nodes); err != nil {
		return nil, images, fmt.Errorf("export: %w", err)
	}
	var layout *nchwc.Layout
	if blocks {
		layout = nchwc.New(e.Builder, o.Blocks.Size, "")
		layout.Lowering, layout.Kernels = o.Forms.Lowering, true
	}
	for _, n := range nodes {
		n = evaluated(n)
		e.Within(bundle.PartForward, n)
		if layout == nil || !layout.Forward(n, "") {
			e.Append(n)
		}
	}
	return e, images, e.Err
}

// evaluated is what a node of the model is while it is evaluated.
func evaluated(n *onnx.Node) *onnx.Node {
	switch n.Op {
	case "BatchNormalization":
		n.Outputs = n.Outputs[:1]
		kept := emit.Attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))}
		if m, ok := n.Attrs["momentum"]; ok && m.F != 0.9 { // the default; for training that goes on from the trained model
			kept["momentum"] = m
		}
		n.Attrs = kept
	case "Dropout": // passes its input on, and says where training that goes on drops
		return &onnx.Node{Name: n.Name, Op: "Dropout", Inputs: n.Inputs[:min(2, len(n.Inputs))], Outputs: n.Outputs[:1]}
	}
	return n
}
