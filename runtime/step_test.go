package runtime

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"winnow/internal/missing"
)

// trainer opens everything for the linear model on one of the two paths.
func trainer(t testing.TB, o Options, roles testRoles, maxBatch int) (*State, *Trainer) {
	t.Helper()
	d := device(t, o)
	st, err := d.NewState(linearState(firstWeights()))
	noError(t, err)
	tr, err := d.NewTrainer(linearSpec(roles), st, maxBatch)
	noError(t, err)
	return st, tr
}

func fixedMask(_ int, dst []float32) {
	for i := range dst {
		dst[i] = 0.5
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			_, tr := trainer(t, path.options, allRoles, 32)
			rng := rand.New(rand.NewPCG(5, 6))
			in := randomBatch(rng, 32, allRoles)
			in.Random = fixedMask
			var out StepOutput
			noError(t, tr.Step(in, &out))
			noError(t, tr.Step(in, &out))
			if n := testing.AllocsPerRun(200, func() {
				if err := tr.Step(in, &out); err != nil {
					t.Error(err)
				}
			}); n != 0 {
				t.Errorf("a step allocates %v times", n)
			}
		})
	}
}

func TestEvaluatorAllocatesNothing(t *testing.T) {
	d := device(t, Options{})
	st, err := d.NewState(linearState(firstWeights()))
	noError(t, err)
	ev, err := d.NewEvaluator(linearEval(), st, 8)
	noError(t, err)
	images := make([]byte, 8*testPixels)
	run := func() {
		if _, err := ev.Run(8, images); err != nil {
			t.Error(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("a run allocates %v times", n)
	}
}

// Steps alternate between two sets of addresses that never change: what a step
// wrote is, where it lies, what the next one reads.
func TestSidesAlternateInPlace(t *testing.T) {
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			st, tr := trainer(t, path.options, testRoles{}, 8)
			address := func(side, i int) unsafe.Pointer {
				p, err := st.values[side][i].data()
				noError(t, err)
				return p
			}
			at := func(side, i int) []byte { return unsafe.Slice((*byte)(address(side, i)), st.Bytes(i)) }
			var first [2][]unsafe.Pointer
			for side := range first {
				for i := range st.Len() {
					first[side] = append(first[side], address(side, i))
				}
			}
			for i := range st.Len() {
				if first[0][i] == first[1][i] {
					t.Fatalf("state %d: both sides lie at %v", i, first[0][i])
				}
			}
			in := randomBatch(rand.New(rand.NewPCG(7, 8)), 8, testRoles{})
			var out StepOutput
			for step := range 6 {
				before := st.side
				old := bytes.Clone(at(before, 0))
				noError(t, tr.Step(in, &out))
				if st.side != 1-before {
					t.Fatalf("step %d stayed on side %d", step, before)
				}
				if !bytes.Equal(at(before, 0), old) {
					t.Fatalf("step %d wrote to the side it read", step)
				}
				if bytes.Equal(at(st.side, 0), old) {
					t.Fatalf("step %d wrote nothing to the other side", step)
				}
				got := make([]byte, st.Bytes(0))
				noError(t, st.Read(0, got))
				if !bytes.Equal(got, at(st.side, 0)) {
					t.Fatalf("step %d: Read gives another value than the current side has", step)
				}
				for side := range first {
					for i := range st.Len() {
						if address(side, i) != first[side][i] {
							t.Fatalf("step %d moved state %d", step, i)
						}
					}
				}
			}
		})
	}
}

// The step reads its weights at the bound address itself: a value put there
// behind the library's back is the one it uses. A copy would not see it.
func TestStateIsNotCopied(t *testing.T) {
	st, tr := trainer(t, Options{}, testRoles{logits: true}, 1)
	in := &StepInput{N: 1, Images: make([]byte, testPixels), Labels: []int64{0}}
	var out StepOutput
	for step := range 4 {
		p, err := st.values[st.side][1].data()
		noError(t, err)
		bias := unsafe.Slice((*float32)(p), testClasses)
		copy(bias, []float32{float32(step), 10, 20})
		noError(t, tr.Step(in, &out))
		for i, want := range []float32{float32(step), 10, 20} {
			if out.Logits[i] != want {
				t.Fatalf("step %d: logits %v do not follow the bias put in place", step, out.Logits)
			}
		}
	}
}

