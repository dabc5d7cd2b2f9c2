package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"winnow/loader"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/runtime/mpi"
	"winnow/runtime/mpi/mpitest"
	"winnow/train/traintest"
)

// fixedLosses is a bundle whose losses are what the images say, exact in
// float32 and so is their sum, whatever the weights become.
func fixedLosses(t testing.TB) *bundle.Bundle {
	t.Helper()
	n := onnx.Symbol("N")
	image := onnx.Shape{n, onnx.Const(1), onnx.Const(traintest.Side), onnx.Const(traintest.Side)}
	w := make([]float32, traintest.Pixels*traintest.Classes)
	g := &onnx.Graph{
		Inputs: []onnx.Value{{Name: "x", DType: onnx.Float32, Shape: image}, {Name: "y", DType: onnx.Int64, Shape: onnx.Shape{n}}},
		Outputs: []onnx.Value{{Name: "each", DType: onnx.Float32, Shape: onnx.Shape{n}},
			{Name: "scores", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(traintest.Classes)}}},
		Initializers: map[string]*onnx.Tensor{"w": onnx.FromFloat32(w, traintest.Pixels, traintest.Classes), "axis": onnx.FromInt64([]int64{1}, 1),
			"unit": onnx.FromFloat32([]float32{1.0 / 64})},
	}
	drop := map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}
	for _, n := range []*onnx.Node{
		{Op: "Flatten", Inputs: []string{"x"}, Outputs: []string{"flat"}},
		{Op: "MatMul", Inputs: []string{"flat", "w"}, Outputs: []string{"scores"}},
		{Op: "ReduceSum", Inputs: []string{"scores", "axis"}, Outputs: []string{"s"}, Attrs: drop},
		{Op: "Sub", Inputs: []string{"s", "s"}, Outputs: []string{"none"}},
		{Op: "ReduceSum", Inputs: []string{"flat", "axis"}, Outputs: []string{"sum"}, Attrs: drop},
		{Op: "Mul", Inputs: []string{"sum", "unit"}, Outputs: []string{"part"}},
		{Op: "Add", Inputs: []string{"part", "none"}, Outputs: []string{"each"}},
	} {
		n.Name = n.Outputs[0]
		g.Nodes = append(g.Nodes, n)
	}
	b, err := export.Build(&onnx.Model{IRVersion: 8, Opset: 18, Graph: g}, export.Options{Name: "fixed", Loss: export.NewLoss(bundle.NoLoss),
		Images: export.ImageOptions{Normalize: bundle.Normalize{Scale: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// jobCase is a run that several processes must do as one does.
type jobCase struct {
	Name      string
	method    string
	bundle    func(testing.TB) *bundle.Bundle
	exact     bool // losses and plans to the bit
	accum     int
	tolerance float64 // of losses, relative; 0 is 1e-5
	change    func(testing.TB, *Options)
}

func lenetOf(t testing.TB) *bundle.Bundle {
	t.Helper()
	b, err := models.Builtin("lenet")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// jobCases are every scorer and policy, on losses that are the same everywhere
// and on those of a network with dropout; lenet over 50 steps; several batches a
// step; samples that cannot be read.
func jobCases() []jobCase {
	plain := func(t testing.TB) *bundle.Bundle {
		return twoLayers(t, false, export.Options{Optimizer: bundle.Optimizer{Name: bundle.AdamW, Betas: []float64{0.9, 0.999}, Eps: 1e-4, Clip: 1, EMA: 0.9}})
	}
	alone := func(t testing.TB) *bundle.Bundle { return twoLayers(t, false, export.Options{BatchLossOnly: true}) }
	soft := func(t testing.TB) *bundle.Bundle {
		loss := export.NewLoss(bundle.CrossEntropy)
		loss.SoftTargets = true
		return twoLayers(t, false, export.Options{Loss: loss})
	}
	mixed := func(_ testing.TB, o *Options) { o.Mix = loader.Mix{Mixup: 0.4, Cutmix: 1, Prob: 0.9, Switch: 0.5} }
	var cases []jobCase
	for _, method := range []string{"none", "random", "static", "infobatch", "seta", "bls-infobatch", "bls-seta", "das-infobatch", "das-seta", "epsilon-greedy", "ucb", "repb", "bls-repb"} {
		cases = append(cases, jobCase{Name: "fixed-" + method, method: method, bundle: fixedLosses, exact: true},
			jobCase{Name: method, method: method, bundle: plain})
	}
	return append(append(cases, taskCases()...),
		jobCase{Name: "accum", method: "infobatch", bundle: plain, accum: 3},
		jobCase{Name: "batch-loss", method: "bls-infobatch", bundle: alone},
		jobCase{Name: "population", method: "das-infobatch", bundle: plain, change: func(_ testing.TB, o *Options) { o.Reference = "population" }},
		jobCase{Name: "bad", method: "infobatch", bundle: fixedLosses, exact: true, change: func(t testing.TB, o *Options) {
			o.Train = unreadable(t, o.Train)
			o.Unaugmented = o.Train
			o.Bad = &loader.BadSamples{}
		}},
		jobCase{Name: "mixed", method: "bls-infobatch", bundle: soft, change: mixed},
		jobCase{Name: "mixed-accum", method: "bls-seta", bundle: soft, accum: 3, change: mixed},
		jobCase{Name: "lenet", method: "none", bundle: lenetOf, change: func(t testing.TB, o *Options) {
			o.Train, o.Test = squares(t, 790, 1), squares(t, 50, 2)
			o.Unaugmented = nil
			o.Epochs, o.LearningRate = 2, 0.05
		}},
	)
}

// unreadable is a source in which every 23rd sample is bad.
func unreadable(t testing.TB, src *loader.Source) *loader.Source {
	t.Helper()
	bad, err := loader.NewSource(badRecords{src.Records().(*loader.Memory)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bad
}

type badRecords struct{ *loader.Memory }

func (r badRecords) Read(i uint32, dst *loader.Record) error {
	if i%23 == 0 {
		return fmt.Errorf("sample %d: %w", i, loader.ErrBadData)
	}
	return r.Memory.Read(i, dst)
}

// outcomeOfJob is what a case came to.
type outcomeOfJob struct {
	Losses, Rates []float64
	Samples       []int
	Pruner        []byte // its state after the last epoch: every plan and score
	Test          []float64
	Bad           int
}

// runCase runs a case as one process of a job.
func runCase(t testing.TB, c jobCase, job Job, out string) (outcomeOfJob, error) {
	t.Helper()
	o := testOptions(t, device(t), traintest.Parts{})
	o.Bundle, o.Method, o.BatchSize, o.Accum, o.Job, o.Out = c.bundle(t), c.method, 32, c.accum, job, out
	o.Epochs, o.Prune.Window, o.LearningRate = 6, 3, 0.01
	o.Unaugmented = o.Train
	o.Train = traintest.Augmented(t, o.Train, loader.Augment{CropPad: 1, HFlip: true})
	if strings.HasPrefix(c.method, "das") && !c.exact { // a mean over other parts is not the same to the bit
		o.Reference = "holdout:0.1"
	}
	if c.change != nil {
		c.change(t, &o)
	}
	seen := &course{}
	var result outcomeOfJob
	o.Reporter = seen
	if _, err := Run(context.Background(), o); err != nil {
		return result, err
	}
	result.Losses, result.Rates, result.Samples = seen.losses, seen.rates, seen.samples
	for _, e := range seen.epochs {
		result.Test = append(result.Test, e.TestLoss, e.TestAccuracy)
	}
	if o.Bad != nil {
		result.Bad = o.Bad.Count()
	}
	if job.Rank == 0 {
		result.Pruner = outcomeOf(t.(*testing.T), out).pruner
	}
	return result, nil
}

// together compares a case's outcomes.
func (c jobCase) compare(t *testing.T, got, want outcomeOfJob) {
	t.Helper()
	a := &course{losses: got.Losses, rates: got.Rates, samples: got.Samples}
	b := &course{losses: want.Losses, rates: want.Rates, samples: want.Samples}
	tolerance := c.tolerance
	if tolerance == 0 {
		tolerance = 1e-5
	}
	if c.exact {
		tolerance = 0
	}
	coursesAgree(t, a, b, tolerance)
	if got.Bad != want.Bad {
		t.Errorf("%d bad samples, want %d", got.Bad, want.Bad)
	}
	for i := range want.Test {
		if d := got.Test[i] - want.Test[i]; d > 1e-4 || d < -1e-4 {
			t.Errorf("test results %v, want %v", got.Test, want.Test)
		}
	}
	if c.exact && !bytes.Equal(got.Pruner, want.Pruner) {
		t.Error("plans or scores differ")
	}
}

const jobVariable = "WINNOW_TEST_JOB" // the folder that ranks write to

// Ranks of a real job of MPI train as one process does: every case's losses,
// rates, samples, plans and results.
func TestJobsTrainAsOne(t *testing.T) {
	if dir := os.Getenv(jobVariable); dir != "" { // this process is one of its own ranks
		rankOfJob(t, dir)
		return
	}
	device(t)
	launchers := mpitest.Launchers(t)
	want := map[string]outcomeOfJob{}
	for _, c := range jobCases() {
		o, err := runCase(t, c, Job{}, filepath.Join(t.TempDir(), "run"))
		if err != nil {
			t.Fatal(err)
		}
		want[c.Name] = o
	}
	for k, size := range []int{3, 2, 1} {
		l := launchers[k%len(launchers)]
		t.Run(fmt.Sprintf("%s/%d", l.Name, size), func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			cmd := l.Command(ctx, size, os.Args[0], "-test.run", "^TestJobsTrainAsOne$")
			cmd.Env = append(cmd.Env, jobVariable+"="+dir)
			if size == 2 { // the device's memory is the host's here
				cmd.Env = append(cmd.Env, mpi.CUDAVariable+"=on")
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, c := range jobCases() {
				text, err := os.ReadFile(filepath.Join(dir, c.Name+".json"))
				if err != nil {
					t.Fatal(err)
				}
				var got outcomeOfJob
				if err := json.Unmarshal(text, &got); err != nil {
					t.Fatal(err)
				}
				t.Run(c.Name, func(t *testing.T) { c.compare(t, got, want[c.Name]) })
			}
		})
	}
}

// rankOfJob is one rank of TestJobsTrainAsOne.
func rankOfJob(t *testing.T, dir string) {
	c, err := mpi.Join()
	if err != nil {
		t.Fatal(err)
	}
	job := Job{}
	if c != nil {
		job = Job{Rank: c.Rank, Size: c.Size, Comm: c, Direct: c.CUDA}
	}
	for _, jc := range jobCases() {
		o, err := runCase(t, jc, job, filepath.Join(dir, jc.Name))
		if err != nil {
			fmt.Fprintln(os.Stderr, jc.Name, err)
			_ = mpi.Leave(false, 1)
			os.Exit(1)
		}
		if job.Rank > 0 {
			continue
		}
		text, err := json.Marshal(o)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, jc.Name+".json"), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := mpi.Leave(true, 0); err != nil {
		t.Fatal(err)
	}
}

// inProcess is a job of goroutines, for what real ones cannot be asked.
type inProcess struct {
	rank  int
	group *group
}

type group struct {
	size    int
	mu      sync.Mutex
	arrived int
	floats  []float32
	wide    []float64
	bytes   []byte
	turn    chan struct{}
	fail    error
}

func newGroup(n int) *group { return &group{size: n, turn: make(chan struct{})} }

// meet lets everyone add to what is shared, and then take the result.
func (c *inProcess) meet(add, take func()) error {
	g := c.group
	g.mu.Lock()
	if g.fail != nil {
		defer g.mu.Unlock()
		return g.fail
	}
	add()
	g.arrived++
	turn := g.turn
	if g.arrived == g.size {
		g.arrived, g.turn = 0, make(chan struct{})
		close(turn)
	}
	g.mu.Unlock()
	<-turn
	g.mu.Lock()
	take()
	g.arrived++
	turn = g.turn
	if g.arrived == g.size {
		g.arrived, g.turn = 0, make(chan struct{})
		g.floats, g.wide, g.bytes = nil, nil, nil
		close(turn)
	}
	g.mu.Unlock()
	<-turn
	return nil
}

func (c *inProcess) Sum(x []float32) error {
	return c.meet(func() {
		if c.group.floats == nil {
			c.group.floats = make([]float32, len(x))
		}
		for i, v := range x {
			c.group.floats[i] += v
		}
	}, func() { copy(x, c.group.floats) })
}

func (c *inProcess) SumWide(x []float64) error {
	return c.meet(func() {
		if c.group.wide == nil {
			c.group.wide = make([]float64, len(x))
		}
		for i, v := range x {
			c.group.wide[i] += v
		}
	}, func() { copy(x, c.group.wide) })
}

func (c *inProcess) Broadcast(data []byte) error {
	return c.meet(func() {
		if c.rank == 0 {
			c.group.bytes = slices.Clone(data)
		}
	}, func() { copy(data, c.group.bytes) })
}

// ranks runs a function as each rank of a job at once.
func ranks(n int, run func(Job) error) []error {
	g := newGroup(n)
	errs := make([]error, n)
	var wait sync.WaitGroup
	for r := range n {
		wait.Go(func() { errs[r] = run(Job{Rank: r, Size: n, Comm: &inProcess{r, g}}) })
	}
	wait.Wait()
	return errs
}

// A job whose ranks are not given the same says so, with the rank and what differs.
func TestJobsAgree(t *testing.T) {
	for what, change := range map[string]func(*Options){
		"options": func(o *Options) { o.LearningRate *= 2 },
		"data":    func(o *Options) { o.Train = traintest.Blobs(t, 300, 5) },
		"bundle":  func(o *Options) { o.Bundle = twoLayers(t, true, export.Options{}) },
		"version": func(o *Options) { o.Version = "other" },
		"weights": func(o *Options) {
			w := slices.Clone(o.Bundle.Init["w2"].Float32s())
			w[0]++
			o.Bundle.Init["w2"] = onnx.FromFloat32(w, o.Bundle.Init["w2"].Dims...)
		},
	} {
		for _, err := range ranks(3, func(j Job) error {
			o := testOptions(t, device(t), traintest.Parts{})
			o.Bundle, o.Job = twoLayers(t, false, export.Options{}), j
			if j.Rank == 1 {
				change(&o)
			}
			_, err := Run(context.Background(), o)
			return err
		}) {
			if !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), "rank 1 has other "+what) || !Agreed(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// One rank that is told to stop stops all of them at one step, and the run goes
// on with another number of ranks to the same plans.
func TestJobsStopAndGoOn(t *testing.T) {
	options := func(j Job, out string) Options {
		o := testOptions(t, device(t), traintest.Parts{})
		o.Bundle, o.Method, o.Job, o.Out, o.LearningRate = fixedLosses(t), "infobatch", j, out, 0.05
		return o
	}
	whole := options(Job{}, filepath.Join(t.TempDir(), "run"))
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "run")
	for _, err := range ranks(3, func(j Job) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := options(j, out)
		o.Reporter = &record{on: func(p Progress) {
			if j.Rank == 2 && p.Phase == PhaseTrain && p.Epoch == 2 && p.Step == 3 {
				cancel()
			}
		}}
		_, err := Run(ctx, o)
		return err
	}) {
		if !errors.Is(err, context.Canceled) || !Agreed(err) || !strings.Contains(err.Error(), "epoch 2 after 4 steps") {
			t.Fatal(err)
		}
	}
	for _, err := range ranks(2, func(j Job) error {
		o := options(j, out)
		o.Resume = true
		_, err := Run(context.Background(), o)
		return err
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, want := outcomeOf(t, out), outcomeOf(t, whole.Out)
	if !reflect.DeepEqual(got.pruner, want.pruner) {
		t.Error("the pruner's state differs")
	}
}
