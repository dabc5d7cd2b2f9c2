// Package costs says where the time of a bundle's training step goes: by part,
// operator, layer and node.
//
// It owns the measurement, under ONNX Runtime's profiler, and the reading of a
// node's purpose from its name. A part is the forward pass, the loss, the
// backward pass or the update; a layer is a node of the model with all that
// computes it and its gradient.
package costs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"winnow/internal/option"
	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// Steps of a measurement of costs.
const (
	DefaultSteps = 10
	MaxSteps     = 1000
	warmup       = 3 // steps before those that count
)

// Options say how to measure.
type Options struct {
	BatchSize, Steps int
	Device           *ortrun.Device // the caller's to close
	Layout           string         // of bundle.Layout names; "" is auto
	Trace            io.Writer      // gets ONNX Runtime's profile, a JSON array of trace events; nil drops it
	Progress         func(done, steps int)
}

// Costs say where the time of a training step goes, in milliseconds. The time
// of a node is the median over the steps, so all sums are sums of medians.
type Costs struct {
	Bundle         string     `json:"bundle"`
	Device         string     `json:"device"`
	Provider       string     `json:"provider"`
	Layout         string     `json:"layout"`
	RuntimeVersion string     `json:"onnxruntime_version"`
	Threads        int        `json:"threads"`
	BatchSize      int        `json:"batch_size"`
	Steps          int        `json:"steps"`
	Warmup         int        `json:"warmup_steps"`
	Step           float64    `json:"step_ms"`          // wall time of a step, the median
	Profiled       float64    `json:"profiled_step_ms"` // the same while ONNX Runtime's profiler is on
	InNodes        float64    `json:"nodes_ms"`         // the sum over all nodes
	Peaks          *Peaks     `json:"peaks,omitempty"`  // of a CPU; nil elsewhere, where a node's time is not its own
	Parts          []Cost     `json:"parts"`            // in the order of a step
	Operators      []Cost     `json:"operators"`        // the dearest first
	Layers         []Cost     `json:"layers"`           // the same
	Nodes          []NodeCost `json:"nodes"`            // in the order in which they run
}

// Cost is the time of several nodes. A layer is a node of the model, with the
// nodes of its gradient; time that belongs to none has a name in brackets.
type Cost struct {
	Name       string           `json:"name"`
	Op         string           `json:"op,omitempty"`         // of a layer
	Parameters []string         `json:"parameters,omitempty"` // that a layer reads
	Count      int              `json:"nodes"`
	Time       float64          `json:"ms"`
	Limit      float64          `json:"limit_ms,omitempty"` // least time at the peaks
	Parts      map[Part]float64 `json:"parts_ms"`
}

// NodeCost is the time of a node of the graph as ONNX Runtime runs it.
type NodeCost struct {
	Name     string  `json:"name"`
	Op       string  `json:"op"`
	Provider string  `json:"provider"`
	Part     Part    `json:"part"`
	Layer    string  `json:"layer"`
	Time     float64 `json:"ms"`
	Limit    float64 `json:"limit_ms,omitempty"`
}

// Measure runs a bundle's training step on random images, first by itself
// for the time of a step, then under ONNX Runtime's profiler for those of its
// nodes. On a device that computes beside the CPU, the time of a node may be
// that of handing its work over.
func Measure(ctx context.Context, b *bundle.Bundle, o Options) (*Costs, error) {
	if o.BatchSize < 1 || o.BatchSize > loader.MaxBatchSize {
		return nil, option.Errorf("costs", "batch-size", "%d, want 1 to %d", o.BatchSize, loader.MaxBatchSize)
	}
	if o.Steps < 1 || o.Steps > MaxSteps {
		return nil, option.Errorf("costs", "steps", "%d, want 1 to %d", o.Steps, MaxSteps)
	}
	spec, layout, err := step.TrainSpec(b, o.Device, o.Layout)
	if err != nil {
		return nil, err
	}
	graph, err := wire.Decode(spec.Model, "")
	if err != nil {
		return nil, fmt.Errorf("costs: bundle %q: %s: %w", b.Where(), bundle.GraphFile(layout), err)
	}
	if plainNames(graph.Graph) {
		if spec.Model, err = wire.Encode(graph); err != nil {
			return nil, fmt.Errorf("costs: bundle %q: %s: %w", b.Where(), bundle.GraphFile(layout), err)
		}
	}
	slots, err := step.StateSlots(b)
	if err != nil {
		return nil, err
	}
	state, err := o.Device.NewState(slots)
	if err != nil {
		return nil, fmt.Errorf("costs: %w", err)
	}
	defer state.Close()
	steps := &stepper{ctx: ctx, o: o}
	plain, err := o.Device.NewTrainer(spec, state, o.BatchSize)
	if err != nil {
		return nil, fmt.Errorf("costs: bundle %q: %s: %w", b.Where(), bundle.GraphFile(layout), err)
	}
	if steps.in, err = step.RandomInput(b, o.BatchSize, 1); err == nil {
		err = steps.run(plain)
	}
	if err := errors.Join(err, plain.Close()); err != nil {
		return nil, err
	}
	wall := median(steps.times)
	profile, err := o.Device.ProfileSteps(spec, state, o.BatchSize, o.Trace, steps.run)
	if err != nil {
		return nil, err
	}
	if want := warmup + o.Steps; len(profile.Runs) != want {
		return nil, fmt.Errorf("costs: profile: ONNX Runtime kept %d of %d steps; fewer steps fit its buffer", len(profile.Runs), want)
	}
	c := &Costs{
		Bundle: b.Manifest.Name, Device: o.Device.Name(), Provider: o.Device.Provider(), RuntimeVersion: o.Device.LibraryVersion(), Layout: layout,
		Threads: o.Device.Threads(), BatchSize: o.BatchSize, Steps: o.Steps, Warmup: warmup,
		Step: milliseconds(wall), Profiled: milliseconds(median(steps.times)),
	}
	if c.Provider == ortrun.CPUProvider {
		if c.Peaks, err = measurePeaks(ctx, o.Device); err != nil {
			return nil, err
		}
	}
	c.add(profile, newOwners(b, graph))
	return c, nil
}

