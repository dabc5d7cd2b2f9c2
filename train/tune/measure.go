package tune

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"winnow/internal/elements"
	"winnow/onnx"
	ortrun "winnow/runtime"
)

// Bounds of the timing of one case. Forms run in turn, so that what disturbs
// the machine disturbs them all.
const (
	warmUps   = 2
	minRounds = 5
	maxRounds = 100
	share     = 300 * time.Millisecond // of each form that is still in the race
	// After slowRounds a form that takes more than slow times the best is out.
	slowRounds = 3
	slow       = 2
)

// measure gives the time of each form that a quarter of its runs stayed below:
// on a machine that others use too, the runs that were disturbed say little.
// run runs the i-th once.
func measure(ctx context.Context, forms int, run func(i int) (time.Duration, error)) ([]time.Duration, error) {
	times := make([][]time.Duration, forms)
	running := make([]int, forms)
	for i := range running {
		running[i] = i
	}
	var spent time.Duration
	for round := -warmUps; round < maxRounds; round++ {
		for _, i := range running {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			took, err := run(i)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				times[i] = append(times[i], took)
				spent += took
			}
		}
		if round+1 == slowRounds {
			best := slices.Min(quartiles(times))
			running = slices.DeleteFunc(running, func(i int) bool { return quartile(times[i]) > slow*best })
		}
		if round+1 >= minRounds && spent >= share*time.Duration(len(running)) {
			break
		}
	}
	return quartiles(times), nil
}

func quartiles(times [][]time.Duration) []time.Duration {
	q := make([]time.Duration, len(times))
	for i := range times {
		q[i] = quartile(times[i])
	}
	return q
}

func quartile(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[(len(times)-1)/4]
}

// milliseconds times the graphs of a case on a device, on random values.
func milliseconds(ctx context.Context, d *ortrun.Device, forms []string, graphs []graph) (_ map[string]float64, err error) {
	functions := make([]*ortrun.Function, 0, len(graphs))
	defer func() {
		for _, f := range functions {
			err = errors.Join(err, f.Close())
		}
	}()
	for i, g := range graphs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := d.NewFunction(g.model, slots(g.inputs), slots(g.outputs))
		if err != nil {
			return nil, fmt.Errorf("form %q: %w", forms[i], err)
		}
		functions = append(functions, f)
		if _, err := f.Run(values(g.inputs)...); err != nil {
			return nil, fmt.Errorf("form %q: %w", forms[i], err)
		}
	}
	times, err := measure(ctx, len(functions), func(i int) (time.Duration, error) {
		start := time.Now()
		err := functions[i].Repeat()
		return time.Since(start), err
	})
	if err != nil {
		return nil, err
	}
	ms := map[string]float64{}
	for i, form := range forms {
		ms[form] = math.Round(times[i].Seconds()*1e6) / 1e3 // to the microsecond
	}
	return ms, nil
}

func slots(values []onnx.Value) []ortrun.Slot {
	s := make([]ortrun.Slot, len(values))
	for i, v := range values {
		s[i] = ortrun.Slot{Name: v.Name, DType: ortrun.DType(v.DType), Shape: v.Shape.Ints()}
	}
	return s
}

// values are float32 numbers in [-1, 1), the same for every form.
func values(inputs []onnx.Value) [][]byte {
	r := rand.New(rand.NewPCG(1, 0))
	raw := make([][]byte, len(inputs))
	for i, v := range inputs {
		n, _ := elements.Count(v.Shape.Ints())
		raw[i] = make([]byte, 0, 4*n)
		for range n {
			raw[i] = binary.LittleEndian.AppendUint32(raw[i], math.Float32bits(2*r.Float32()-1))
		}
	}
	return raw
}
