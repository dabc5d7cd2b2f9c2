package runtime

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

const fakeDriver = `
#include <stddef.h>
#include <string.h>
int cuInit(unsigned f) { return INIT; }
int cuDriverGetVersion(int *v) { *v = 13010; return 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = i + 40; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d == 40 ? "first" : "second", n); return 0; }
int cuDeviceTotalMem_v2(size_t *m, int d) { *m = (size_t)(d - 39) << 30; return 0; }
`

func TestDriverListsGPUs(t *testing.T) {
	driver := func(source string) string { return sharedLibrary(t, "driver.so", source) }
	list, version, err := gpus(driver(strings.Replace(fakeDriver, "INIT", "0", 1)))
	noError(t, err)
	if got := fmt.Sprint(list, version); got != "[{first 1073741824} {second 2147483648}]13.1" {
		t.Errorf("driver lists %s", got)
	}
	_, _, err = gpus(driver(strings.Replace(fakeDriver, "INIT", "100", 1)))
	wantError(t, err, "no CUDA device")
	_, _, err = gpus(driver(strings.Replace(fakeDriver, "INIT", "803", 1)))
	wantError(t, err, "cuInit", "803")
	_, _, err = gpus(driver("int cuInit(unsigned f) { return 0; }"))
	wantError(t, err, "cuDriverGetVersion")
	_, _, err = gpus(filepath.Join(t.TempDir(), "none.so"))
	wantError(t, err, "no NVIDIA driver", "none.so")
}

// A thread gets the context of the device asked for, or the driver's error.
func TestCUDAContextOfAThread(t *testing.T) {
	const contexts = `
int retained = -1, current = -1;
int cuDevicePrimaryCtxRetain(void **c, int d) { retained = d; *c = (void *)(size_t)(d + 1); return 0; }
int cuCtxSetCurrent(void *c) { current = (int)(size_t)c; return current == 42 ? 0 : 7; }
`
	driver := sharedLibrary(t, "driver.so", strings.Replace(fakeDriver, "INIT", "0", 1)+contexts)
	noError(t, takeThread(driver, 1))
	wantError(t, takeThread(driver, 0), "cuCtxSetCurrent", "error 7")
	wantError(t, takeThread(sharedLibrary(t, "old.so", fakeDriver[:strings.Index(fakeDriver, "int cuInit")]), 0), "has no cuInit")
	wantError(t, takeThread(filepath.Join(t.TempDir(), "none.so"), 0), "no NVIDIA driver")
	noError(t, device(t, Options{}).TakeThread())
}

// The reason names what is missing, in the order in which it is needed.
func TestCUDAReasonNamesWhatIsMissing(t *testing.T) {
	tried := errors.New("what the library said")
	dir := t.TempDir()
	wantError(t, cudaReason(dir, 0, tried), sharedProviderFile, dir, "winnow setup --cuda")

	put := func(name, file string) {
		data, err := os.ReadFile(file)
		noError(t, err)
		noError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	put(sharedProviderFile, sharedLibrary(t, "shared.so", "int shared;"))
	wantError(t, cudaReason(dir, 0, tried), cudaProviderFile, "winnow setup --cuda")

	broken := touch(t, filepath.Join(dir, cudaProviderFile))
	wantError(t, cudaReason(dir, 0, tried), broken, "CUDA and cuDNN libraries")

	const missing = ": cannot open shared object file: No such file or directory"
	wantError(t, loaderReason(errors.New("libcublasLt.so.13"+missing)), "libcublasLt.so.13", "must be installed")
	err := loaderReason(errors.New("libcuda.so.1" + missing))
	wantError(t, err, "no NVIDIA driver: libcuda.so.1")
	if strings.Contains(err.Error(), "must be installed") {
		t.Errorf("a missing driver is taken for a missing library: %v", err)
	}
}

func TestNativeMessagesAreShortened(t *testing.T) {
	for message, want := range map[string]string{
		"plain":          "plain",
		" two\n lines\t": "two lines",
		"/src/info.cc:62 F() [ONNXRuntimeError] : 1 : FAIL : option: CUDA failure 100: none ; GPU=-1 ; file=x": "option: CUDA failure 100: none",
		"[ONNXRuntimeError] : short": "[ONNXRuntimeError] : short",
	} {
		if got := oneLine(message); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
}

// A GPU that is not there is an error with a reason; "auto" takes the first
// one, or else the CPU with a notice that gives the reason.
func TestCUDAIsNeverSilentlyTheCPU(t *testing.T) {
	device(t, Options{})
	absent, name, provider, told := []string{"cuda:1000"}, "cuda:0", CUDAProvider, 0
	if !Doctor(Options{}).CUDA {
		absent = append(absent, "cuda", "cuda:3")
		name, provider, told = "cpu", CPUProvider, 1
	}
	for _, name := range absent {
		_, err := Open(Options{Device: name})
		wantError(t, err, `"cuda:`, ErrNoDevice.Error()+": ")
		if !errors.Is(err, ErrNoDevice) {
			t.Errorf("%v is not ErrNoDevice", err)
		}
	}
	var notices []string
	d, err := Open(Options{Device: "auto", Log: func(format string, args ...any) {
		notices = append(notices, fmt.Sprintf(format, args...))
	}})
	noError(t, err)
	defer func() { noError(t, d.Close()) }()
	if d.Name() != name || d.Provider() != provider {
		t.Errorf("auto took %s, %s, want %s", d.Name(), d.Provider(), name)
	}
	if len(notices) != told || told > 0 && !strings.Contains(notices[0], "CPU") {
		t.Errorf("notices: %q", notices)
	}
}

// cudaDevice opens the first GPU where the environment says there is one.
func cudaDevice(t *testing.T, o Options) *Device {
	t.Helper()
	if os.Getenv("WINNOW_TEST_CUDA") != "1" {
		t.Skip("needs an NVIDIA GPU: set WINNOW_TEST_CUDA=1, or run `make test-cuda`")
	}
	o.Device = "cuda:0"
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, d.Close()) })
	return d
}