// stepper takes the steps of a measurement and their times.
type stepper struct {
	ctx   context.Context
	o     Options
	in    *ortrun.StepInput
	out   ortrun.StepOutput
	done  int
	times []time.Duration
}

func (s *stepper) run(t *ortrun.Trainer) error {
	s.times = nil
	for i := range warmup + s.o.Steps {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		if err := t.Step(s.in, &s.out); err != nil {
			return fmt.Errorf("costs: %w", err)
		}
		if took := time.Since(start); i >= warmup {
			s.times = append(s.times, took)
		}
		if s.done++; s.o.Progress != nil {
			s.o.Progress(s.done, 2*(warmup+s.o.Steps))
		}
	}
	return nil
}

// add fills in what the profile says.
func (c *Costs) add(p *ortrun.Profile, of *owners) {
	parts, operators, layers := table{}, table{}, table{}
	total := time.Duration(0)
	for i := range p.Nodes {
		n := &p.Nodes[i]
		times := make([]time.Duration, c.Steps)
		for _, call := range n.Calls {
			if i := call.Run - c.Warmup; i >= 0 && i < c.Steps {
				times[i] += call.Time
			}
		}
		w, t := of.of(n.Name), median(times)
		total += t
		limit := time.Duration(0)
		if c.Peaks != nil {
			limit = c.Peaks.limit(n)
		}
		c.Nodes = append(c.Nodes, NodeCost{n.Name, n.Op, n.Provider, w.part, w.layer, milliseconds(t), milliseconds(limit)})
		parts.add(string(w.part), w.part, t, limit)
		operators.add(n.Op, w.part, t, limit)
		layers.add(w.layer, w.part, t, limit)
	}
	c.InNodes = milliseconds(total)
	for _, part := range Parts() {
		if s := parts[string(part)]; s != nil {
			c.Parts = append(c.Parts, s.cost(string(part)))
		}
	}
	c.Operators, c.Layers = operators.costs(), layers.costs()
	for i := range c.Layers {
		l := &c.Layers[i]
		l.Op, l.Parameters = of.ops[l.Name], of.parameters[l.Name]
	}
}

// table sums up times by name.
type table map[string]*sum

type sum struct {
	count int
	time  time.Duration
	limit time.Duration
	parts map[Part]time.Duration
}

func (t table) add(name string, part Part, d, limit time.Duration) {
	s := t[name]
	if s == nil {
		s = &sum{parts: map[Part]time.Duration{}}
		t[name] = s
	}
	s.count++
	s.time += d
	s.limit += limit
	s.parts[part] += d
}

func (s *sum) cost(name string) Cost {
	c := Cost{Name: name, Count: s.count, Time: milliseconds(s.time), Limit: milliseconds(s.limit), Parts: map[Part]float64{}}
	for part, d := range s.parts {
		c.Parts[part] = milliseconds(d)
	}
	return c
}

// costs lists the sums, the largest first.
func (t table) costs() []Cost {
	list := make([]Cost, 0, len(t))
	for name, s := range t {
		list = append(list, s.cost(name))
	}
	slices.SortFunc(list, func(a, b Cost) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median is the middle of the times, or the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(times))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
