// Package measure makes and times training steps, for the programs beside it.
package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// Result is what one side of a measurement prints, ours or a peer.
type Result struct {
	Model    string  `json:"model"`
	Batch    int     `json:"batch"`
	Steps    int     `json:"steps"`
	MedianMS float64 `json:"median_ms"`
	MinMS    float64 `json:"min_ms"`
	FirstMS  float64 `json:"first_ms"` // from building the model to the end of the first step
	PeakMB   float64 `json:"peak_mb"`
	Version  string  `json:"version"`
}

// Bundle makes a bundle of a forward graph with the peer's recipe: cross-entropy
// and SGD with momentum 0.9 and weight decay 5e-4.
func Bundle(m *onnx.Model, name string, blocks export.Blocks) (*bundle.Bundle, error) {
	return export.Build(m, export.Options{
		Name:      name,
		Optimizer: export.NewOptimizer(bundle.SGD),
		Blocks:    blocks,
	})
}

// Blocks is the blocked graph that a device takes, as winnow train has it made.
func Blocks(d *ortrun.Device) export.Blocks {
	return export.Blocks{Size: int64(d.ConvBlock()), Kernels: d.Kernels()}
}

// Stepper trains on one random batch again and again.
type Stepper struct {
	State   *ortrun.State
	Trainer *ortrun.Trainer
	In      *ortrun.StepInput
	Out     ortrun.StepOutput
}

// NewStepper takes a bundle to a device, with a batch drawn from a fixed seed.
func NewStepper(d *ortrun.Device, b *bundle.Bundle, batch int) (*Stepper, error) {
	slots, err := step.StateSlots(b)
	if err != nil {
		return nil, err
	}
	spec, _, err := step.TrainSpec(b, d, bundle.LayoutAuto)
	if err != nil {
		return nil, err
	}
	s := &Stepper{}
	if s.State, err = d.NewState(slots); err != nil {
		return nil, err
	}
	if s.Trainer, err = d.NewTrainer(spec, s.State, batch); err != nil {
		return nil, errors.Join(err, s.State.Close())
	}
	if s.In, err = step.RandomInput(b, batch, 1); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.In.LearningRate = 0.01
	debug.FreeOSMemory() // what only the set-up needed does not count to the peak of a step
	return s, nil
}

// Step trains once and gives the loss.
func (s *Stepper) Step() (float32, error) {
	err := s.Trainer.Step(s.In, &s.Out)
	return s.Out.Loss, err
}

// Time steps for some seconds, five times at least, and gives sorted milliseconds.
func (s *Stepper) Time(seconds float64) ([]float64, error) {
	for range 3 {
		if _, err := s.Step(); err != nil {
			return nil, err
		}
	}
	var times []float64
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); len(times) < 5 || time.Now().Before(end); {
		start := time.Now()
		if _, err := s.Step(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start).Seconds()*1e3)
	}
	slices.Sort(times)
	return times, nil
}

// Close frees the trainer, then the state.
func (s *Stepper) Close() error { return errors.Join(s.Trainer.Close(), s.State.Close()) }

// Child runs one side in a process of its own and reads the line it prints.
func Child(ctx context.Context, env []string, name string, args ...string) (Result, error) {
	var r Result
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return r, json.Unmarshal(text, &r)
}

// Median is the upper one of an even number of values, 0 of none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// CPU names the processor, counts its hardware threads, and says whether it has AVX-512.
func CPU() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	name, wide := runtime.GOARCH, ""
	for l := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(l, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			name = strings.TrimSpace(value)
		case "flags":
			if slices.Contains(strings.Fields(value), "avx512f") {
				wide = ", AVX-512"
			}
		}
	}
	return fmt.Sprintf("%s, %d cores%s", name, runtime.NumCPU(), wide)
}
