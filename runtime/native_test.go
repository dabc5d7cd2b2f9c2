package runtime

import (
	"math"
	"slices"
	"testing"
	"unsafe"
)

// Every position of the function table is called once with a result that only
// the right function gives.
func TestTablePositions(t *testing.T) {
	d := device(t, Options{})
	session, err := d.session(linearSpec(testRoles{}).Model, sessionOptions{})
	noError(t, err)
	defer session.Destroy()
	noError(t, checkLayout())

	inputs, err := d.names(session, false) // SessionGetInputCount, -Name, default allocator, AllocatorFree
	noError(t, err)
	if want := []string{"images", "labels", "lr", "w", "b", "vw", "vb"}; !slices.Equal(inputs, want) {
		t.Errorf("inputs %v, want %v", inputs, want)
	}
	outputs, err := d.names(session, true) // SessionGetOutputCount, -Name
	noError(t, err)
	if want := []string{"w_next", "b_next", "vw_next", "vb_next", "loss"}; !slices.Equal(outputs, want) {
		t.Errorf("outputs %v, want %v", outputs, want)
	}
	onCPU, err := d.onCPU(session, false, len(inputs)) // SessionGetMemoryInfoForInputs, MemoryInfoGetDeviceType
	noError(t, err)
	if slices.Contains(onCPU, false) {
		t.Errorf("a CPU session wants inputs elsewhere: %v", onCPU)
	}
	onCPU, err = d.onCPU(session, true, len(outputs)) // SessionGetMemoryInfoForOutputs
	noError(t, err)
	if len(onCPU) != len(outputs) || slices.Contains(onCPU, false) {
		t.Errorf("a CPU session gives outputs elsewhere: %v", onCPU)
	}
	_, err = d.onCPU(session, false, len(inputs)-1)
	wantError(t, err, "size")       // GetErrorMessage, ReleaseStatus
	providers, err := d.providers() // GetAvailableProviders, ReleaseAvailableProviders
	noError(t, err)
	if !slices.Contains(providers, CPUProvider) {
		t.Errorf("providers %v", providers)
	}
	_, err = d.memory("Nowhere", 0)
	wantError(t, err, "not supported")

	m, err := d.memory("Cpu", 0) // CreateMemoryInfo
	noError(t, err)
	defer m.close()                // ReleaseMemoryInfo
	a, err := m.allocator(session) // CreateAllocator
	noError(t, err)
	defer a.close()                            // ReleaseAllocator
	v, err := a.tensor(Float32, []int64{2, 3}) // CreateTensorAsOrtValue
	noError(t, err)
	defer v.close()    // ReleaseValue
	p, err := v.data() // GetTensorMutableData
	noError(t, err)
	copy(unsafe.Slice((*float32)(p), 6), []float32{1, 2, 3, 4, 5, 6})
	again, err := v.data()
	noError(t, err)
	if p == nil || again != p {
		t.Errorf("data at %v, then at %v", p, again)
	}
	if name, err := v.memory(); err != nil || name != "Cpu" { // GetTensorMemoryInfo, MemoryInfoGetName
		t.Errorf("a tensor lies in %q memory (%v)", name, err)
	}
	own, err := newHostBuffer(24)
	noError(t, err)
	defer own.close()
	if uintptr(unsafe.Pointer(&own.bytes[0]))%alignment != 0 {
		t.Error("a buffer is not aligned")
	}
	over, err := m.over(unsafe.Pointer(&own.bytes[0]), 24, Float32, []int64{6}) // CreateTensorWithDataAsOrtValue
	noError(t, err)
	defer over.close()
	if p, err := over.data(); err != nil || p != unsafe.Pointer(&own.bytes[0]) {
		t.Errorf("a tensor over memory at %p has its data at %v (%v)", &own.bytes[0], p, err)
	}
	_, err = m.over(unsafe.Pointer(&own.bytes[0]), 24, Float32, []int64{7})
	wantError(t, err, "not enough space")
}

