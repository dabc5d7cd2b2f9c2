package gradtest

import (
	"fmt"
	"math/rand/v2"

	"winnow/onnx/emit"
)

// gridCases checks GridSample in each mode, padding and alignment, at places
// inside and outside of the image.
func gridCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	// Positions keep away from whole and half ones, where the derivative jumps.
	between := func(aligned int64) func(r *rand.Rand, i int) float64 {
		return func(r *rand.Rand, i int) float64 {
			size := float64(5 - i%2)
			at := float64(r.IntN(9)-2) + 0.1 + 0.3*r.Float64() + 0.5*float64(r.IntN(2))
			if aligned == 1 {
				return 2*at/(size-1) - 1
			}
			return (2*at+1)/size - 1
		}
	}
	for _, mode := range []string{"nearest", "bilinear", "bicubic"} {
		for _, padding := range []string{"zeros", "border", "reflection"} {
			for aligned := range int64(2) {
				a := emit.Attrs{"mode": sa(mode), "padding_mode": sa(padding), "align_corners": ia(aligned)}
				grid := Tensor(2, 3, 2, 2).Drawn(between(aligned))
				if mode == "nearest" { // a step function of the grid
					grid = grid.constant()
				}
				c := add("GridSample", fmt.Sprintf("%s-%s-%d", mode, padding, aligned), a, Tensor(2, 3, 4, 5), grid)
				smooth32(c)
				c.Step, c.Tol = 2e-3, 1e-2
			}
		}
	}
	smooth32(add("GridSample", "one", emit.Attrs{"align_corners": ia(1), "padding_mode": sa("reflection")}, Tensor(1, 2, 1, 4), Tensor(1, 2, 2, 2).Drawn(unit).constant()))
}