// Twenty steps on the GPU agree with twenty on the CPU, state and losses.
func TestCUDAStepMatchesCPU(t *testing.T) {
	gpu := cudaDevice(t, Options{CUDA: map[string]string{"use_tf32": "0"}})
	if gpu.Provider() != CUDAProvider {
		t.Fatalf("provider is %s", gpu.Provider())
	}
	var states [2]*State
	var trainers [2]*Trainer
	for i, d := range []*Device{device(t, Options{}), gpu} {
		var err error
		states[i], err = d.NewState(linearState(firstWeights()))
		noError(t, err)
		trainers[i], err = d.NewTrainer(linearSpec(allRoles), states[i], 8)
		noError(t, err)
	}
	ev, err := gpu.NewEvaluator(linearEval(), states[1], 8)
	noError(t, err)
	rng := rand.New(rand.NewPCG(15, 16))
	for step := range 20 {
		in := randomBatch(rng, 8-step%3, allRoles)
		in.Random = fixedMask
		var out [2]StepOutput
		noError(t, trainers[0].Step(in, &out[0]))
		noError(t, trainers[1].Step(in, &out[1]))
		near(t, "loss", []float32{out[1].Loss}, wide(out[0].Loss), 1e-4)
		near(t, "per-sample loss", out[1].PerSample, wide(out[0].PerSample...), 1e-4)
		near(t, "logits", out[1].Logits, wide(out[0].Logits...), 1e-4)
		for i := range states[0].Len() {
			near(t, "state", readFloats(t, states[1], i), wide(readFloats(t, states[0], i)...), 1e-4)
		}
	}
	if _, err := ev.Run(8, make([]byte, 8*testPixels)); err != nil {
		t.Error(err)
	}
}

