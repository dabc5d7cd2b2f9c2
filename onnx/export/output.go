package export

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// outputs finds which of a graph's outputs gives the class scores.
type outputs struct {
	graph *onnx.Graph
	inf   *infer.Inference
	want  string              // the output asked for; "" leaves it to the graph
	loss  string              // an output that is no candidate
	fits  func(onnx.Dim) bool // whether a first dimension is the batch
	named map[string]bool     // initializers that may be trained
	warn  func(string)
}

// choose takes the one output of class scores, float32 [N, K], whose graph
// holds every parameter, else that of scores of every pixel, [N, K, H, W]. Two
// that give the same scores, one of them through a last Softmax, LogSoftmax or
// Sigmoid, are one: the scores are taken.
// It returns a Value without a name where no output is of class scores.
func (c *outputs) choose() (onnx.Value, error) {
	var found, maps []onnx.Value
	for _, out := range c.graph.Outputs {
		v, _ := c.inf.Type(out.Name)
		v.Name = out.Name
		scores := out.Name != c.loss && v.DType == onnx.Float32 && len(v.Shape) == 2 && c.fits(v.Shape[0]) && v.Shape[1].IsConst()
		pixels := out.Name != c.loss && v.DType == onnx.Float32 && len(v.Shape) == 4 && c.fits(v.Shape[0]) && v.Shape[1:].IsConst()
		switch {
		case out.Name == c.want && !scores && !pixels:
			return v, fmt.Errorf("export: output %q is %v %v, and class scores are a float32 [N, classes], or [N, classes, H, W] or [N, H, W] of every pixel: %w", v.Name, v.DType, v.Shape, emit.ErrModel)
		case out.Name == c.want:
			c.leftOut(v)
			return v, nil
		case scores:
			found = append(found, v)
		case pixels:
			maps = append(maps, v)
		}
	}
	if len(found) == 0 {
		found = maps
	}
	if c.want != "" {
		return onnx.Value{}, optionError("output", "the model has no %q; it has %s", c.want, listed(c.graph.Outputs))
	}
	if len(found) == 0 {
		return onnx.Value{}, nil
	}
	v, err := c.fullest(found)
	if err != nil {
		return v, err
	}
	if len(found) > 1 {
		others := slices.DeleteFunc(found, func(o onnx.Value) bool { return o.Name == v.Name })
		c.warn(fmt.Sprintf("the scores are output %q, which holds every parameter; %s left out; --output chooses another", v.Name, areListed(others)))
	}
	c.leftOut(v)
	return v, nil
}

// fullest is the candidate that holds every parameter of all candidates.
func (c *outputs) fullest(found []onnx.Value) (onnx.Value, error) {
	all := map[string]bool{}
	held := make([]map[string]bool, len(found))
	for i, v := range found {
		held[i] = c.behind(v.Name)
		maps.Copy(all, held[i])
	}
	var full []onnx.Value
	for i, v := range found {
		if len(held[i]) == len(all) {
			full = append(full, v)
		}
	}
	scores := map[string]bool{}
	best := -1
	for i, v := range full {
		end := findEnding(c.graph, c.inf, v)
		scores[end.origin] = true
		if best < 0 || end.op == "" && findEnding(c.graph, c.inf, full[best]).op != "" {
			best = i
		}
	}
	if len(scores) != 1 {
		return onnx.Value{}, fmt.Errorf("export: any of %s could be the scores; say which with --output: %w", listed(found), emit.ErrModel)
	}
	return full[best], nil
}

// leftOut says which parameters of other outputs the one chosen does without.
func (c *outputs) leftOut(chosen onnx.Value) {
	held, missing := c.behind(chosen.Name), map[string]bool{}
	for _, o := range c.graph.Outputs {
		for name := range c.behind(o.Name) {
			if !held[name] {
				missing[name] = true
			}
		}
	}
	if len(missing) > 0 {
		c.warn(fmt.Sprintf("%d tensors are not on the way to output %q and are left out: %s", len(missing), chosen.Name, someOf(slices.Sorted(maps.Keys(missing)))))
	}
}

// behind is the set of trainable initializers that a value is computed from.
func (c *outputs) behind(value string) map[string]bool {
	reach, found := map[string]bool{value: true}, map[string]bool{}
	for _, n := range slices.Backward(c.graph.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return reach[o] }) {
			continue
		}
		for _, in := range onnx.Uses(n) {
			reach[in] = true
			if c.named[in] {
				found[in] = true
			}
		}
	}
	return found
}

// maxShown is how many names a message spells out.
const maxShown = 4

func someOf(names []string) string {
	more := ""
	if n := len(names) - maxShown; n > 0 {
		names, more = names[:maxShown], fmt.Sprintf(" and %d more", n)
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ") + more
}

func listed(values []onnx.Value) string {
	texts := make([]string, 0, maxShown+1)
	for i, v := range values {
		if i == maxShown {
			texts = append(texts, fmt.Sprintf("%d more", len(values)-i))
			break
		}
		texts = append(texts, fmt.Sprintf("%q %v", v.Name, v.Shape))
	}
	if n := len(texts); n > 1 {
		return strings.Join(texts[:n-1], ", ") + " and " + texts[n-1]
	}
	return strings.Join(texts, "")
}

func areListed(values []onnx.Value) string {
	if len(values) == 1 {
		return listed(values) + " is"
	}
	return listed(values) + " are"
}
