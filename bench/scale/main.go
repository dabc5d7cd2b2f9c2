// Command scale measures what several processes and several batches a step
// cost, and fits the time of an all-reduce to its size.
//
//	bench-scale -winnow bin/winnow
//
// It starts itself under mpirun for the all-reduce. It needs resnet18's 45 MB
// of gradients twice, and a few minutes.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"winnow/bench/measure"
	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/run"
	ortrun "winnow/runtime"
	"winnow/runtime/mpi"
	"winnow/train/step"
)

// report is bench/results/scale.json.
type report struct {
	Library   string    `json:"library"` // of MPI
	AllReduce []reduced `json:"allreduce"`
	Fit       fit       `json:"fit"`
	Accum     []cost    `json:"accum"`
	Ranks     []ranks   `json:"ranks,omitempty"`
	Apart     []apart   `json:"extrapolated"`
}

// reduced is the shortest of many all-reduces on two ranks.
type reduced struct {
	Bytes int     `json:"bytes"`
	MS    float64 `json:"ms"`
}

// fit is time = Alpha + bytes*Beta of an all-reduce on two ranks.
type fit struct {
	AlphaUS    float64 `json:"alpha_us"`
	BetaNSByte float64 `json:"beta_ns_byte"`
}

// cost is the CPU time of a sample in steps of two halves over that in whole steps.
type cost struct {
	Model       string  `json:"model"`
	Batch       int     `json:"batch"`
	WholeMS     float64 `json:"whole_cpu_ms"` // a step of Batch samples
	One         float64 `json:"one"`          // one batch a step, in halves
	Four        float64 `json:"four"`         // four batches a step
	BytesAStep  int     `json:"bytes_a_step"` // that a process exchanges
	BetweenRuns float64 `json:"between_runs"` // of whole steps measured twice
}

// ranks is two processes of one thread beside one of two threads.
type ranks struct {
	Model    string  `json:"model"`
	One, Two float64 // images a second
	Ratio    float64 `json:"ratio"`
}

// apart is how much of a step would be an all-reduce that nothing hides.
type apart struct {
	Model     string  `json:"model"`
	Ranks     int     `json:"ranks"`
	Gbit      float64 `json:"gbit_s"`
	ReduceMS  float64 `json:"reduce_ms"`
	Efficient float64 `json:"efficiency"` // step time alone over step time with it
}

func main() {
	if _, job := mpi.InJob(); job {
		exit(rank())
	}
	winnow := flag.String("winnow", "bin/winnow", "the program")
	launcher := flag.String("mpirun", "mpirun", "the launcher of MPI")
	out := flag.String("out", "bench/results/scale.json", "where results go")
	compare := flag.Bool("compare", true, "train on two processes of one thread and on one of two, by the clock: for a quiet machine of two cores")
	rounds := flag.Int("rounds", 5, "how often each kind of step is measured")
	flag.Parse()
	exit(all(*winnow, *launcher, *out, *rounds, *compare))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-scale:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// rank is one process of the job that times all-reduces.
func rank() error {
	c, err := mpi.Join()
	if err != nil {
		return err
	}
	if c == nil {
		return errors.New("the job has one process")
	}
	var times []reduced
	for size := 1 << 10; size <= 64<<20; size *= 2 {
		x := make([]float32, size/4)
		repeats := max(8, min(200, 64<<20/size))
		best := time.Duration(1 << 62)
		for range repeats {
			if err := c.SumWide([]float64{0}); err != nil { // together
				return err
			}
			began := time.Now()
			if err := c.Sum(x); err != nil {
				return err
			}
			best = min(best, time.Since(began))
		}
		times = append(times, reduced{size, best.Seconds() * 1e3})
	}
	if c.Rank == 0 {
		if err := json.NewEncoder(os.Stdout).Encode(report{Library: c.Library, AllReduce: times}); err != nil {
			return err
		}
	}
	return mpi.Leave(true, 0)
}

func all(winnow, launcher, out string, rounds int, compare bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := job(launcher, self)
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("the job printed %q: %w", text, err)
	}
	r.Fit = fitted(r.AllReduce)
	fmt.Printf("%s: %.0f us + %.3f ns a byte\n", r.Library, r.Fit.AlphaUS, r.Fit.BetaNSByte)
	d, err := ortrun.Open(ortrun.Options{Device: "cpu", Threads: 1})
	if err != nil {
		return err
	}
	defer d.Close()
	for _, m := range []struct {
		name  string
		batch int
	}{{"lenet", 32}, {"resnet8", 32}, {"resnet20", 16}, {"resnet18", 8}} {
		c, err := accum(d, m.name, m.batch, rounds)
		if err != nil {
			return err
		}
		r.Accum = append(r.Accum, c)
		fmt.Printf("%-9s batch %3d: %8.1f ms CPU a step; in halves x%.3f, four batches x%.3f (whole steps again x%.3f); %d bytes exchanged\n",
			c.Model, c.Batch, c.WholeMS, c.One, c.Four, c.BetweenRuns, c.BytesAStep)
	}
	for _, name := range []string{"resnet8", "resnet20"} {
		if !compare {
			break
		}
		t, err := twoRanks(winnow, launcher, name)
		if err != nil {
			return err
		}
		r.Ranks = append(r.Ranks, t)
		fmt.Printf("%-9s 2 ranks of 1 thread %.0f images/s, 1 of 2 threads %.0f: x%.2f\n", name, t.Two, t.One, t.Ratio)
	}
	r.Apart = extrapolated(r.Fit)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o644)
}

