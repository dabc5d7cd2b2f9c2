package autodiff

import (
	"maps"
	"slices"
)

// composedOperators lists the operators that are composed of others.
func ComposedOperators() []string { return slices.Sorted(maps.Keys(compositions)) }
