package export

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
	ortrun "winnow/runtime"
)

// reference is one sample's loss by its definition, in float64.
func reference(l bundle.Loss, x, t []float64) float64 {
	sum, k := 0.0, float64(len(x))
	most := math.Inf(-1)
	for _, v := range x {
		most = max(most, v)
	}
	lse := 0.0
	for _, v := range x {
		lse += math.Exp(v - most)
	}
	lse = most + math.Log(lse)
	for i := range x {
		d := x[i] - t[i]
		switch l.Name {
		case bundle.CrossEntropy:
			sum -= t[i] * (x[i] - lse)
		case bundle.BCE:
			p := 1 / (1 + math.Exp(-x[i]))
			sum -= (t[i]*math.Log(p) + (1-t[i])*math.Log(1-p)) / k
		case bundle.Focal:
			p, a := 1/(1+math.Exp(-x[i])), l.Alpha*t[i]+(1-l.Alpha)*(1-t[i])
			sum -= a * math.Pow(p+t[i]-2*p*t[i], l.Gamma) * (t[i]*math.Log(p) + (1-t[i])*math.Log(1-p)) / k
		case bundle.MSE:
			sum += d * d / k
		case bundle.L1:
			sum += math.Abs(d) / k
		case bundle.Huber:
			if math.Abs(d) <= l.Delta {
				sum += d * d / 2 / k
			} else {
				sum += l.Delta * (math.Abs(d) - l.Delta/2) / k
			}
		}
	}
	return sum
}

// Losses match their definitions, and their seeds central differences of the
// weighted objective, with class labels and with soft targets.
func TestLosses(t *testing.T) {
	d := gradtest.Device(t)
	const n, k, step = 5, 4, 1e-4
	cases := []bundle.Loss{
		{Name: bundle.CrossEntropy}, {Name: bundle.CrossEntropy, Smoothing: 0.1}, {Name: bundle.CrossEntropy, SoftTargets: true},
		{Name: bundle.BCE}, {Name: bundle.BCE, Smoothing: 0.2}, {Name: bundle.BCE, SoftTargets: true},
		{Name: bundle.MSE}, {Name: bundle.MSE, SoftTargets: true}, {Name: bundle.L1}, {Name: bundle.L1, SoftTargets: true},
		{Name: bundle.Huber}, {Name: bundle.Huber, Delta: 0.3, SoftTargets: true},
		{Name: bundle.Focal, Gamma: 2, Alpha: 0.25}, {Name: bundle.Focal, Gamma: 1.5, Alpha: 0.4, SoftTargets: true},
	}
	for _, kind := range losses {
		if !kind.masks && kind.emit != nil && !slices.ContainsFunc(cases, func(l bundle.Loss) bool { return l.Name == kind.name }) {
			t.Errorf("loss %s has no case", kind.name)
		}
	}
	for _, l := range cases {
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			if err := checkLoss(&l); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(7, 7))
			x, targets := make([][]float64, n), make([][]float64, n)
			labels := onnx.NewTensor(onnx.Int64, n)
			soft := onnx.NewTensor(onnx.Float32, n, k)
			weights := make([]float64, n)
			xs := make([]float64, 0, n*k)
			for i := range n {
				x[i], targets[i] = make([]float64, k), make([]float64, k)
				weights[i] = float64(float32(r.Float64() + 0.5))
				class := r.IntN(k)
				binary.LittleEndian.PutUint64(labels.Data[8*i:], uint64(class))
				for c := range k {
					x[i][c] = float64(float32(2 * r.NormFloat64()))
					targets[i][c] = l.Smoothing / k
					if c == class {
						targets[i][c] += 1 - l.Smoothing
					}
					if l.SoftTargets {
						targets[i][c] = float64(float32(0.9 * r.Float64()))
					}
				}
				xs = append(xs, x[i]...)
				gradtest.PutFloats(soft.Data[4*k*i:], onnx.Float32, targets[i])
			}
			in := onnx.Value{Name: "x", DType: onnx.Float32, Shape: onnx.ShapeOf(n, k)}
			g := &onnx.Graph{Name: "loss", Inputs: []onnx.Value{in}, Initializers: map[string]*onnx.Tensor{}}
			e := &writer{emit.New(g, infer.New(g))}
			target := e.Constant(labels)
			if l.SoftTargets {
				target = e.Constant(soft)
			}
			e.Batch = e.samples(target)
			w := onnx.NewTensor(onnx.Float32, n)
			gradtest.PutFloats(w.Data, onnx.Float32, weights)
			loss, perSample, seed := e.loss("x", target, e.Constant(w), e.Scalar(3), l)
			if e.Err != nil {
				t.Fatal(e.Err)
			}
			for _, out := range []string{loss, perSample, seed} {
				e.output(out)
			}
			model, err := emit.Encode(g)
			if err != nil {
				t.Fatal(err)
			}
			slot := func(name string, dims ...int64) ortrun.Slot {
				return ortrun.Slot{Name: name, DType: ortrun.Float32, Shape: dims}
			}
			f, err := d.NewFunction(model, []ortrun.Slot{slot("x", n, k)}, []ortrun.Slot{slot(loss), slot(perSample, n), slot(seed, n, k)})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			raw := make([]byte, 4*n*k)
			gradtest.PutFloats(raw, onnx.Float32, xs)
			out, err := f.Run(raw)
			if err != nil {
				t.Fatal(err)
			}
			gotLoss, gotEach, gotSeed := gradtest.GetFloats(out[0], onnx.Float32)[0], gradtest.GetFloats(out[1], onnx.Float32), gradtest.GetFloats(out[2], onnx.Float32)
			mean := 0.0
			for i := range n {
				want := reference(l, x[i], targets[i])
				mean += want / n
				if math.Abs(gotEach[i]-want) > 1e-5*(1+want) {
					t.Errorf("sample %d: loss %v, want %v", i, gotEach[i], want)
				}
				for c := range k {
					was := x[i][c]
					x[i][c] = was + step
					up := reference(l, x[i], targets[i])
					x[i][c] = was - step
					down := reference(l, x[i], targets[i])
					x[i][c] = was
					want := 3 * weights[i] / n * (up - down) / (2 * step)
					if math.Abs(gotSeed[i*k+c]-want) > 1e-4 {
						t.Errorf("adjoint of score %d,%d: %v, want %v", i, c, gotSeed[i*k+c], want)
					}
				}
			}
			if math.Abs(gotLoss-mean) > 1e-5*(1+mean) {
				t.Errorf("mean loss %v, want %v", gotLoss, mean)
			}
		})
	}
}