func job(launcher string, args ...string) ([]byte, error) {
	all := []string{"-n", "2"}
	version, _ := exec.Command(launcher, "--version").CombinedOutput() // what it says decides
	if !strings.Contains(string(version), "HYDRA") {
		all = append(all, "--oversubscribe", "--bind-to", "none")
	}
	cmd := exec.Command(launcher, append(all, args...)...)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

// fitted is the least-squares line through the times, each weighed by one over
// its square so that small sizes count as much as large ones.
func fitted(times []reduced) fit {
	var w, x, y, xx, xy float64
	for _, t := range times {
		k := 1 / (t.MS * t.MS)
		b := float64(t.Bytes)
		w, x, y, xx, xy = w+k, x+k*b, y+k*t.MS, xx+k*b*b, xy+k*b*t.MS
	}
	beta := (w*xy - x*y) / (w*xx - x*x)
	return fit{AlphaUS: (y - beta*x) / w * 1e3, BetaNSByte: beta * 1e6}
}

// cpu is the CPU time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// accum measures steps of a model whole, in halves, and of four batches, in turn.
func accum(d *ortrun.Device, name string, batch, rounds int) (c cost, err error) {
	m, err := models.Forward(name, 1)
	if err != nil {
		return c, err
	}
	b, err := measure.Bundle(m, name, measure.Blocks(d))
	if err != nil {
		return c, err
	}
	whole, err := measure.NewStepper(d, b, batch)
	if err != nil {
		return c, err
	}
	defer whole.Close()
	slots, err := step.StateSlots(b)
	if err != nil {
		return c, err
	}
	state, err := d.NewState(slots)
	if err != nil {
		return c, err
	}
	defer state.Close()
	spec, _, err := step.SplitSpec(b, d, bundle.LayoutAuto)
	if err != nil {
		return c, err
	}
	halves, err := d.NewSplitTrainer(spec, state, batch)
	if err != nil {
		return c, err
	}
	defer halves.Close()
	var out ortrun.StepOutput
	split := func(batches int) func() error {
		return func() error {
			if err := halves.Begin(batches * batch); err != nil {
				return err
			}
			for range batches {
				if err := halves.Add(whole.In, &out); err != nil {
					return err
				}
			}
			return halves.Update(0.01, batches*batch)
		}
	}
	one := func() error { _, err := whole.Step(); return err }
	kinds := []struct {
		batches int
		step    func() error
	}{{1, one}, {1, split(1)}, {4, split(4)}, {1, one}}
	times := make([][]float64, len(kinds))
	for round := range rounds + 1 { // the first warms up
		for k, kind := range kinds {
			steps := max(1, 8/kind.batches)
			began := cpu()
			for range steps {
				if err := kind.step(); err != nil {
					return c, err
				}
			}
			if round > 0 {
				times[k] = append(times[k], (cpu()-began).Seconds()*1e3/float64(steps*kind.batches))
			}
		}
	}
	best := make([]float64, len(kinds))
	for k := range kinds {
		best[k] = slices.Min(times[k])
	}
	return cost{Model: name, Batch: batch, WholeMS: best[0], One: best[1] / best[0], Four: best[2] / best[0], BetweenRuns: best[3] / best[0],
		BytesAStep: halves.BlockBytes()}, nil
}

// twoRanks trains a model on one process of two threads and on two of one.
func twoRanks(winnow, launcher, name string) (ranks, error) {
	dir, err := os.MkdirTemp("", "bench-scale")
	if err != nil {
		return ranks{}, err
	}
	defer os.RemoveAll(dir)
	r := ranks{Model: name}
	data := "glyphs:train=2048,test=32"
	if name == "resnet20" {
		data += ",color=rgb"
	}
	args := func(out string, threads int) []string {
		return []string{"train", "--bundle", name, "--data", data, "--epochs", "2", "--batch-size", "64", "--prune", "none",
			"--device", "cpu", "--quiet", "--threads", strconv.Itoa(threads), "--out", filepath.Join(dir, out)}
	}
	if text, err := exec.Command(winnow, args("one", 2)...).CombinedOutput(); err != nil {
		return r, fmt.Errorf("%w: %s", err, text)
	}
	if _, err := job(launcher, append([]string{winnow}, args("two", 1)...)...); err != nil {
		return r, err
	}
	for out, rate := range map[string]*float64{"one": &r.One, "two": &r.Two} {
		done, err := run.Read(filepath.Join(dir, out))
		if err != nil {
			return r, err
		}
		last := done.Epochs[len(done.Epochs)-1]
		*rate = float64(last.SamplesUsed) / (last.StepSeconds + last.WaitSeconds)
	}
	r.Ratio = r.Two / r.One
	return r, nil
}

// assumed are steps of one NVIDIA H200 as docs/performance.md has them: batches
// of 128 images of 32x32 at 5,670 a second, and of 64 of 224x224 at 850.
var assumed = []struct {
	model  string
	bytes  int
	stepMS float64
}{{"resnet18", 44_700_000, 22.6}, {"resnet50", 102_400_000, 75.3}}

// extrapolated is the ring all-reduce of p processes over a network: 2(p-1)
// messages of a p-th each, so 2(p-1)*alpha + 2(p-1)/p*bytes*beta, alpha being
// the measured one or the network's, whichever is longer.
func extrapolated(f fit) (list []apart) {
	alpha := max(networkUS, f.AlphaUS/2)
	for _, m := range assumed {
		for _, gbit := range []float64{25, 100} {
			for _, p := range []int{8, 64, 512} {
				n := float64(p)
				ms := 2*(n-1)*alpha/1e3 + 2*(n-1)/n*float64(m.bytes)*8/(gbit*1e9)*1e3
				list = append(list, apart{m.model, p, gbit, ms, m.stepMS / (m.stepMS + ms)})
			}
		}
	}
	return list
}

// networkUS is what a message between two machines takes beside its bytes, in
// microseconds, as an assumption for Ethernet with TCP.
const networkUS = 10
