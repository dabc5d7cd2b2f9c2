// Command cuda checks training on a GPU and measures it, and writes one JSON
// file: the device, whether any node fell back to the CPU, where the state
// lies, the losses beside the CPU's, and images a second beside PyTorch's.
//
//	go run ./bench/cuda -python python3
//	go run ./bench/cuda -device cpu -out runs/cuda.json     the same on the CPU, smaller
//
// It fails where a check does; the file is written all the same.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"winnow/bench/measure"
	"winnow/models"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
	"winnow/train/tune"
)

// tolerance is how far a loss may be from the CPU's, relative to it: float32
// sums in another order, over paritySteps steps.
const (
	tolerance   = 1e-3
	paritySteps = 10
)

type options struct {
	Device  string
	Python  string // "" measures no peer
	Peer    string
	Seconds float64
	Parity  []string // shipped bundles
	Speed   []string // forward graphs
}

// sizes are batches on a GPU and on the CPU.
var sizes = map[string][2]int{
	"mlp": {128, 32}, "lenet": {128, 32}, "resnet8": {128, 16}, "resnet20": {128, 8}, "resnet18": {128, 4}, "resnet50": {64, 1},
}

// batch is smaller on the CPU, where only the program itself is tested.
func (o options) batch(model string) int {
	if o.Device == "cpu" {
		return sizes[model][1]
	}
	return sizes[model][0]
}

type report struct {
	Time           string       `json:"time"`
	Command        string       `json:"command"`
	Device         string       `json:"device"`
	Provider       string       `json:"provider"`
	GPUs           []ortrun.GPU `json:"gpus"`
	DriverCUDA     string       `json:"driver_cuda,omitempty"` // newest CUDA that the driver serves
	Driver         string       `json:"driver,omitempty"`
	System         string       `json:"system"`
	CPU            string       `json:"cpu"`
	Library        string       `json:"library"`
	LibraryVersion string       `json:"library_version"`
	Models         []check      `json:"models"`
	Speed          []speed      `json:"speed"`
	Copies         *copies      `json:"copies,omitempty"` // of what a job exchanges each step
	Failures       []string     `json:"failures"`
}

// check is one bundle trained on the device without TF32, and on the CPU.
type check struct {
	Model        string    `json:"model"`
	Batch        int       `json:"batch"`
	StrictDevice bool      `json:"strict_device"`      // no node fell back to the CPU
	Fallback     string    `json:"fallback,omitempty"` // why not
	StateMemory  string    `json:"state_memory"`
	StateTensors int       `json:"state_tensors"`
	StateCopies  int       `json:"state_copies"` // tensors that a step moves between memories
	Losses       []float32 `json:"losses"`
	CPULosses    []float32 `json:"cpu_losses"`
	Worst        float64   `json:"worst_relative_difference"`
}

// speed is one model's step with the provider's own TF32, its batch copied to
// the device and its losses back.
type speed struct {
	Model     string  `json:"model"`
	Batch     int     `json:"batch"`
	TF32      bool    `json:"tf32"`
	Tuned     bool    `json:"tuned"` // the forms of its gradients chosen on the device, as winnow tune does
	CUDAGraph bool    `json:"cuda_graph"`
	MedianMS  float64 `json:"median_ms"`
	MinMS     float64 `json:"min_ms"`
	Steps     int     `json:"steps"`
	Images    float64 `json:"images_per_second"`
	Peer      string  `json:"peer,omitempty"`
	PeerMS    float64 `json:"peer_median_ms,omitempty"`
	PeerImage float64 `json:"peer_images_per_second,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"` // our images a second over the peer's
}

// copies are times of resnet18's gradients between device and host, the shortest
// of several, by the host's memory; 0 where the provider pins none.
type copies struct {
	Bytes          int     `json:"bytes"`
	PinnedDownMS   float64 `json:"pinned_down_ms"`
	PinnedUpMS     float64 `json:"pinned_up_ms"`
	PageableDownMS float64 `json:"pageable_down_ms"`
	PageableUpMS   float64 `json:"pageable_up_ms"`
}

// stagedBytes are ResNet-18's gradients for 1,000 classes, 11,689,512 of float32.
const stagedBytes = 4 * 11_689_512

