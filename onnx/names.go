package onnx

import "strconv"

// Names hands out value names that nothing in a model uses.
type Names struct {
	used map[string]bool
	next map[string]int
}

// NewNames knows every name that a graph and those within it use.
func NewNames(g *Graph) *Names {
	s := &Names{used: map[string]bool{}, next: map[string]int{}}
	s.add(g)
	return s
}

func (s *Names) add(g *Graph) {
	for _, v := range g.Inputs {
		s.used[v.Name] = true
	}
	for _, v := range g.Outputs {
		s.used[v.Name] = true
	}
	for name := range g.Initializers {
		s.used[name] = true
	}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			s.used[name] = true
		}
		for _, name := range n.Outputs {
			s.used[name] = true
		}
		for _, a := range n.Attrs {
			if a.G != nil {
				s.add(a.G)
			}
		}
	}
}

// Fresh returns base, or base with a number behind it.
func (s *Names) Fresh(base string) string {
	name := base
	for name == "" || s.used[name] {
		s.next[base]++
		name = base + "_" + strconv.Itoa(s.next[base])
	}
	s.used[name] = true
	return name
}
