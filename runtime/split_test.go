package runtime

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"
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
	for _, way := range []struct {
		name           string
		values, direct bool
	}{{"host memory", false, false}, {"device values", true, false}, {"direct in host memory", false, true}, {"direct", true, true}} {
		t.Run(way.name, func(t *testing.T) {
			d := device(t, Options{deviceValues: way.values})
			spec, slots := splitSpec()
			spec.Direct = way.direct
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
				var tails [2][]float32
				var errs [2]error
				both := &pair{}
				both.wait.Add(2)
				var done sync.WaitGroup
				for who, on := range []*SplitTrainer{tr, other} {
					done.Go(func() {
						tail, err := on.Block(samples[who])
						if err == nil && len(tail) == 3 {
							tail[1] = float32(who + 1)
							err = on.Sum(2, both)
						}
						tails[who], errs[who] = tail, errors.Join(err, on.PutBlock(7))
					})
				}
				done.Wait()
				noError(t, errors.Join(errs[:]...))
				if len(tails[0]) != 3 || tails[0][1] != 3 || tails[1][1] != 3 {
					t.Fatalf("tails %v", tails)
				}
				if n := tr.BlockBytes(); n != 4*(both.n+1) || both.direct != way.direct {
					t.Fatalf("a block of %d bytes, %d numbers added up, on the device: %v", n, both.n, both.direct)
				}
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

// pair adds up what two goroutines have, wherever it lies.
type pair struct {
	mu     sync.Mutex
	wait   sync.WaitGroup
	first  []float32
	n      int
	direct bool
}

func (p *pair) Sum(x []float32) error { return p.add(x, false) }

func (p *pair) SumAt(at unsafe.Pointer, n int) error {
	return p.add(unsafe.Slice((*float32)(at), n), true)
}

func (p *pair) add(x []float32, direct bool) error {
	p.mu.Lock()
	if p.n, p.direct = len(x), direct; p.first == nil {
		p.first = x
	} else {
		for i := range x {
			x[i] += p.first[i]
		}
		copy(p.first, x)
	}
	p.mu.Unlock()
	p.wait.Done()
	p.wait.Wait()
	return nil
}

// aloneSum is a job of one process.
type aloneSum struct{}

func (aloneSum) Sum([]float32) error             { return nil }
func (aloneSum) SumAt(unsafe.Pointer, int) error { return nil }

// A step in two halves allocates nothing, whichever way its block goes.
func TestSplitTrainerAllocatesNothing(t *testing.T) {
	for _, values := range []bool{false, true} {
		for _, direct := range []bool{false, true} {
			d := device(t, Options{deviceValues: values})
			spec, slots := splitSpec()
			spec.Direct = direct
			st, err := d.NewState(slots)
			noError(t, err)
			tr, err := d.NewSplitTrainer(spec, st, 4)
			noError(t, err)
			in := &StepInput{N: 4, Images: make([]byte, 32)}
			var out StepOutput
			var over Summer = aloneSum{}
			step := func() {
				for _, err := range [...]error{tr.Begin(8), tr.Add(in, &out), tr.Add(in, &out)} {
					if err != nil {
						t.Error(err)
					}
				}
				if _, err := tr.Block(8); err != nil {
					t.Error(err)
				}
				for _, err := range [...]error{tr.Sum(1, over), tr.PutBlock(8), tr.Update(0.1, 8)} {
					if err != nil {
						t.Error(err)
					}
				}
			}
			step()
			step()
			if n := testing.AllocsPerRun(100, step); n != 0 {
				t.Errorf("device values %v, direct %v: a step allocates %v times", values, direct, n)
			}
		}
	}
}

func floatBytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
}