func TestReadWriteRoundTrip(t *testing.T) {
	slots := []StateSlot{
		{Input: "a", Output: "a2", DType: Float32, Shape: []int64{2, 3}},
		{Input: "b", Output: "b2", DType: Int64, Shape: nil, Init: []byte{7, 0, 0, 0, 0, 0, 0, 0}},
		{Input: "c", Output: "c2", DType: Uint8, Shape: []int64{5}, Init: []byte("state")},
		{Input: "d", Output: "d2", DType: Float16, Shape: []int64{3}},
	}
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			d := device(t, path.options)
			st, err := d.NewState(slots)
			noError(t, err)
			for i, slot := range slots {
				got, want := make([]byte, st.Bytes(i)), slot.Init
				if want == nil {
					want = make([]byte, st.Bytes(i))
				}
				noError(t, st.Read(i, got))
				if !bytes.Equal(got, want) {
					t.Errorf("%s starts as %v, want %v", slot.Input, got, want)
				}
				for j := range want {
					want[j] = byte(i + j)
				}
				noError(t, st.Write(i, want))
				noError(t, st.Read(i, got))
				if !bytes.Equal(got, want) {
					t.Errorf("%s reads %v, %v was written", slot.Input, got, want)
				}
			}
			wantError(t, st.Read(0, make([]byte, 3)), `"a"`, "3 bytes", "24")
			wantError(t, st.Write(4, nil), "there are 4")
			noError(t, st.Close())
			noError(t, st.Close())
			wantError(t, st.Read(0, make([]byte, 24)), ErrClosed.Error())
		})
	}
}

// A run that is stopped, written out and continued elsewhere gives the same
// bits as one that was not.
func TestStateCarriesOver(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	var batches []*StepInput
	for range 8 {
		batches = append(batches, randomBatch(rng, 4, testRoles{}))
	}
	run := func(st *State, tr *Trainer, from, to int) {
		var out StepOutput
		for _, in := range batches[from:to] {
			noError(t, tr.Step(in, &out))
		}
	}
	whole, tr := trainer(t, Options{}, testRoles{}, 4)
	run(whole, tr, 0, 8)

	half, tr := trainer(t, Options{}, testRoles{}, 4)
	run(half, tr, 0, 3)
	rest, tr := trainer(t, Options{deviceValues: true}, testRoles{}, 4)
	for i := range half.Len() {
		b := make([]byte, half.Bytes(i))
		noError(t, half.Read(i, b))
		noError(t, rest.Write(i, b))
	}
	run(rest, tr, 3, 8)
	for i := range whole.Len() {
		a, b := make([]byte, whole.Bytes(i)), make([]byte, whole.Bytes(i))
		noError(t, whole.Read(i, a))
		noError(t, rest.Read(i, b))
		if !bytes.Equal(a, b) {
			t.Errorf("state %d differs after it was carried over", i)
		}
	}
}

// resident is the process's resident memory in bytes, without Go's garbage.
func resident(t *testing.T) int64 {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		missing.Skip(t, "no /proc/self/statm: %v", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	noError(t, err)
	return pages * int64(os.Getpagesize())
}

// Ten thousand steps, every second of another size than the one before, keep
// no memory: a leak of one small native object a step would show as megabytes.
func TestStepsKeepNoMemory(t *testing.T) {
	const allowed = 3 << 20
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			_, tr := trainer(t, path.options, allRoles, 16)
			rng := rand.New(rand.NewPCG(11, 12))
			var batches []*StepInput
			for i := range 30 {
				n := 16
				if i%2 == 1 {
					n = 1 + i/2
				}
				in := randomBatch(rng, n, allRoles)
				in.Random = fixedMask
				batches = append(batches, in)
			}
			var out StepOutput
			steps := func(n int) {
				for i := range n {
					noError(t, tr.Step(batches[i%len(batches)], &out))
				}
			}
			steps(2000)
			before := resident(t)
			steps(10000)
			if grown := resident(t) - before; grown > allowed {
				t.Errorf("10000 steps grew the process by %d bytes", grown)
			}
		})
	}
}

