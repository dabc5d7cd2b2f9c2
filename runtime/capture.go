package runtime

import (
	"errors"
	"fmt"
	"strconv"

	ort "github.com/yalue/onnxruntime_go"
)

// capture runs a training graph with the CUDA provider's graph capture.
//
// The provider records the GPU work of one run with the addresses it had, under
// the number that the run option gpu_graph_id gives, and replays it in every
// later run of that number. A replay reads and writes the recorded addresses
// whatever is bound by then. Therefore:
//
//   - each side of the state has its number, and a binding that never changes;
//   - batch values lie in device memory at fixed addresses, and are copied in
//     before a run and out after it;
//   - a batch of another size runs with the number -1, which captures nothing:
//     it is the last one of an epoch, and no sample may be left out for it;
//   - what captures runs two or three times before the first run returns. A
//     step reads one side and writes the other, so it may be repeated;
//   - the provider keeps recordings by thread, so all runs are on one.
//
// (github.com/microsoft/onnxruntime, inference_session.cc, cuda_graph.cc)
type capture struct {
	*runner
	in, out *transfer
	plain   *runOptions // of a run that is not captured
	fixed   [2]struct {
		binding *ort.IoBinding
		options *runOptions
	}
	thread *thread
	step   func() error // what the thread does, made once
	side   int          // of the step
	n      int
}

// graphID is the run option that numbers captured graphs. 0 is the library's own.
const graphID = "gpu_graph_id"

// newCapture adds capturing to a runner whose ports and state are bound.
func (r *runner) newCapture(st *State, inputs, outputs map[string]int) (err error) {
	if r.device.provider == CUDAProvider {
		if err := r.checkCapture(); err != nil {
			return err
		}
	}
	c := &capture{runner: r, thread: newThread()}
	r.capture = c // the runner closes it from here on
	c.step = func() error { return c.runStep(c.side, c.n) }
	if c.plain, err = r.device.runOptions(graphID, "-1"); err != nil {
		return err
	}
	for _, p := range r.ports {
		if p.fixed, err = r.device.copies.allocator.tensor(p.slot.DType, p.slot.sized(r.maxBatch)); err != nil {
			return fmt.Errorf("%q: %w", p.slot.Name, err)
		}
	}
	for side := range c.fixed {
		f := &c.fixed[side]
		if f.options, err = r.device.runOptions(graphID, strconv.Itoa(side+1)); err != nil {
			return err
		}
		if f.binding, err = r.session.CreateIoBinding(); err != nil {
			return err
		}
		for name, i := range inputs {
			err = errors.Join(err, f.binding.BindInput(name, st.values[side][i]))
		}
		for name, i := range outputs {
			err = errors.Join(err, f.binding.BindOutput(name, st.values[1-side][i]))
		}
		for _, p := range r.ports {
			if p.output {
				err = errors.Join(err, f.binding.BindOutput(p.slot.Name, p.fixed))
			} else {
				err = errors.Join(err, f.binding.BindInput(p.slot.Name, p.fixed))
			}
		}
		if err != nil {
			return nativeError(err.Error())
		}
	}
	if c.in, err = r.newTransfer(false); err != nil {
		return err
	}
	c.out, err = r.newTransfer(true)
	return err
}

// checkCapture refuses a graph with an input or output in CPU memory, which a
// replay would neither read nor write.
func (r *runner) checkCapture() error {
	names, err := r.cpuValues()
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("a CUDA graph cannot hold %q: a node on the CPU reads or writes it; run without --cuda-graph", names)
	}
	return err
}

func (c *capture) run(side, n int) error {
	c.side, c.n = side, n
	return c.thread.do(c.step)
}

func (c *capture) runStep(side, n int) error {
	if n != c.maxBatch {
		return c.runBound(side, n, c.plain)
	}
	if err := c.in.run(); err != nil {
		return err
	}
	f := &c.fixed[side]
	if err := c.device.run(c.session, f.binding, f.options); err != nil {
		return err
	}
	return c.out.run()
}

func (c *capture) close() error {
	if c == nil {
		return nil
	}
	c.thread.close()
	errs := []error{c.in.close(), c.out.close()}
	for _, f := range c.fixed {
		if f.binding != nil {
			errs = append(errs, f.binding.Destroy())
		}
		f.options.close()
	}
	c.plain.close()
	return errors.Join(errs...)
}

// transfer copies the largest batch between the ports' buffers and their fixed
// device values, all of one direction in one run.
type transfer struct {
	device  *Device
	ports   []*port
	session *ort.DynamicAdvancedSession
	binding *ort.IoBinding
}

func (r *runner) newTransfer(outputs bool) (*transfer, error) {
	t := &transfer{device: r.device}
	var types []DType
	for _, p := range r.ports {
		if p.output == outputs {
			t.ports, types = append(t.ports, p), append(types, p.slot.DType)
		}
	}
	var err error
	if t.session, err = r.device.session(nodesModel("", "Identity", types...), sessionOptions{}); err != nil {
		return t, err
	}
	if t.binding, err = t.session.CreateIoBinding(); err != nil {
		return t, err
	}
	for i, p := range t.ports {
		from, to := p.full, p.fixed
		if outputs {
			from, to = p.fixed, p.full
		}
		err = errors.Join(err, t.binding.BindInput(nodesInput(i), from), t.binding.BindOutput(nodesOutput(i), to))
	}
	return t, err
}

func (t *transfer) run() error {
	for i, p := range t.ports {
		if p.output {
			break // bound once: it lies where the session wants it
		}
		if err := t.binding.BindInput(nodesInput(i), p.full); err != nil { // copies to the device
			return fmt.Errorf("%q: %w", p.slot.Name, nativeError(err.Error()))
		}
	}
	return t.device.run(t.session, t.binding, nil)
}

func (t *transfer) close() error {
	if t == nil || t.session == nil {
		return nil
	}
	var err error
	if t.binding != nil {
		err = t.binding.Destroy()
	}
	return errors.Join(err, t.session.Destroy())
}
