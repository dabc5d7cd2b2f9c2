package onnx

import (
	"maps"
	"slices"
	"strconv"
)

// nameSet hands out value names that nothing in a model uses.
type nameSet struct {
	used map[string]bool
	next map[string]int
}

func newNameSet(g *Graph) *nameSet {
	s := &nameSet{used: map[string]bool{}, next: map[string]int{}}
	s.add(g)
	return s
}

func (s *nameSet) add(g *Graph) {
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

// fresh returns base, or base with a number behind it.
func (s *nameSet) fresh(base string) string {
	name := base
	for name == "" || s.used[name] {
		s.next[base]++
		name = base + "_" + strconv.Itoa(s.next[base])
	}
	s.used[name] = true
	return name
}

// sortedKeys makes the order of a walk over a map repeatable.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
