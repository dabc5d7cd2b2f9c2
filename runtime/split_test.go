package runtime

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// splitSpec is a step in two halves of which all is known: the loss is the mean
// of x*w, its gradient the mean of x, and r a running mean of x by halves.
func splitSpec() (SplitSpec, []StateSlot) {
	g := &graph{}
	spec := SplitSpec{
		Gradient: TrainSpec{Images: Slot{"x", Float32, []int64{-1, 1, 1, 2}}, Loss: "loss"},
		Rate:     Slot{"lr", Float32, nil}, Samples: Slot{"samples", Float32, nil},
		Sums: []Sum{{"s", "s_next", []int64{2}}}, Running: []int{1}, Tail: 3,
	}
	state := []StateSlot{{Input: "w", Output: "w_next", DType: Float32, Shape: []int64{2}}, {Input: "r", Output: "r_next", DType: Float32, Shape: []int64{2}}}
	for _, name := range []string{"w", "s", "r"} {
		g.input(Slot{name, Float32, []int64{2}})
	}
	g.input(spec.Gradient.Images)
	g.output(Slot{"loss", Float32, nil})
	g.output(Slot{"s_next", Float32, []int64{2}})
	g.output(Slot{"r_next", Float32, []int64{2}})
	g.ints("flat", []int64{2}, -1, 2)
	g.ints("axis0", []int64{1}, 0)
	g.floats("half", nil, 0.5)
	g.node("Reshape", "rows", []string{"x", "flat"})
	g.node("ReduceSum", "sum", []string{"rows", "axis0"}, attr("keepdims", 0))
	g.node("Add", "s_next", []string{"s", "sum"})
	g.node("ReduceMean", "mean", []string{"rows", "axis0"}, attr("keepdims", 0))
	g.node("Add", "rm", []string{"r", "mean"})
	g.node("Mul", "r_next", []string{"rm", "half"})
	g.node("Mul", "products", []string{"mean", "w"})
	g.node("ReduceSum", "loss", []string{"products"}, attr("keepdims", 0))
	spec.Gradient.Model = g.model()
	u := &graph{}
	for _, name := range []string{"w", "s", "r"} {
		u.input(Slot{name, Float32, []int64{2}})
	}
	u.input(spec.Rate)
	u.input(spec.Samples)
	u.output(Slot{"w_next", Float32, []int64{2}})
	u.output(Slot{"r_next", Float32, []int64{2}})
	u.node("Div", "g", []string{"s", "samples"})
	u.node("Mul", "move", []string{"g", "lr"})
	u.node("Sub", "w_next", []string{"w", "move"})
	u.node("Identity", "r_next", []string{"r"})
	spec.Update = u.model()
	return spec, state
}

// Batches add up, blocks of two processes do, and the state moves by what they
// are of; in the memory of the host and in a device's.
func TestSplitTrainer(t *testing.T) {
	for _, path := range paths {
		if path.options.CUDAGraph {
			continue
		}
		t.Run(path.name, func(t *testing.T) {
			d := device(t, path.options)
			spec, slots := splitSpec()
			open := func() (*State, *SplitTrainer) {
				st, err := d.NewState(slots)
				noError(t, err)
				tr, err := d.NewSplitTrainer(spec, st, 4)
				noError(t, err)
				return st, tr
			}
			st, tr := open()
			_, other := open()
			read := func(st *State, i int) []float32 {
				raw := make([]byte, 8)
				noError(t, st.Read(i, raw))
				return append([]float32{}, as[float32](raw)...)
			}
			near := func(what string, got []float32, a, b float64) {
				t.Helper()
				if math.Abs(float64(got[0])-a) > 1e-5 || math.Abs(float64(got[1])-b) > 1e-5 {
					t.Errorf("%s: %v, want %v %v", what, got, a, b)
				}
			}
			r := rand.New(rand.NewPCG(4, 4))
			w, running := [2]float64{}, [2]float64{}
			var out StepOutput
			for k := range 5 {
				noError(t, tr.Begin(7))
				noError(t, other.Begin(7))
				sum, samples := [2]float64{}, [2]int{}
				means := [2][2]float64{running, running}
				for j, n := range []int{4, 1, 2} {
					x := make([]float32, 2*n)
					mean := [2]float64{}
					for i := range x {
						x[i] = float32(r.NormFloat64())
						sum[i%2] += float64(x[i])
						mean[i%2] += float64(x[i]) / float64(n)
					}
					who := j / 2 // the third batch is the other process's
					on := []*SplitTrainer{tr, other}[who]
					noError(t, on.Add(&StepInput{N: n, Images: floatBytes(x)}, &out))
					samples[who] += n
					for i := range 2 {
						means[who][i] = (means[who][i] + mean[i]) / 2
					}
				}
				a, tailA, err := tr.Block(samples[0])
				noError(t, err)
				b, tailB, err := other.Block(samples[1])
				noError(t, err)
				if len(tailA) != 3 || len(a) != len(b) || tr.BlockBytes() != 4*len(a) {
					t.Fatalf("blocks of %d and %d, a tail of %d, %d bytes", len(a), len(b), len(tailA), tr.BlockBytes())
				}
				tailA[2], tailB[2] = 1, 2
				for i := range a {
					a[i] += b[i]
				}
				copy(b, a)
				if tailB[2] != 3 {
					t.Error("the tail is no part of the block")
				}
				noError(t, tr.PutBlock(a, 7))
				noError(t, other.PutBlock(b, 7))
				noError(t, tr.Update(0.25, 7))
				noError(t, other.Update(0.25, 7))
				for i := range 2 {
					w[i] -= 0.25 * sum[i] / 7
					running[i] = (5*means[0][i] + 2*means[1][i]) / 7
				}
				near("w", read(st, 0), w[0], w[1])
				near("r", read(st, 1), running[0], running[1])
				if k == 2 { // what is written between steps counts
					w, running = [2]float64{1, 2}, [2]float64{3, 4}
					for _, s := range []*State{st, other.state} {
						noError(t, s.Write(0, floatBytes([]float32{1, 2})))
						noError(t, s.Write(1, floatBytes([]float32{3, 4})))
					}
				}
			}
			noError(t, tr.Begin(1))
			if err := tr.Update(1, 0); err == nil {
				t.Error("an update of no samples")
			}
			noError(t, tr.Close())
			if err := tr.Begin(1); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// A step in two halves allocates nothing.
func TestSplitTrainerAllocatesNothing(t *testing.T) {
	d := device(t, Options{})
	spec, slots := splitSpec()
	st, err := d.NewState(slots)
	noError(t, err)
	tr, err := d.NewSplitTrainer(spec, st, 4)
	noError(t, err)
	in := &StepInput{N: 4, Images: make([]byte, 32)}
	var out StepOutput
	step := func() {
		err := errors.Join(tr.Begin(8), tr.Add(in, &out), tr.Add(in, &out))
		flat, _, blockErr := tr.Block(8)
		if err := errors.Join(err, blockErr, tr.PutBlock(flat, 8), tr.Update(0.1, 8)); err != nil {
			t.Error(err)
		}
	}
	step()
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}
