package autodiff

import (
	"maps"
	"slices"
)

// ComposedOperators lists the operators that are composed of others.
func ComposedOperators() []string { return slices.Sorted(maps.Keys(compositions)) }