// timeCopies is nil for a device whose memory is the host's.
func timeCopies(d *ortrun.Device) (*copies, error) {
	t, err := d.CopyTimes(stagedBytes, 20)
	if err != nil || t.PageableDown == 0 {
		return nil, err
	}
	return &copies{t.Bytes, milliseconds(t.PinnedDown), milliseconds(t.PinnedUp), milliseconds(t.PageableDown), milliseconds(t.PageableUp)}, nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func main() {
	log.SetFlags(0)
	log.SetPrefix("cuda: ")
	o := options{Parity: models.Names(), Speed: []string{"lenet", "resnet18", "resnet50"}}
	flag.StringVar(&o.Device, "device", "cuda", "cuda, cuda:N, or cpu to try the program")
	flag.StringVar(&o.Python, "python", "", "a Python with torch and torchvision, to time the peer")
	flag.StringVar(&o.Peer, "peer", "bench/peers/torch_step.py", "the peer's script")
	flag.Float64Var(&o.Seconds, "seconds", 3, "time each side steps for")
	list := func(dst *[]string, name, usage string) {
		flag.Func(name, usage+", with commas between them (default "+strings.Join(*dst, ",")+")", func(text string) error {
			*dst = strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
			return nil
		})
	}
	list(&o.Parity, "parity", "shipped bundles to hold against the CPU")
	list(&o.Speed, "speed", "models to time")
	out := flag.String("out", "bench/results/cuda.json", "file to write")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, o, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	r.Command = "bench-cuda " + strings.Join(os.Args[1:], " ")
	r.Time = time.Now().UTC().Format(time.RFC3339)
	if err := write(*out, r); err != nil {
		log.Fatal(err)
	}
	fmt.Println("wrote", *out)
	if len(r.Failures) > 0 {
		log.Fatal(strings.Join(r.Failures, "; "))
	}
}

func write(path string, r *report) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// run does every part. A device that cannot be used is the error; what a part
// finds wrong is among the report's failures.
func run(ctx context.Context, o options, progress io.Writer) (*report, error) {
	d, err := ortrun.Open(ortrun.Options{Device: o.Device})
	if err != nil {
		return nil, err
	}
	doctor := ortrun.Doctor(ortrun.Options{Device: "cpu"})
	r := &report{
		Device: d.Name(), Provider: d.Provider(), GPUs: doctor.GPUs, DriverCUDA: doctor.CUDADriver, Driver: driver(),
		System: doctor.System, CPU: measure.CPU(), Library: filepath.Base(d.LibraryPath()), LibraryVersion: d.LibraryVersion(),
		Failures: []string{},
	}
	var copyErr error
	if r.Copies, copyErr = timeCopies(d); r.Copies != nil {
		text, _ := json.Marshal(r.Copies) // numbers alone
		fmt.Fprintf(progress, "copies    %s\n", text)
	}
	if err := d.Close(); err != nil {
		return nil, err
	}
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	if copyErr != nil {
		fail("%v", copyErr)
	}
	for _, name := range o.Parity {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c, err := o.check(name)
		if err != nil {
			fail("%s: %v", name, err)
			continue
		}
		r.Models = append(r.Models, *c)
		for _, problem := range c.problems(r.Provider) {
			fail("%s: %s", name, problem)
		}
		fmt.Fprintf(progress, "%-9s state in %s memory, %d copies; losses within %.2g of the CPU's\n", name, c.StateMemory, c.StateCopies, c.Worst)
	}
	for _, name := range o.Speed {
		var peer measure.Result
		if o.Python != "" {
			if peer, err = o.peer(ctx, name); err != nil {
				fail("%s: %v", name, err)
			}
		}
		for _, way := range []speed{{}, {CUDAGraph: true}, {Tuned: true}, {Tuned: true, CUDAGraph: true}} {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if way.CUDAGraph && r.Provider != ortrun.CUDAProvider {
				continue
			}
			s, err := o.speed(ctx, name, way)
			if err != nil {
				fail("%s, %s: %v", name, way.text(), err)
				continue
			}
			if peer.MedianMS > 0 {
				s.Peer, s.PeerMS, s.PeerImage = peer.Version, peer.MedianMS, float64(peer.Batch)/peer.MedianMS*1e3
				s.Ratio = s.Images / s.PeerImage
			}
			r.Speed = append(r.Speed, *s)
			fmt.Fprintf(progress, "%-9s batch %d, %s: %.0f images/s, peer %.0f\n", name, s.Batch, s.text(), s.Images, s.PeerImage)
		}
	}
	return r, nil
}

// problems says what a check found wrong.
func (c *check) problems(provider string) []string {
	var all []string
	want := "Cpu"
	if provider == ortrun.CUDAProvider {
		want = "Cuda"
	}
	if c.StateMemory != want {
		all = append(all, fmt.Sprintf("state in %s memory, want %s", c.StateMemory, want))
	}
	if c.StateCopies != 0 {
		all = append(all, fmt.Sprintf("a step copies %d state tensors", c.StateCopies))
	}
	if !c.StrictDevice {
		all = append(all, "nodes fell back to the CPU: "+c.Fallback)
	}
	if !(c.Worst <= tolerance) {
		all = append(all, fmt.Sprintf("losses differ by %.3g from the CPU's", c.Worst))
	}
	return all
}

// check trains a shipped bundle on the device, without TF32, and on the CPU.
func (o options) check(name string) (*check, error) {
	c := &check{Model: name, Batch: o.batch(name), StrictDevice: true}
	exact := ortrun.Options{Device: o.Device, StrictDevice: true}
	if o.Device == "cpu" {
		exact.Threads = 1 // sums in another order than the reference
	} else {
		exact.CUDA = map[string]string{"use_tf32": "0"}
	}
	err := o.losses(exact, c, &c.Losses)
	if err != nil && o.Device != "cpu" {
		c.StrictDevice, c.Fallback = false, err.Error()
		exact.StrictDevice, c.Losses = false, nil
		err = o.losses(exact, c, &c.Losses)
	}
	if err != nil {
		return nil, err
	}
	reference := check{Model: name, Batch: c.Batch}
	if err := o.losses(ortrun.Options{Device: "cpu"}, &reference, &c.CPULosses); err != nil {
		return nil, err
	}
	for i, want := range c.CPULosses {
		c.Worst = max(c.Worst, math.Abs(float64(c.Losses[i]-want))/max(math.Abs(float64(want)), math.SmallestNonzeroFloat32))
	}
	return c, nil
}

// losses trains a few steps on one batch and says where the state lies.
func (o options) losses(device ortrun.Options, c *check, to *[]float32) (err error) {
	d, err := ortrun.Open(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	b, err := models.Builtin(c.Model)
	if err != nil {
		return err
	}
	s, err := measure.NewStepper(d, b, c.Batch)
	if err != nil {
		return err
	}
	c.StateTensors = s.State.Len()
	if c.StateMemory, err = s.State.Memory(); err != nil {
		return err
	}
	if c.StateCopies, err = s.Trainer.StateCopies(); err != nil {
		return err
	}
	for range paritySteps {
		loss, err := s.Step()
		if err != nil {
			return err
		}
		if math.IsNaN(float64(loss)) || math.IsInf(float64(loss), 0) {
			return fmt.Errorf("step %d on %s: the loss is %v", len(*to), d.Name(), loss)
		}
		*to = append(*to, loss)
	}
	return nil
}

func (s speed) text() string { return fmt.Sprintf("CUDA graph %v, tuned %v", s.CUDAGraph, s.Tuned) }

// speed times a step as a user gets it, in one way.
func (o options) speed(ctx context.Context, name string, way speed) (_ *speed, err error) {
	m, err := models.Forward(name, models.Seed)
	if err != nil {
		return nil, err
	}
	b, err := measure.Bundle(m, name, export.Blocks{})
	if err != nil {
		return nil, err
	}
	if way.Tuned {
		if b, err = o.tuned(ctx, b, name); err != nil {
			return nil, err
		}
	}
	d, err := ortrun.Open(ortrun.Options{Device: o.Device, CUDAGraph: way.CUDAGraph})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s, err := measure.NewStepper(d, b, o.batch(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	times, err := s.Time(o.Seconds)
	if err != nil {
		return nil, err
	}
	way.Model, way.Batch, way.TF32 = name, o.batch(name), d.Provider() == ortrun.CUDAProvider
	way.MedianMS, way.MinMS, way.Steps = measure.Median(times), times[0], len(times)
	way.Images = float64(way.Batch) / way.MedianMS * 1e3
	return &way, nil
}

// tuned is a bundle whose gradients take the forms that are fastest here.
func (o options) tuned(ctx context.Context, b *bundle.Bundle, name string) (_ *bundle.Bundle, err error) {
	d, err := ortrun.Open(ortrun.Options{Device: o.Device})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return export.Rebuild(b, export.Options{Forms: export.Forms{Tune: func(cases []autodiff.Case) (*bundle.Tuned, error) {
		return tune.Choose(ctx, cases, tune.Options{Device: d, BatchSize: o.batch(name), Layout: bundle.LayoutPortable})
	}}})
}

func (o options) peer(ctx context.Context, name string) (measure.Result, error) {
	device := o.Device
	if device == "cuda" {
		device = "cuda:0"
	}
	env := []string{"WINNOW_DEVICE=" + device, "WINNOW_BATCH=" + strconv.Itoa(o.batch(name)), "WINNOW_TF32=1"}
	return measure.Child(ctx, env, o.Python, o.Peer, "time", name, strconv.FormatFloat(o.Seconds, 'g', -1, 64))
}

// driver is the version line of the NVIDIA driver, "" where there is none.
func driver() string {
	text, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.Join(strings.Fields(line), " ")
}
