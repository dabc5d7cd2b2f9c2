package infer

import "slices"

var gridRules = map[string]inferRule{"GridSample": inferGridSample}

// inferGridSample gives images [N, C, ...] at the places of a grid [N, ..., axes].
func inferGridSample(c call) error {
	x, grid := c.shape(0), c.shape(1)
	if x == nil || grid == nil {
		c.set(0, c.dtype(0), nil)
		return nil
	}
	if len(x) < 3 || len(grid) != len(x) {
		return shapeErrorf("a grid %v for %v", grid, x)
	}
	if d := grid[len(grid)-1]; d.IsConst() && d.N != int64(len(x)-2) {
		return shapeErrorf("coordinates of %d axes for %v", d.N, x)
	}
	if _, err := same(x[0], grid[0]); err != nil {
		return shapeErrorf("a grid %v for %v", grid, x)
	}
	c.set(0, c.dtype(0), slices.Concat(x[:2], grid[1:len(grid)-1]))
	return nil
}