func TestStepRefuses(t *testing.T) {
	st, tr := trainer(t, Options{}, allRoles, 4)
	good := func() *StepInput {
		in := randomBatch(rand.New(rand.NewPCG(13, 14)), 4, testRoles{})
		in.Random = fixedMask
		return in
	}
	before := make([]byte, st.Bytes(0))
	noError(t, st.Read(0, before))
	var out StepOutput
	for name, c := range map[string]struct {
		change func(*StepInput)
		want   []string
	}{
		"no samples":   {func(in *StepInput) { in.N = 0 }, []string{"0 samples", "1 to 4"}},
		"too many":     {func(in *StepInput) { in.N = 5 }, []string{"5 samples", "1 to 4"}},
		"short images": {func(in *StepInput) { in.Images = in.Images[1:] }, []string{`"images"`, "63 bytes", "64"}},
		"short labels": {func(in *StepInput) { in.Labels = in.Labels[1:] }, []string{`"labels"`, "3 values"}},
		"long weights": {func(in *StepInput) { in.Weights = make([]float32, 5) }, []string{`"weights"`, "5 values"}},
		"no random":    {func(in *StepInput) { in.Random = nil }, []string{"random"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			c.change(in)
			wantError(t, tr.Step(in, &out), append(c.want, "runtime: step")...)
			after := make([]byte, st.Bytes(0))
			noError(t, st.Read(0, after))
			if !bytes.Equal(before, after) {
				t.Error("the state changed")
			}
		})
	}
	noError(t, tr.Close())
	noError(t, tr.Close())
	wantError(t, tr.Step(good(), &out), ErrClosed.Error())
}

func bytesOf(v ...float32) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// A step that fails inside the library leaves the state as it was and the
// trainer usable.
func TestFailedStepKeepsState(t *testing.T) {
	d := device(t, Options{})
	// y = s / reshape(x): a batch of 3 does not fit the shape [2].
	g := &graph{}
	images := Slot{"images", Float32, []int64{-1}}
	state := StateSlot{Input: "s", Output: "s2", DType: Float32, Shape: []int64{2}, Init: make([]byte, 8)}
	g.input(images)
	g.input(Slot{"lr", Float32, nil})
	g.input(Slot{"s", Float32, []int64{2}})
	g.output(Slot{"s2", Float32, []int64{2}})
	g.output(Slot{"loss", Float32, nil})
	g.ints("two", []int64{1}, 2)
	g.node("Reshape", "x", []string{"images", "two"})
	g.node("Add", "s2", []string{"s", "x"})
	g.node("ReduceMean", "mean", []string{"x"}, attr("keepdims", 0))
	g.node("Mul", "loss", []string{"mean", "lr"})
	st, err := d.NewState([]StateSlot{state})
	noError(t, err)
	tr, err := d.NewTrainer(TrainSpec{
		Model: g.model(), Images: images, LearningRate: Slot{"lr", Float32, nil}, Loss: "loss",
	}, st, 3)
	noError(t, err)
	var out StepOutput
	two := &StepInput{N: 2, Images: bytesOf(1, 2), LearningRate: 2}
	noError(t, tr.Step(two, &out))
	wantError(t, tr.Step(&StepInput{N: 3, Images: bytesOf(5, 5, 5)}, &out), "step", "Reshape")
	if got := readFloats(t, st, 0); got[0] != 1 || got[1] != 2 {
		t.Errorf("after a failed step the state is %v, want [1 2]", got)
	}
	noError(t, tr.Step(two, &out))
	if got := readFloats(t, st, 0); got[0] != 2 || got[1] != 4 || out.Loss != 3 {
		t.Errorf("after two steps the state is %v, want [2 4]; loss %v, want 3", got, out.Loss)
	}
}

func TestTrainerRefuses(t *testing.T) {
	d := device(t, Options{})
	st, err := d.NewState(linearState(nil))
	noError(t, err)
	for name, c := range map[string]struct {
		change func(*TrainSpec)
		want   []string
	}{
		"not a graph":     {func(s *TrainSpec) { s.Model = []byte("no") }, []string{"training graph"}},
		"empty":           {func(s *TrainSpec) { s.Model = nil }, []string{"empty"}},
		"missing input":   {func(s *TrainSpec) { s.Labels = nil }, []string{`graph input "labels" is not given`}},
		"unknown input":   {func(s *TrainSpec) { s.LossScale = &Slot{"scal", Float32, nil} }, []string{`no input "scal"`, `"scale" is not given`}},
		"unknown output":  {func(s *TrainSpec) { s.Loss = "lost" }, []string{`no output "lost"`}},
		"twice":           {func(s *TrainSpec) { s.LearningRate = *s.LossScale }, []string{`"scale" is given twice`}},
		"type":            {func(s *TrainSpec) { s.Images.DType = 8 }, []string{`"images"`, "element type 8"}},
		"shape":           {func(s *TrainSpec) { s.Images.Shape = []int64{-1, 0} }, []string{`"images"`, "must be positive"}},
		"shape too large": {func(s *TrainSpec) { s.Images.Shape = []int64{-1, 1 << 31, 1 << 31, 4} }, []string{"too large"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := linearSpec(allRoles)
			c.change(&spec)
			_, err := d.NewTrainer(spec, st, 4)
			wantError(t, err, append(c.want, "runtime: training graph")...)
		})
	}
	_, err = d.NewTrainer(linearSpec(allRoles), st, 0)
	wantError(t, err, "batch size 0")
	_, err = d.NewState([]StateSlot{{Input: "a", Output: "b", DType: Float32, Shape: []int64{2}, Init: []byte{1}}})
	wantError(t, err, `"a"`, "1 bytes", "8")
	_, err = d.NewState(append(linearState(nil), linearState(nil)[0]))
	wantError(t, err, `"w"`, "twice")
	spec := linearEval()
	spec.State["weight"] = 9
	_, err = d.NewEvaluator(spec, st, 4)
	wantError(t, err, `"weight"`, "state 9")
	_, err = d.NewEvaluator(linearEval(), nil, 4)
	wantError(t, err, "needs a state")
}

