package export

import (
	"fmt"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
)

func buildEval(f *forward, o Options, b *bundle.Bundle) error {
	e, nodes, images := graphFor(f, o)
	nodes, err := settle(e.Builder, nodes)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, n := range nodes {
		switch n.Op {
		case "BatchNormalization":
			n.Outputs = n.Outputs[:1]
			kept := emit.Attrs{"epsilon": onnx.FloatAttr(n.Float("epsilon", 1e-5))}
			if m, ok := n.Attrs["momentum"]; ok && m.F != 0.9 { // the default; for training that goes on from the trained model
				kept["momentum"] = m
			}
			n.Attrs = kept
		case "Dropout": // passes its input on, and says where training that goes on drops
			n = &onnx.Node{Name: n.Name, Op: "Dropout", Inputs: n.Inputs[:min(2, len(n.Inputs))], Outputs: n.Outputs[:1]}
		}
		e.Append(n)
	}
	if e.Err != nil {
		return e.Err
	}
	b.Manifest.Eval = bundle.EvalRoles{Images: images, Logits: e.output(f.logits.Name)}
	if f.logits.Name != f.scores.Name {
		v := e.output(f.scores.Name)
		b.Manifest.Eval.Output = &v
	}
	b.Eval, err = emit.Encode(e.Graph)
	return err
}
