package opset

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"winnow/onnx"
)

// To18 rewrites the standard operators of a model of opset 7 or later in
// terms of opset 18, where the meaning is the same. Inline comes first. Some
// operators become several (Gelu, GroupNormalization, Swish, Softmax over the
// flattened tail of opset 12 and before). The error lists every node that
// opset 18 cannot express; the model is then left as it was.
func To18(m *onnx.Model) error {
	switch {
	case m == nil || m.Graph == nil:
		return fmt.Errorf("opset: model: it has no graph: %w", onnx.ErrInvalid)
	case len(m.Functions) > 0:
		return fmt.Errorf("opset: model: local functions must be inlined before it is converted: %w", onnx.ErrInvalid)
	case m.Opset < minOpset || m.Opset > maxOpset:
		return fmt.Errorf("opset: model: opset %d cannot be converted to %d, only %d to %d can: export the model again: %w",
			m.Opset, targetOpset, minOpset, maxOpset, onnx.ErrUnsupported)
	}
	c := &converter{from: m.Opset, names: onnx.NewNames(m.Graph)}
	c.graph(m.Graph, nil)
	if len(c.errs) > 0 {
		return errors.Join(c.errs...)
	}
	for _, commit := range c.commits {
		commit()
	}
	m.Opset = targetOpset
	return nil
}

// converter rewrites nodes into lists of its own, put in place at the end.
type converter struct {
	from    int64
	names   *onnx.Names
	commits []func()
	errs    []error
	scope   *convertScope
	out     []*onnx.Node
}

// convertScope is what is known of a graph's values and of those around it.
type convertScope struct {
	types     map[string]onnx.Value
	constants map[string]*onnx.Tensor
	read      map[string]bool // used by a node or returned
	outer     *convertScope
}

func newConvertScope(g *onnx.Graph, outer *convertScope) *convertScope {
	s := &convertScope{types: maps.Clone(g.Values), constants: maps.Clone(g.Initializers), read: map[string]bool{}, outer: outer}
	if s.types == nil {
		s.types = map[string]onnx.Value{}
	}
	if s.constants == nil {
		s.constants = map[string]*onnx.Tensor{}
	}
	for _, v := range append(slices.Clone(g.Outputs), g.Inputs...) {
		if v.DType != onnx.Undefined {
			s.types[v.Name] = v
		}
	}
	for name, t := range g.Initializers {
		s.types[name] = onnx.Value{Name: name, DType: t.DType, Shape: onnx.ShapeOf(t.Dims...)}
	}
	for _, n := range g.Nodes {
		if a, ok := n.Attrs["value"]; ok && n.Op == "Constant" && n.Domain == "" && a.T != nil && len(n.Outputs) == 1 {
			s.constants[n.Outputs[0]] = a.T
			s.types[n.Outputs[0]] = onnx.Value{DType: a.T.DType, Shape: onnx.ShapeOf(a.T.Dims...)}
		}
		for _, name := range onnx.Uses(n) {
			s.read[name] = true
		}
	}
	for _, v := range g.Outputs {
		s.read[v.Name] = true
	}
	return s
}

// typeOf returns what the model says of a value; a zero Value if nothing.
func (c *converter) typeOf(name string) onnx.Value {
	for s := c.scope; s != nil; s = s.outer {
		if v, ok := s.types[name]; ok {
			return v
		}
	}
	return onnx.Value{}
}

// constant returns a value's elements if it is an initializer or a Constant.
func (c *converter) constant(name string) *onnx.Tensor {
	for s := c.scope; s != nil; s = s.outer {
		if t := s.constants[name]; t != nil {
			return t
		}
	}
	return nil
}

func (c *converter) graph(g *onnx.Graph, outer *convertScope) {
	scope, out := c.scope, c.out
	c.scope, c.out = newConvertScope(g, outer), nil
	for _, n := range g.Nodes {
		clone := *n
		clone.Inputs, clone.Outputs, clone.Attrs = slices.Clone(n.Inputs), slices.Clone(n.Outputs), maps.Clone(n.Attrs)
		if clone.Attrs == nil {
			clone.Attrs = map[string]onnx.Attr{}
		}
		for _, key := range slices.Sorted(maps.Keys(clone.Attrs)) {
			if sub := clone.Attrs[key].G; sub != nil {
				c.graph(sub, c.scope)
			}
		}
		if n.Domain == "" {
			c.node(&clone)
		} else {
			c.emit(&clone)
		}
	}
	nodes := c.out
	c.commits = append(c.commits, func() { g.Nodes = nodes })
	c.scope, c.out = scope, out
}

func (c *converter) emit(n *onnx.Node) { c.out = append(c.out, n) }

// refuse notes that a node cannot be converted.
func (c *converter) refuse(n *onnx.Node, format string, args ...any) {
	if len(c.errs) < maxProblems {
		c.errs = append(c.errs, nodeErr(n, onnx.ErrUnsupported, "opset %d to %d: %s", c.from, targetOpset, fmt.Sprintf(format, args...)))
	}
}

// node converts one node. An operator whose definition did not change between
// the two opsets is taken over.
func (c *converter) node(n *onnx.Node) {
	if len(opVersions[n.Op]) == 0 {
		c.refuse(n, "no such operator")
		return
	}
	source := opVersion(n.Op, c.from)
	if source == 0 {
		c.refuse(n, "not an operator of opset %d", c.from)
		return
	}
	if convert, ok := conversions[n.Op]; ok {
		convert(c, n, source)
		return
	}
	target := opVersion(n.Op, targetOpset)
	switch {
	case target == 0 && source > targetOpset:
		c.refuse(n, "the operator came with opset %d", source)
	case target == 0:
		c.refuse(n, "the operator was withdrawn")
	case target != source && changed[n.Op]:
		c.refuse(n, "the operator's definition changed with opset %d", max(source, target))
	default:
		c.emit(n)
	}
}

// constInput emits a Constant, not an initializer, which could be taken for a
// parameter. Its name is made of base and role.
func (c *converter) constInput(base, role string, t *onnx.Tensor) string {
	name := c.names.Fresh(base + "/" + role)
	c.emit(&onnx.Node{Name: name, Op: "Constant", Outputs: []string{name}, Attrs: map[string]onnx.Attr{"value": onnx.TensorAttr(t)}})
	return name
}

// ints adds a one-dimensional integer constant for a node.
func (c *converter) ints(n *onnx.Node, role string, v []int64) string {
	return c.constInput(baseName(n), role, onnx.FromInt64(v, int64(len(v))))
}

// baseName is where the names of values made for a node start.
func baseName(n *onnx.Node) string {
	if n.Name != "" {
		return n.Name
	}
	return n.Output(0)
}

// step emits a node made in place of n, and returns its one output's name.
func (c *converter) step(n *onnx.Node, op string, attrs map[string]onnx.Attr, inputs ...string) string {
	out := c.names.Fresh(baseName(n) + "/" + op)
	c.stepTo(out, op, attrs, inputs...)
	return out
}

// stepTo is step with the output's name given. The node gets it too: ONNX
// Runtime wants different names.
func (c *converter) stepTo(out, op string, attrs map[string]onnx.Attr, inputs ...string) {
	c.emit(&onnx.Node{Name: out, Op: op, Inputs: inputs, Outputs: []string{out}, Attrs: attrs})
}

// setInput puts a name at a position, leaving out optional inputs before it.
func setInput(n *onnx.Node, i int, name string) {
	for len(n.Inputs) <= i {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[i] = name
}
