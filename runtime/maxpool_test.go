package runtime

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// windows are those of a maximum pooling or of a convolution by channel.
type windows struct {
	images, channels, h, w                  int
	kernel, stride, dilation, begin, result [2]int
	block                                   int
}

// at is the place in a plane that tap k meets at position o of the result.
func (p windows) at(o, k int) (place int, inside bool) {
	row := o/p.result[1]*p.stride[0] + k/p.kernel[1]*p.dilation[0] - p.begin[0]
	column := o%p.result[1]*p.stride[1] + k%p.kernel[1]*p.dilation[1] - p.begin[1]
	return row*p.w + column, row >= 0 && row < p.h && column >= 0 && column < p.w
}

// shapes are those of the image and of the result.
func (p windows) shapes() (image, result []int64) {
	n, c := int64(p.images), int64(p.channels)
	return []int64{n, c, int64(p.h), int64(p.w)}, []int64{n, c, int64(p.result[0]), int64(p.result[1])}
}

// node is the file of an operator over them.
func (p windows) node(op string, inputs int) []byte {
	var window []int64
	for _, v := range [][2]int{p.kernel, p.stride, p.dilation, p.begin} {
		window = append(window, int64(v[0]), int64(v[1]))
	}
	return winnowNode(op, inputs, 1, map[string][]int64{"block": {int64(p.block)}, "window": window})
}

func (p windows) inBlocks(v []float32, area int) []float32 {
	return inBlocks(v, p.channels, area, p.block, false)
}

// A maximum pooling's gradient goes to the first largest element of each window,
// as PyTorch has it, also where windows overlap, overhang the image or begin
// before it, whatever the block and the number of threads.
func TestOperatorsOfPoolings(t *testing.T) {
	one := [2]int{1, 1}
	anyThreads(t, []windows{
		{3, 16, 6, 8, [2]int{2, 2}, [2]int{2, 2}, one, [2]int{}, [2]int{3, 4}, 8},
		{2, 24, 7, 9, [2]int{3, 3}, [2]int{2, 2}, one, one, [2]int{4, 5}, 8},
		{1, 8, 5, 5, [2]int{3, 2}, [2]int{1, 3}, [2]int{2, 1}, [2]int{2, 0}, [2]int{5, 2}, 8},
		{2, 32, 6, 5, [2]int{3, 3}, [2]int{2, 2}, one, [2]int{}, [2]int{3, 3}, 16}, // the last windows overhang
	}, checkPool)
}

func checkPool(t *testing.T, d *Device, p windows) []float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(5, uint64(p.h)))
	area, out := p.h*p.w, p.result[0]*p.result[1]
	x, dy := make([]float32, p.images*p.channels*area), drawn(r, p.images*p.channels*out)
	for i := range x {
		x[i] = float32(r.IntN(5) - 2) // many are alike
	}
	y, want := make([]float32, len(dy)), make([]float32, len(x))
	for plane := range p.images * p.channels {
		for o := range out {
			largest, at := float32(math.Inf(-1)), -1
			for k := range p.kernel[0] * p.kernel[1] {
				if place, inside := p.at(o, k); inside && x[plane*area+place] > largest {
					at = plane*area + place
					largest = x[at]
				}
			}
			y[plane*out+o] = largest
			want[at] += dy[plane*out+o]
		}
	}
	image, result := p.shapes()
	got, err := runNode(t, d, p.node("MaxPoolGrad", 3), [][]int64{result, image, result}, [][]int64{image}, p.inBlocks(dy, out), p.inBlocks(x, area), p.inBlocks(y, out))
	if err != nil {
		t.Fatal(err)
	}
	dx := inBlocks(got[0], p.channels, area, p.block, true)
	if !slices.Equal(dx, want) {
		t.Errorf("got  %v\nwant %v", dx[:area], want[:area])
	}
	return dx
}