// Closing the device closes what is still open on it, in an order that works.
func TestDeviceClosesWhatItOwns(t *testing.T) {
	for _, path := range paths {
		d, err := Open(Options{Device: "cpu", Threads: 1, deviceValues: path.options.deviceValues, CUDAGraph: path.options.CUDAGraph})
		if err != nil {
			device(t, Options{}) // skips or fails with the reason
			t.Fatal(err)
		}
		st, err := d.NewState(linearState(nil))
		noError(t, err)
		tr, err := d.NewTrainer(linearSpec(testRoles{}), st, 4)
		noError(t, err)
		ev, err := d.NewEvaluator(linearEval(), st, 4)
		noError(t, err)
		noError(t, d.Close())
		noError(t, d.Close())
		var out StepOutput
		wantError(t, tr.Step(&StepInput{N: 1}, &out), ErrClosed.Error())
		_, err = ev.Run(1, make([]byte, testPixels))
		wantError(t, err, ErrClosed.Error())
		_, err = d.NewState(nil)
		wantError(t, err, ErrClosed.Error())
		_, err = d.NewTrainer(linearSpec(testRoles{}), st, 4)
		wantError(t, err, "state")
	}
}

// A graph without state gives what it computes, and refuses other sizes.
func TestFunction(t *testing.T) {
	d := device(t, Options{})
	g := &graph{}
	a, b := Slot{"a", Float32, []int64{2}}, Slot{"b", Float32, nil}
	sum, product := Slot{"sum", Float32, []int64{2}}, Slot{"product", Float32, []int64{2}}
	g.input(a)
	g.input(b)
	g.output(sum)
	g.output(product)
	g.node("Add", "sum", []string{"a", "b"})
	g.node("Mul", "product", []string{"a", "b"})
	f, err := d.NewFunction(g.model(), []Slot{a, b}, []Slot{product, sum})
	noError(t, err)
	out, err := f.Run(bytesOf(2, 3), bytesOf(5))
	noError(t, err)
	near(t, "product", as[float32](out[0]), []float64{10, 15}, 0)
	near(t, "sum", as[float32](out[1]), []float64{7, 8}, 0)
	_, err = f.Run(bytesOf(2, 3))
	wantError(t, err, "1 inputs", "2")
	_, err = f.Run(bytesOf(2), bytesOf(5))
	wantError(t, err, `"a"`, "4 bytes", "8")
	noError(t, f.Close())
	_, err = f.Run(bytesOf(2, 3), bytesOf(5))
	wantError(t, err, ErrClosed.Error())
	_, err = d.NewFunction(g.model(), []Slot{a}, []Slot{sum})
	wantError(t, err, `"b" is not given`)
	_, err = d.NewFunction(g.model(), []Slot{a, b}, []Slot{{"sum", Float32, []int64{-1}}})
	wantError(t, err, `"sum"`, "must be fixed")
}

// BenchmarkStep is the cost of a step beside its arithmetic, which is next to
// nothing for 30 nodes over 16 pixels.
func BenchmarkStep(b *testing.B) {
	for _, path := range paths {
		b.Run(strings.ReplaceAll(path.name, " ", "-"), func(b *testing.B) {
			_, tr := trainer(b, path.options, testRoles{}, 8)
			in := randomBatch(rand.New(rand.NewPCG(19, 20)), 8, testRoles{})
			var out StepOutput
			b.ReportAllocs()
			for b.Loop() {
				if err := tr.Step(in, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
