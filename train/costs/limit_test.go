package costs

import (
	"testing"
	"time"

	ortrun "winnow/runtime"
)

func node(op string, in, out [][]int64) *ortrun.ProfiledNode {
	n := &ortrun.ProfiledNode{Op: op}
	for _, s := range in {
		n.In = append(n.In, ortrun.Tensor{Type: "float", Shape: s})
	}
	for _, s := range out {
		n.Out = append(n.Out, ortrun.Tensor{Type: "float", Shape: s})
	}
	return n
}

// Multiplications and additions, and float32 numbers read and written, counted
// by hand from the operators' definitions.
func TestWork(t *testing.T) {
	for name, c := range map[string]struct {
		node          *ortrun.ProfiledNode
		flops, floats float64
	}{
		"a convolution":         {node("Conv", [][]int64{{2, 3, 8, 8}, {5, 3, 3, 3}, {5}}, [][]int64{{2, 5, 6, 6}}), 2 * (2 * 5 * 36) * 27, 384 + 135 + 5 + 360},
		"in groups":             {node("Conv", [][]int64{{2, 4, 8, 8}, {6, 2, 3, 3}}, [][]int64{{2, 6, 8, 8}}), 2 * (2 * 6 * 64) * 18, 512 + 108 + 768},
		"by Winograd":           {node("Conv3x3", [][]int64{{2, 8, 8, 8}, {16, 8, 3, 3}}, [][]int64{{2, 16, 8, 8}}), 2 * (2 * 4 * 36) * 8 * 16, 1024 + 1152 + 2048},
		"its filter":            {node("Conv3x3Filter", [][]int64{{2, 8, 8, 8}, {2, 16, 8, 8}}, [][]int64{{16, 8, 3, 3}}), 2 * (2 * 4 * 36) * 8 * 16, 1024 + 2048 + 1152},
		"transposed":            {node("ConvTranspose", [][]int64{{2, 4, 5, 5}, {4, 3, 2, 2}}, [][]int64{{2, 3, 10, 10}}), 2 * (2 * 4 * 25) * 12, 200 + 48 + 600},
		"a product":             {node("MatMul", [][]int64{{4, 7}, {7, 3}}, [][]int64{{4, 3}}), 2 * 12 * 7, 28 + 21 + 12},
		"of a transposed":       {node("Gemm", [][]int64{{7, 4}, {3, 7}, {3}}, [][]int64{{4, 3}}), 2 * 12 * 7, 28 + 21 + 3 + 12},
		"of a batch":            {node("FusedMatMul", [][]int64{{2, 5, 4, 7}, {2, 5, 7, 3}}, [][]int64{{2, 5, 4, 3}}), 2 * 120 * 7, 280 + 210 + 120},
		"of a batch with one":   {node("MatMul", [][]int64{{5, 4, 7}, {7, 3}}, [][]int64{{5, 4, 3}}), 2 * 60 * 7, 140 + 21 + 60},
		"nothing":               {node("MatMul", [][]int64{{0, 7}, {7, 3}}, [][]int64{{0, 3}}), 0, 21},
		"a sum":                 {node("Add", [][]int64{{4, 3}, {3}}, [][]int64{{4, 3}}), 0, 27},
		"a part":                {node("Slice", [][]int64{{100}, {1}, {1}}, [][]int64{{10}}), 0, 20},
		"a view":                {node("Reshape", [][]int64{{100}, {1}}, [][]int64{{10, 10}}), 0, 0},
		"only an output":        {node("ConstantOfShape", nil, [][]int64{{10}}), 0, 10},
		"a product without one": {node("MatMul", [][]int64{{4, 7}}, [][]int64{{4, 3}}), 0, 40},
	} {
		if got := arithmetic(c.node); !near(got, c.flops) {
			t.Errorf("%s: %v operations, want %v", name, got, c.flops)
		}
		if got := traffic(c.node); !near(got, 4*c.floats) {
			t.Errorf("%s: %v bytes, want %v", name, got, 4*c.floats)
		}
	}
}

// The larger of the two times is the limit: 19,440 operations and 3,536 bytes here.
func TestLimit(t *testing.T) {
	n := node("Conv", [][]int64{{2, 3, 8, 8}, {5, 3, 3, 3}, {5}}, [][]int64{{2, 5, 6, 6}})
	for _, c := range []struct {
		peaks Peaks
		want  time.Duration
	}{
		{Peaks{GFLOPS: 1, GBPS: 1e6}, 19440},
		{Peaks{GFLOPS: 1e6, GBPS: 1}, 3536},
	} {
		if got := c.peaks.limit(n); got < c.want-1 || got > c.want+1 {
			t.Errorf("%+v: %v ns, want %v", c.peaks, got.Nanoseconds(), c.want.Nanoseconds())
		}
	}
}
