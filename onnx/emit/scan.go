package emit

import "winnow/onnx"

// Scan emits a Scan over the first axis of seqs, from its end if reverse. The
// body gets the states and one element of each sequence, and gives the next
// states and values to be stacked, in the order of the elements. The result is
// the last states, and then the stacks.
func (e *Builder) Scan(reverse bool, states, seqs []string, body func(states, elements []string) (next, stacked []string)) []string {
	if e.Err != nil {
		return make([]string, len(states)+len(seqs))
	}
	g := &onnx.Graph{Name: "step"}
	take := func(from string, skip int) string {
		v, _ := e.Inf.Type(from)
		v.Name, v.Shape = e.Fresh("step"), v.Shape[skip:]
		g.Inputs = append(g.Inputs, v)
		e.Inf.Set(v)
		return v.Name
	}
	now, elements := make([]string, len(states)), make([]string, len(seqs))
	for i, s := range states {
		now[i] = take(s, 0)
	}
	for i, s := range seqs {
		elements[i] = take(s, 1)
	}
	nodes, shared := e.Graph.Nodes, e.shared
	e.Graph.Nodes, e.shared = nil, map[string][]string{} // nothing is shared between a body and the graph around it
	next, stacked := body(now, elements)
	g.Nodes = e.Graph.Nodes
	e.Graph.Nodes, e.shared = nodes, shared
	for _, name := range append(append([]string{}, next...), stacked...) {
		v, _ := e.Inf.Type(name)
		g.Outputs = append(g.Outputs, v)
	}
	a := Attrs{"body": {Kind: onnx.AttrGraph, G: g}, "num_scan_inputs": onnx.IntAttr(int64(len(seqs)))}
	if reverse {
		in, out := make([]int64, len(seqs)), make([]int64, len(stacked))
		for i := range in {
			in[i] = 1
		}
		for i := range out {
			out[i] = 1
		}
		a["scan_input_directions"], a["scan_output_directions"] = onnx.IntsAttr(in...), onnx.IntsAttr(out...)
	}
	return e.EmitN("Scan", len(g.Outputs), a, append(append([]string{}, states...), seqs...)...)
}
