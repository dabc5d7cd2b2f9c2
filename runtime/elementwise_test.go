package runtime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// steps are what a program of the operator Elementwise may do, as onnx/fuse numbers them, in float64.
var steps = []func(a, b float64) float64{
	func(a, b float64) float64 { return a + b }, func(a, b float64) float64 { return a - b },
	func(a, b float64) float64 { return a * b }, func(a, b float64) float64 { return a / b },
	math.Max, math.Min,
	func(a, _ float64) float64 { return -a }, func(a, _ float64) float64 { return math.Sqrt(a) },
	func(a, _ float64) float64 { return 1 / a }, func(a, _ float64) float64 { return math.Max(a, 0) },
	func(a, _ float64) float64 { return math.Exp(a) }, func(a, _ float64) float64 { return math.Erf(a) },
	func(a, _ float64) float64 { return 1 / (1 + math.Exp(-a)) }, func(a, _ float64) float64 { return math.Tanh(a) },
}

// elementwise runs a program over operands of shapes; all results have the shape whole.
func elementwise(t *testing.T, d *Device, block int64, program, outputs []int64, whole []int64, shapes [][]int64, operands ...[]float32) ([][]float32, error) {
	t.Helper()
	results := slices.Repeat([][]int64{whole}, len(outputs))
	model := winnowNode("Elementwise", len(operands), len(outputs), map[string][]int64{"block": {block}}, intsAttribute("program", program...), intsAttribute("outputs", outputs...))
	return runNode(t, d, model, shapes, results, operands...)
}

// Functions of one number are within three units in the last place of those of
// float64, over the whole range of float32; what is no number stays so.
func TestElementwiseFunctions(t *testing.T) {
	d := kernelDevice(t, 2)
	var x []float32
	for bits := uint64(0); bits < 1<<32; bits += 99991 {
		x = append(x, math.Float32frombits(uint32(bits)))
	}
	x = append(x, 0, float32(math.Copysign(0, -1)), 1, -1, 88.72, 88.73, -87.3, -104, 0.625, 4, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()))
	n := []int64{int64(len(x))}
	for f := int64(6); f < int64(len(steps)); f++ {
		got, err := elementwise(t, d, 8, []int64{f, 0, 0}, []int64{1}, n, [][]int64{n}, x)
		if err != nil {
			t.Fatal(err)
		}
		wide, err := elementwise(t, d, 16, []int64{f, 0, 0}, []int64{1}, n, [][]int64{n}, x)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range x {
			want, y := steps[f](float64(v), 0), got[0][i]
			if math.Float32bits(y) != math.Float32bits(wide[0][i]) {
				t.Fatalf("function %d of %v is %v, and %v in vectors of 16", f, v, y, wide[0][i])
			}
			const tiny = 1 << 23 * math.SmallestNonzeroFloat32 // below it float32 loses digits
			ulp := math.Max(math.Abs(want), tiny) * 0x1p-23
			switch {
			case math.IsNaN(want) != math.IsNaN(float64(y)),
				float32(want) == 0 && math.Abs(float64(y)) > tiny,
				!math.IsNaN(want) && math.Abs(want) < math.MaxFloat32 && !(math.Abs(float64(y)-want) <= 3*ulp+boolTo(math.Abs(want) < tiny)*tiny),
				math.Abs(want) > math.MaxFloat32*(1+0x1p-23) && y != float32(want):
				t.Fatalf("function %d of %v (%#x) is %v, want %v", f, v, math.Float32bits(v), y, want)
			}
		}
	}
}

