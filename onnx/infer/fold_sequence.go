package infer

import (
	"strconv"

	"winnow/onnx"
)

// sequence is a SplitToSequence as the Split it amounts to.
type sequence struct {
	source string
	axis   int64
	sizes  []int64
	parts  []string // outputs of the Split, once one is asked for
}

// splitSequence notes a SplitToSequence whose parts are known. The node itself
// goes away with its last reader.
func (f *folder) splitSequence(n *onnx.Node) {
	if n.Operator() != "SplitToSequence" || !(call{in: f.in, n: n}).has(1) {
		return
	}
	c := call{in: f.in, n: n}
	x, v := c.shape(0), c.value(1)
	given, ok := c.ints(1)
	if !ok || x == nil {
		return
	}
	axis, err := c.axis(0, len(x))
	if err != nil || !x[axis].IsConst() {
		return
	}
	s := &sequence{source: n.Input(0), axis: int64(axis)}
	if len(v.Shape) == 1 {
		s.sizes = given
	} else {
		size, left := given[0], x[axis].N
		if size < 1 || left/size >= maxContent {
			return
		}
		for ; left > 0; left -= size {
			s.sizes = append(s.sizes, min(size, left))
		}
	}
	f.sequences[n.Output(0)] = s
}

// sequenceAt replaces a SequenceAt by an output of one Split.
func (f *folder) sequenceAt(n *onnx.Node) bool {
	if n.Operator() != "SequenceAt" {
		return false
	}
	s := f.sequences[n.Input(0)]
	at, ok := call{in: f.in, n: n}.ints(1)
	if s == nil || !ok || len(at) != 1 {
		return false
	}
	i, ok := index(at[0], int64(len(s.sizes)))
	if !ok {
		return false
	}
	if s.parts == nil {
		for k := range s.sizes {
			s.parts = append(s.parts, f.names.Fresh(n.Input(0)+"/"+strconv.Itoa(k)))
		}
		f.add(&onnx.Node{
			Name: s.parts[0], Op: "Split", Inputs: []string{s.source, f.target(n.Input(0), s.sizes)}, Outputs: s.parts,
			Attrs: map[string]onnx.Attr{"axis": onnx.IntAttr(s.axis)},
		})
	}
	f.node(&onnx.Node{Name: n.Name, Op: "Identity", Inputs: []string{s.parts[i]}, Outputs: n.Outputs}, maxDepth)
	return true
}