func wide(v ...float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

// State lies in GPU memory, binding it copies nothing, no node of a step moves
// data between memories, and a step allocates nothing.
func TestCUDAStateStaysOnDevice(t *testing.T) {
	d := cudaDevice(t, Options{})
	st, err := d.NewState(linearState(firstWeights()))
	noError(t, err)
	tr, ops := profiled(t, st, linearSpec(testRoles{}), 8)
	if name, err := st.Memory(); err != nil || name != "Cuda" {
		t.Errorf("the state lies in %q memory (%v)", name, err)
	}
	if n, err := tr.StateCopies(); err != nil || n != 0 {
		t.Errorf("%d state tensors are copied for each step (%v)", n, err)
	}
	in := randomBatch(rand.New(rand.NewPCG(17, 18)), 8, testRoles{})
	var out StepOutput
	noError(t, tr.Step(in, &out))
	noError(t, tr.Step(in, &out))
	if n := testing.AllocsPerRun(50, func() {
		if err := tr.Step(in, &out); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
	if got := ops(); copies(got) != 0 {
		t.Errorf("nodes of a step copy: %v", got)
	}
}

// Steps that replay a captured graph agree with steps that do not, over both
// sides and over batches that are not captured.
func TestCUDAGraphMatchesPlainSteps(t *testing.T) {
	tf32 := map[string]string{"use_tf32": "0"}
	var states [2]*State
	var trainers [2]*Trainer
	for i, o := range []Options{{CUDA: tf32}, {CUDA: tf32, CUDAGraph: true, StrictDevice: true}} {
		d := cudaDevice(t, o)
		var err error
		states[i], err = d.NewState(linearState(firstWeights()))
		noError(t, err)
		trainers[i], err = d.NewTrainer(linearSpec(allRoles), states[i], 8)
		noError(t, err)
	}
	rng := rand.New(rand.NewPCG(41, 42))
	for _, n := range []int{8, 8, 8, 8, 3, 8, 8, 5, 8, 8} {
		in := randomBatch(rng, n, allRoles)
		in.Random = fixedMask
		var out [2]StepOutput
		for i, tr := range trainers {
			noError(t, tr.Step(in, &out[i]))
		}
		near(t, "loss", []float32{out[1].Loss}, wide(out[0].Loss), 1e-5)
		near(t, "logits", out[1].Logits, wide(out[0].Logits...), 1e-5)
		for i := range states[0].Len() {
			near(t, "state", readFloats(t, states[1], i), wide(readFloats(t, states[0], i)...), 1e-5)
		}
	}
}

// Det has no CUDA kernel: under StrictDevice the graph is refused, without it
// the node runs on the CPU.
func TestCUDAStrictDeviceRefusesFallback(t *testing.T) {
	g := &graph{}
	x, y := Slot{"x", Float32, []int64{2, 2}}, Slot{"y", Float32, nil}
	g.input(x)
	g.output(y)
	g.node("Det", "y", []string{"x"})
	model := g.model()
	_, err := cudaDevice(t, Options{StrictDevice: true}).NewFunction(model, []Slot{x}, []Slot{y})
	wantError(t, err, "fallback")
	f, err := cudaDevice(t, Options{}).NewFunction(model, []Slot{x}, []Slot{y})
	noError(t, err)
	out, err := f.Run(bytesOf(1, 2, 3, 5))
	noError(t, err)
	near(t, "determinant", as[float32](out[0]), []float64{-1}, 1e-5)
}

// alone is a job of one process, whose sums are what it has, wherever that lies.
type alone struct{ host, device int }

func (a *alone) Sum([]float32) error {
	a.host++
	return nil
}

func (a *alone) SumAt(p unsafe.Pointer, _ int) error {
	if p == nil {
		return errors.New("no address")
	}
	a.device++
	return nil
}

// What crosses lies in pinned memory, the block of a job in the GPU's, and a step
// in halves moves the state by its formula, whichever way its block goes.
func TestCUDASplitSteps(t *testing.T) {
	d := cudaDevice(t, Options{CUDA: map[string]string{"use_tf32": "0"}, StrictDevice: true})
	noError(t, d.TakeThread())
	b, err := d.hostBuffer(1 << 20)
	noError(t, err)
	if b.value == nil {
		t.Fatal("the provider pins no memory")
	}
	if name, err := b.value.memory(); err != nil || name != "CudaPinned" {
		t.Errorf("what crosses lies in %q memory (%v)", name, err)
	}
	b.close()
	for _, direct := range []bool{false, true} {
		spec, slots := splitSpec()
		spec.Direct = direct
		st, err := d.NewState(slots)
		noError(t, err)
		tr, err := d.NewSplitTrainer(spec, st, 4)
		noError(t, err)
		if name, err := tr.sums.Memory(); err != nil || name != "Cuda" {
			t.Errorf("the sums lie in %q memory (%v)", name, err)
		}
		over := &alone{}
		var out StepOutput
		var w, running [2]float64
		for range 3 {
			noError(t, tr.Begin(6))
			for _, x := range [][]float32{{1, 2, 3, 4, 5, 6, 7, 8}, {-1, 0.5, 2, 1}} { // 4 and 2 samples
				noError(t, tr.Add(&StepInput{N: len(x) / 2, Images: floatBytes(x)}, &out))
				for i := range x {
					running[i%2] += float64(x[i]) / float64(len(x)/2)
				}
				running[0], running[1] = running[0]/2, running[1]/2
			}
			tail, err := tr.Block(6)
			noError(t, err)
			tail[0] = 9
			noError(t, tr.Sum(1, over))
			if tail[0] != 9 {
				t.Errorf("the tail came back as %v", tail)
			}
			noError(t, tr.PutBlock(6))
			noError(t, tr.Update(0.25, 6))
			w[0], w[1] = w[0]-0.25*17/6, w[1]-0.25*21.5/6
		}
		near(t, "w", readFloats(t, st, 0), w[:], 1e-5)
		near(t, "running", readFloats(t, st, 1), running[:], 1e-5)
		if want := (alone{3, 0}); !direct && *over != want || direct && over.device != 3 {
			t.Errorf("direct %v: sums %+v", direct, *over)
		}
		noError(t, tr.Close())
		noError(t, st.Close())
	}
}
