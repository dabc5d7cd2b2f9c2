package onnx

import "strconv"

// Names hands out names that nothing uses yet; the zero Names knows none.
type Names struct {
	used map[string]bool
	next map[string]int
}

// NewNames knows every name that a graph and those within it use.
func NewNames(g *Graph) *Names {
	s := &Names{}
	s.add(g)
	return s
}

func (s *Names) add(g *Graph) {
	for _, v := range g.Inputs {
		s.Take(v.Name)
	}
	for _, v := range g.Outputs {
		s.Take(v.Name)
	}
	for name := range g.Initializers {
		s.Take(name)
	}
	for _, n := range g.Nodes {
		s.Take(n.Inputs...)
		s.Take(n.Outputs...)
		for _, a := range n.Attrs {
			if a.G != nil {
				s.add(a.G)
			}
		}
	}
}

// Take marks names as used.
func (s *Names) Take(names ...string) {
	if s.used == nil {
		s.used, s.next = map[string]bool{}, map[string]int{}
	}
	for _, name := range names {
		s.used[name] = true
	}
}

// Fresh returns base, or base with an underscore and a number behind it, and takes it.
func (s *Names) Fresh(base string) string { return s.Numbered(base, "_", 1) }

// Numbered returns base, or base with a separator and a number from first on
// behind it, and takes it.
func (s *Names) Numbered(base, separator string, first int) string {
	s.Take()
	name, stem := base, base+separator
	for name == "" || s.used[name] {
		n := max(first, s.next[stem])
		name, s.next[stem] = stem+strconv.Itoa(n), n+1
	}
	s.Take(name)
	return name
}