// Options of a run reach it: one that names an arena the session does not have
// makes it fail, and none lets it pass.
func TestRunOptionsReachTheRun(t *testing.T) {
	d := device(t, Options{})
	session, err := d.session(nodesModel("", "Identity", Float32), sessionOptions{})
	noError(t, err)
	defer session.Destroy()
	binding, err := session.CreateIoBinding()
	noError(t, err)
	defer binding.Destroy()
	var buffers [2]*hostBuffer
	for i := range buffers {
		buffers[i], err = newHostBuffer(4)
		noError(t, err)
		defer buffers[i].close()
		v, err := d.host.over(unsafe.Pointer(&buffers[i].bytes[0]), 4, Float32, []int64{1})
		noError(t, err)
		defer v.close()
		if i == 0 {
			noError(t, binding.BindInput(nodesInput(0), v))
		} else {
			noError(t, binding.BindOutput(nodesOutput(0), v))
		}
	}
	as[float32](buffers[0].bytes)[0] = 7
	noError(t, d.run(session, binding, nil)) // RunWithBinding
	if got := as[float32](buffers[1].bytes)[0]; got != 7 {
		t.Errorf("a copy gives %v, want 7", got)
	}
	o, err := d.runOptions("memory.enable_memory_arena_shrinkage", "gpu:9") // CreateRunOptions, AddRunConfigEntry
	noError(t, err)
	defer o.close() // ReleaseRunOptions
	wantError(t, d.run(session, binding, o), "arena")
	_, err = d.runOptions("", "1")
	wantError(t, err, "key")
}

// A buffer for what crosses to the device is the provider's pinned memory, of
// zeros, where it has any; what has none says so and takes Go's.
func TestHostBuffersArePinned(t *testing.T) {
	for _, values := range []bool{false, true} {
		d := device(t, Options{deviceValues: values})
		for range 2 { // the second where the first was
			b, err := d.hostBuffer(1000)
			noError(t, err)
			if (b.value != nil) != values || len(b.bytes) != 1000 || uintptr(unsafe.Pointer(&b.bytes[0]))%alignment != 0 {
				t.Errorf("device values %v: a value %v, %d bytes at %p", values, b.value, len(b.bytes), &b.bytes[0])
			}
			for i, x := range b.bytes {
				if x != 0 {
					t.Fatalf("byte %d is %d", i, x)
				}
				b.bytes[i] = 255
			}
			b.close()
		}
	}
	d := device(t, Options{deviceValues: true})
	if name, err := d.copies.pinned.allocator.name(t); err != nil || name != "Cpu" {
		t.Errorf("pinned memory is %q (%v)", name, err)
	}
	_, err := d.pin(d.copies.sessions[Float32], "Nowhere", 0)
	wantError(t, err, "not supported")
	_, err = d.pin(d.copies.sessions[Float32], "CudaPinned", 3) // which the CPU provider has none of
	if err == nil {
		t.Error("pinned memory of a GPU on the CPU")
	}
}

func (a allocator) name(t *testing.T) (string, error) {
	v, err := a.tensor(Float32, []int64{1})
	noError(t, err)
	defer v.close()
	return v.memory()
}

// Clearing makes anything 0.
func TestClear(t *testing.T) {
	d := device(t, Options{deviceValues: true})
	var buffers [2]*hostBuffer
	var values [2]*value
	for i := range buffers {
		var err error
		buffers[i], err = d.hostBuffer(16)
		noError(t, err)
		copy(as[float32](buffers[i].bytes), []float32{1, float32(math.NaN()), float32(math.Inf(1)), -2})
		values[i], err = d.host.over(unsafe.Pointer(&buffers[i].bytes[0]), 16, Float32, []int64{4})
		noError(t, err)
	}
	clearing, err := d.copies.clearing(values[0], values[1])
	noError(t, err)
	noError(t, clearing.run())
	noError(t, clearing.close())
	if got := as[float32](buffers[0].bytes); !slices.Equal(got, []float32{0, 0, 0, 0}) {
		t.Errorf("cleared to %v", got)
	}
	for i := range values {
		values[i].close()
		buffers[i].close()
	}
}

// Copies of both kinds of host memory are timed where the device has its own.
func TestCopyTimes(t *testing.T) {
	times, err := device(t, Options{}).CopyTimes(4000, 2)
	if err != nil || times != (CopyTimes{Bytes: 4000}) {
		t.Errorf("%+v on the host (%v)", times, err)
	}
	times, err = device(t, Options{deviceValues: true}).CopyTimes(4000, 2)
	if err != nil || min(times.PinnedDown, times.PinnedUp, times.PageableDown, times.PageableUp) <= 0 {
		t.Errorf("%+v (%v)", times, err)
	}
}