func boolTo(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Programs give what their steps give one by one in float32, to the bit where
// these are sums, products, quotients and roots, for operands that are spread
// over others in every way, whatever the number of threads.
func TestElementwisePrograms(t *testing.T) {
	wholes := [][]int64{{}, {1}, {7}, {8}, {3, 5}, {2, 16, 3, 5}, {600, 129}, {4, 1, 3}, {2, 3, 1, 300}}
	exact := []int64{0, 1, 2, 3, 4, 5, 6, 9}
	one, three := kernelDevice(t, 1), kernelDevice(t, 3)
	for i := range 60 {
		r := rand.New(rand.NewPCG(uint64(i), 3))
		whole := wholes[i%len(wholes)]
		var shapes [][]int64
		var operands [][]float32
		for k := range 1 + r.IntN(6) {
			shape := slices.Clone(whole)
			if k > 0 { // a run of the whole's dimensions, 1 for the others
				from := r.IntN(len(whole) + 1)
				until := from + r.IntN(len(whole)-from+1)
				for a := range shape {
					if a < from || a >= until {
						shape[a] = 1
					}
				}
				for len(shape) > 0 && shape[0] == 1 && r.IntN(2) == 0 {
					shape = shape[1:]
				}
			}
			shapes = append(shapes, shape)
			operands = append(operands, drawn(r, int(product(shape))))
		}
		var program, outputs []int64
		values := int64(len(operands))
		for range 1 + r.IntN(32) {
			program = append(program, exact[r.IntN(len(exact))], r.Int64N(values), r.Int64N(values))
			if values++; r.IntN(3) == 0 {
				outputs = append(outputs, values-1)
			}
		}
		if len(outputs) == 0 {
			outputs = []int64{values - 1}
		}
		t.Run(fmt.Sprintf("%d of %v", i, whole), func(t *testing.T) {
			got, err := elementwise(t, one, 8, program, outputs, whole, shapes, operands...)
			if err != nil {
				t.Fatal(err)
			}
			again, err := elementwise(t, three, 16, program, outputs, whole, shapes, operands...)
			if err != nil {
				t.Fatal(err)
			}
			want := interpret(program, whole, shapes, operands)
			for k, o := range outputs {
				for j, v := range want[o] {
					if a := got[k][j]; math.Float32bits(a) != math.Float32bits(v) && (a == a || v == v) {
						t.Fatalf("value %d, element %d is %v, want %v", o, j, a, v)
					}
					if math.Float32bits(got[k][j]) != math.Float32bits(again[k][j]) {
						t.Fatalf("value %d, element %d: three threads and vectors of 16 give %v, one and 8 %v", o, j, again[k][j], got[k][j])
					}
				}
			}
		})
	}
}

// interpret is a program step by step, each over the whole.
func interpret(program, whole []int64, shapes [][]int64, operands [][]float32) [][]float32 {
	n := int(product(whole))
	var values [][]float32
	for i, v := range operands {
		full := make([]float32, n)
		for j := range full {
			rest, at, stride := j, 0, 1
			for a := len(whole) - 1; a >= 0; a-- {
				place := rest % int(whole[a])
				rest /= int(whole[a])
				if b := a - len(whole) + len(shapes[i]); b >= 0 && shapes[i][b] != 1 {
					at += place * stride
					stride *= int(shapes[i][b])
				}
			}
			full[j] = v[at]
		}
		values = append(values, full)
	}
	for s := 0; s < len(program); s += 3 {
		y, a, b := make([]float32, n), values[program[s+1]], values[program[s+2]]
		for j := range y {
			y[j] = float32(steps[program[s]](float64(a[j]), float64(b[j]))) // rounded twice is rounded once, for one operation
		}
		values = append(values, y)
	}
	return values
}

func product(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// A program that is none is an error of the graph.
func TestElementwiseRefuses(t *testing.T) {
	d := kernelDevice(t, 1)
	two := [][]int64{{2, 3}, {2, 3}}
	long := make([]int64, 3*33)
	for name, c := range map[string]struct {
		program, outputs []int64
		shapes           [][]int64
		want             string
	}{
		"no steps":              {nil, []int64{2}, two, "no program"},
		"two numbers":           {[]int64{0, 1}, []int64{2}, two, "no program"},
		"an unknown function":   {[]int64{14, 0, 1}, []int64{2}, two, "no program"},
		"a value to come":       {[]int64{0, 0, 2}, []int64{2}, two, "no program"},
		"a negative value":      {[]int64{0, 0, -1}, []int64{2}, two, "no program"},
		"an input as output":    {[]int64{0, 0, 1}, []int64{1}, two, "no program"},
		"no such output":        {[]int64{0, 0, 1}, []int64{3}, two, "no program"},
		"an output twice":       {[]int64{0, 0, 1}, []int64{2, 2}, two, "no program"},
		"too many steps":        {long, []int64{2}, two, "not large enough"},
		"sizes apart":           {[]int64{0, 0, 1}, []int64{2}, [][]int64{{2, 3}, {2, 2}}, "do not fit"},
		"dimensions not a run":  {[]int64{0, 0, 1}, []int64{2}, [][]int64{{2, 3, 4}, {2, 1, 4}}, "do not fit"},
		"more dimensions than8": {[]int64{0, 0, 1}, []int64{2}, [][]int64{{1, 1, 1, 1, 1, 1, 1, 1, 6}, {6}}, "another rank"},
	} {
		var operands [][]float32
		for _, s := range c.shapes {
			operands = append(operands, make([]float32, product(s)))
		}
		_, err := elementwise(t, d, 8, c.program, c.outputs, c.shapes[0], c.shapes, operands...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want what says %q", name, err, c.want)
		}
	}
}
