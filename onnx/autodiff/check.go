package autodiff

import (
	"fmt"
	"sort"
	"strings"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// CheckArity refuses nodes that lack an input or output their operator cannot do without.
func CheckArity(nodes []*onnx.Node) error {
	for _, n := range nodes {
		for i := range max(leastInputs[n.Op], min(1, len(n.Inputs))) {
			if n.Input(i) == "" && Rules[n.Op] != nil {
				return fmt.Errorf("autodiff: node %q (%s) lacks input %d: %w", n.Name, n.Op, i, emit.ErrModel)
			}
		}
		if Rules[n.Op] != nil && (n.Output(0) == "" || len(n.Inputs) == 0) {
			return fmt.Errorf("autodiff: node %q (%s) has no input or no output: %w", n.Name, n.Op, emit.ErrModel)
		}
	}
	return nil
}

// ControlFlow refuses what folding left of If, Loop and Scan: control flow on data.
func ControlFlow(nodes []*onnx.Node) error {
	missing := map[string][]string{}
	for _, n := range nodes {
		for _, a := range n.Attrs {
			if a.G != nil {
				missing[Qualified(n)] = append(missing[Qualified(n)], n.Name)
				break
			}
		}
	}
	return NoRule(missing)
}

// leastInputs is how many inputs an operator needs, where that is not one.
var leastInputs = map[string]int{
	"Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Pow": 2, "PRelu": 2, "Where": 3, "Conv": 2, "ConvTranspose": 2, "Gemm": 2,
	"MatMul": 2, "BatchNormalization": 5, "InstanceNormalization": 3, "LayerNormalization": 2, "Reshape": 2, "Expand": 2,
	"Unsqueeze": 2, "Slice": 3, "Pad": 2, "Tile": 2, "Gather": 2, "GatherElements": 2, "GatherND": 2, "ScatterElements": 3,
	"ScatterND": 3, "TopK": 2, "CumSum": 2, "Mod": 2, "ReverseSequence": 2, "MaxUnpool": 2, "LSTM": 3, "GRU": 3, "RNN": 3, "GridSample": 2,
}

// CheckQuantised refuses quantised models of which a part would not be trained
// without a word: weights stored as integers, and integers computed with.
func CheckQuantised(g *onnx.Graph) error {
	const wayOut = "export the float model, or one that is quantised for training, with float weights and QuantizeLinear behind them"
	made := map[string]*onnx.Node{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if q := made[in]; q != nil && n.Op != "DequantizeLinear" {
				return fmt.Errorf("autodiff: node %q (%s) computes with the integers of node %q (QuantizeLinear); %s: %w", n.Name, n.Op, q.Name, wayOut, emit.ErrModel)
			}
		}
		switch {
		case n.Op == "DynamicQuantizeLinear" || strings.HasPrefix(n.Op, "QLinear") || strings.HasSuffix(n.Op, "Integer"):
			return fmt.Errorf("autodiff: node %q (%s) computes with integers, which have no gradient; %s: %w", n.Name, n.Op, wayOut, emit.ErrModel)
		case n.Op == "QuantizeLinear":
			made[n.Output(0)] = n
		case n.Op == "DequantizeLinear" && made[n.Input(0)] == nil:
			return fmt.Errorf("autodiff: node %q (DequantizeLinear): %q is stored quantised and cannot be trained; %s: %w", n.Name, n.Input(0), wayOut, emit.ErrModel)
		}
	}
	return nil
}

// Qualified is an operator's name, with its domain unless that is the default one.
func Qualified(n *onnx.Node) string {
	if IsDefaultDomain(n.Domain) {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// NoRule names operators without a rule, each with one of its nodes; nil if there are none.
func NoRule(missing map[string][]string) error {
	if len(missing) == 0 {
		return nil
	}
	ops := make([]string, 0, len(missing))
	for op := range missing {
		ops = append(ops, op)
	}
	sort.Strings(ops)
	var list []string
	for _, op := range ops {
		at := missing[op]
		text := fmt.Sprintf("%s (node %q", op, at[len(at)-1])
		if len(at) > 1 {
			text += fmt.Sprintf(" and %d more", len(at)-1)
		}
		list = append(list, text+")")
	}
	return fmt.Errorf("autodiff: %w for %s", ErrNoRule, strings.Join(list, ", "))
}

// IsDefaultDomain is whether a domain is that of ONNX's own operators.
func IsDefaultDomain(d string) bool { return d == "" || d == "ai.onnx" }
