package runtime

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"
)

// Steps of full and of other batches give the same bits through captured
// bindings as without.
func TestCaptureChangesNothing(t *testing.T) {
	plain, a := trainer(t, Options{}, allRoles, 8)
	captured, b := trainer(t, Options{deviceValues: true, CUDAGraph: true}, allRoles, 8)
	if a.capture != nil || b.capture == nil {
		t.Fatal("capturing is not what was asked for")
	}
	rng := rand.New(rand.NewPCG(31, 32))
	for step, n := range []int{8, 8, 8, 3, 8, 5, 5, 8, 1, 8} {
		in := randomBatch(rng, n, allRoles)
		in.Random = fixedMask
		var x, y StepOutput
		noError(t, a.Step(in, &x))
		noError(t, b.Step(in, &y))
		if x.Loss != y.Loss || !slices.Equal(x.PerSample, y.PerSample) || !slices.Equal(x.Logits, y.Logits) {
			t.Fatalf("step %d of %d samples: %v became %v", step, n, x, y)
		}
		for i := range plain.Len() {
			p, q := make([]byte, plain.Bytes(i)), make([]byte, plain.Bytes(i))
			noError(t, plain.Read(i, p))
			noError(t, captured.Read(i, q))
			if !bytes.Equal(p, q) {
				t.Fatalf("step %d: state %d differs", step, i)
			}
		}
	}
}

// A replay sees only what lies at the addresses of the capture: full batches
// come from fixed device values, not from the buffers that Step fills.
func TestCaptureReadsFixedAddresses(t *testing.T) {
	_, tr := trainer(t, Options{deviceValues: true, CUDAGraph: true}, testRoles{logits: true}, 2)
	address := func() (all []unsafe.Pointer) {
		for _, p := range tr.ports {
			at, err := p.fixed.data()
			noError(t, err)
			if at == unsafe.Pointer(&p.buffer.bytes[0]) {
				t.Errorf("%q is bound where Step writes", p.slot.Name)
			}
			all = append(all, at)
		}
		return all
	}
	first := address()
	rng := rand.New(rand.NewPCG(33, 34))
	var out StepOutput
	for _, n := range []int{2, 1, 2, 2} {
		in := randomBatch(rng, n, testRoles{})
		noError(t, tr.Step(in, &out))
		if n < 2 {
			continue
		}
		at, err := tr.images.fixed.data()
		noError(t, err)
		if got := unsafe.Slice((*byte)(at), len(in.Images)); !bytes.Equal(got, in.Images) {
			t.Errorf("the fixed images are %v, want %v", got, in.Images)
		}
	}
	if !slices.Equal(address(), first) {
		t.Error("fixed values have moved")
	}
	// Without the copy the step goes on reading the old batch.
	in := randomBatch(rng, 2, testRoles{})
	noError(t, tr.Step(in, &out))
	before := slices.Clone(out.Logits)
	tr.state.side = 1 - tr.state.side
	clear(tr.images.buffer.bytes)
	f := &tr.capture.fixed[tr.state.side]
	noError(t, tr.device.run(tr.session, f.binding, f.options))
	noError(t, tr.capture.out.run())
	if got := as[float32](tr.logits.buffer.bytes); !slices.Equal(got, before) {
		t.Errorf("logits %v became %v without a new batch", before, got)
	}
}

// A graph whose values are in CPU memory cannot be captured, and is named.
func TestCaptureRefusesValuesOnTheCPU(t *testing.T) {
	_, tr := trainer(t, Options{}, testRoles{}, 2)
	wantError(t, tr.checkCapture(), "CUDA graph", `"lr"`, `"w_next"`, "--cuda-graph")
}

// profiled is a trainer whose session writes ONNX Runtime's profile; the
// function closes it and gives the operators that ran, with their counts.
func profiled(t *testing.T, st *State, spec TrainSpec, maxBatch int) (*Trainer, func() map[string]int) {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "profile")
	st.device.options.profile = prefix
	tr, err := st.device.NewTrainer(spec, st, maxBatch)
	st.device.options.profile = ""
	noError(t, err)
	return tr, func() map[string]int {
		t.Helper()
		noError(t, tr.Close())
		files, err := filepath.Glob(prefix + "*.json")
		noError(t, err)
		if len(files) == 0 {
			t.Fatal("no profile was written")
		}
		ops := map[string]int{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			noError(t, err)
			var events []struct {
				Cat  string `json:"cat"`
				Args struct {
					Op string `json:"op_name"`
				} `json:"args"`
			}
			noError(t, json.Unmarshal(text, &events))
			for _, e := range events {
				if e.Cat == "Node" && e.Args.Op != "" {
					ops[e.Args.Op]++
				}
			}
		}
		return ops
	}
}

// copies counts the nodes that only move data.
func copies(ops map[string]int) int {
	return ops["Identity"] + ops["MemcpyFromHost"] + ops["MemcpyToHost"]
}

// ONNX Runtime's profile of a session shows the step's nodes and none that
// copies; a graph with a copy is told by the same count.
func TestProfileShowsNoCopies(t *testing.T) {
	for _, path := range paths[:2] {
		t.Run(path.name, func(t *testing.T) {
			d := device(t, path.options)
			st, err := d.NewState(linearState(firstWeights()))
			noError(t, err)
			tr, ops := profiled(t, st, linearSpec(testRoles{}), 8)
			in := randomBatch(rand.New(rand.NewPCG(35, 36)), 8, testRoles{})
			var out StepOutput
			for range 4 {
				noError(t, tr.Step(in, &out))
			}
			got := ops()
			if got["LogSoftmax"] != 4 {
				t.Errorf("four steps ran %v", got)
			}
			if n := copies(got); n != 0 {
				t.Errorf("four steps ran %d nodes that copy: %v", n, got)
			}
		})
	}
	d := device(t, Options{})
	g := &graph{}
	spec := TrainSpec{Images: Slot{"images", Float32, []int64{-1}}, LearningRate: Slot{"lr", Float32, nil}, Loss: "loss"}
	g.input(spec.Images)
	g.input(spec.LearningRate)
	g.input(Slot{"s", Float32, []int64{2}})
	g.output(Slot{"s2", Float32, []int64{2}})
	g.output(Slot{"loss", Float32, nil})
	g.node("Identity", "s2", []string{"s"})
	g.node("ReduceMean", "mean", []string{"images"}, attr("keepdims", 0))
	g.node("Mul", "loss", []string{"mean", "lr"})
	spec.Model = g.model()
	st, err := d.NewState([]StateSlot{{Input: "s", Output: "s2", DType: Float32, Shape: []int64{2}}})
	noError(t, err)
	tr, ops := profiled(t, st, spec, 1)
	var out StepOutput
	noError(t, tr.Step(&StepInput{N: 1, Images: bytesOf(1)}, &out))
	if got := ops(); copies(got) != 1 {
		t.Errorf("a copy of the state does not show: %v", got)
	}
}

// The state says where it lies and that a step copies none of it.
func TestStatePlacement(t *testing.T) {
	for _, path := range paths {
		st, tr := trainer(t, path.options, testRoles{}, 2)
		if name, err := st.Memory(); err != nil || name != "Cpu" {
			t.Errorf("%s: memory %q, %v", path.name, name, err)
		}
		if n, err := tr.StateCopies(); err != nil || n != 0 {
			t.Errorf("%s: %d copies, %v", path.name, n, err)
		}
	}
}
