package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// handTrace is a profile written by hand: two runs of three nodes, of which
// "branches" holds two others in its subgraph, and a node that ran once.
const handTrace = `[
{"cat":"Session","ts":1,"dur":50,"name":"session_initialization","args":{}},
{"cat":"Node","ts":100,"dur":30,"name":"a_kernel_time","args":{"op_name":"Conv","node_index":"0","provider":"CPUExecutionProvider"}},
{"cat":"Node","ts":131,"dur":0,"name":"in1_kernel_time","args":{"op_name":"Exp","node_index":"0","provider":"CPUExecutionProvider","extra":[{"x":{}}]}},
{"cat":"Node","ts":131,"dur":7,"name":"in2_kernel_time","args":{"op_name":"Sin","node_index":"1","provider":"CPUExecutionProvider"}},
{"cat":"Session","ts":131,"dur":9,"name":"SequentialExecutor::Execute","args":{}},
{"cat":"Node","ts":130,"dur":20,"name":"branches_kernel_time","args":{"op_name":"If","node_index":"1","provider":"CPUExecutionProvider"}},
{"cat":"Node","ts":150,"dur":5,"name":"b_kernel_time","args":{"op_name":"Neg","node_index":"2","provider":"CPUExecutionProvider","input_type_shape":[{"float":[2,3]},{"int64":[]}],"output_type_shape":[{"float":[6]}]}},
{"cat":"Node","ts":150,"dur":5,"name":"b_fence_before","args":{"op_name":"Neg"}},
{"cat":"Kernel","ts":150,"dur":500,"name":"b_kernel_time","args":{"stream":"7"}},
{"cat":"Session","ts":90,"dur":70,"name":"model_run","args":{}},
{"cat":"Node","ts":200,"dur":40,"name":"a_kernel_time","args":{"op_name":"Conv","node_index":"0","provider":"CPUExecutionProvider"}},
{"cat":"Node","ts":241,"dur":3,"name":"branches_kernel_time","args":{"op_name":"If","node_index":"1","provider":"CPUExecutionProvider"}},
{"cat":"Node","ts":245,"dur":6,"name":"b_kernel_time","args":{"op_name":"Neg","node_index":"2","provider":"CPUExecutionProvider"}},
{"cat":"Node","ts":251,"dur":2,"name":"b_kernel_time","args":{"op_name":"Neg","node_index":"3","provider":"CPUExecutionProvider"}},
{"cat":"Session","ts":199,"dur":60,"name":"model_run","args":{}}
]`

func TestReadProfile(t *testing.T) {
	p, err := readProfile(strings.NewReader(handTrace))
	noError(t, err)
	us := time.Microsecond
	node := func(name, op string, calls ...NodeCall) ProfiledNode {
		return ProfiledNode{Name: name, Op: op, Provider: CPUProvider, Calls: calls}
	}
	want := &Profile{
		Runs: []time.Duration{70 * us, 60 * us},
		Nodes: []ProfiledNode{
			node("a", "Conv", NodeCall{0, 30 * us}, NodeCall{1, 40 * us}),
			node("in1", "Exp", NodeCall{0, 0}), node("in2", "Sin", NodeCall{0, 7 * us}),
			node("branches", "If", NodeCall{0, 13 * us}, NodeCall{1, 3 * us}),
			node("b", "Neg", NodeCall{0, 5 * us}, NodeCall{1, 6 * us}), node("b", "Neg", NodeCall{1, 2 * us}),
		},
	}
	want.Nodes[4].In, want.Nodes[4].Out = []Tensor{{"float", []int64{2, 3}}, {"int64", []int64{}}}, []Tensor{{"float", []int64{6}}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

func TestBadProfiles(t *testing.T) {
	event := func(ts, dur int64) string {
		return fmt.Sprintf(`[{"cat":"Node","name":"a_kernel_time","ts":%d,"dur":%d}]`, ts, dur)
	}
	for name, c := range map[string]struct {
		r    io.Reader
		says string
	}{
		"empty":            {strings.NewReader(""), "not a JSON array"},
		"an object":        {strings.NewReader("{}"), "not a JSON array"},
		"no JSON":          {strings.NewReader("\x00\xff profile"), "not a JSON array"},
		"a quote in names": {strings.NewReader(`[{"cat":"Node","name":"a"b_kernel_time"}]`), "event 0"},
		"a number":         {strings.NewReader(`[{"cat":"Node","dur":"much"}]`), "event 0"},
		"an odd element":   {strings.NewReader(`[{},7]`), "event 1"},
		"deep":             {strings.NewReader("[" + strings.Repeat("[", 100_000)), "depth"},
		"negative time":    {strings.NewReader(event(0, -1)), "takes -1 us"},
		"negative start":   {strings.NewReader(event(-5, 1)), "starts at -5 us"},
		"ages":             {strings.NewReader(event(0, 1<<62)), "event 0"},
		"one large event":  {strings.NewReader(`[{"name":"` + strings.Repeat("x", 2*maxEventBytes) + `"}]`), "more than 1024 KB"},
		"many events":      {strings.NewReader("[" + strings.Repeat("{},", maxProfileEvents) + "{}]"), "fewer steps"},
		"many bytes":       {&bounded{r: strings.NewReader(handTrace), total: 300, event: 1 << 20}, "fewer steps"},
	} {
		p, err := readProfile(c.r)
		if err == nil {
			t.Errorf("%s: no error but %+v", name, p)
			continue
		}
		wantError(t, err, c.says)
	}
	for cut := range len(handTrace) - 1 {
		if _, err := readProfile(strings.NewReader(handTrace[:cut])); err == nil {
			t.Fatalf("cut at %d: no error", cut)
		}
	}
}

func FuzzReadProfile(f *testing.F) {
	f.Add([]byte(handTrace))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := readProfile(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, n := range p.Nodes {
			for _, c := range n.Calls {
				if c.Time < 0 || c.Run < 0 || c.Run > len(p.Runs) {
					t.Fatalf("%+v of %d runs", n, len(p.Runs))
				}
			}
		}
	})
}

// A profiled trainer steps as any other, and its profile names what its graph
// holds: an own reading of the raw trace has the same operators and times.
func TestProfileSteps(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	d := device(t, Options{})
	spec := linearSpec(testRoles{})
	var trace bytes.Buffer
	const steps = 3
	rng := rand.New(rand.NewPCG(1, 1))
	losses := [2][]float32{}
	for side, run := range []func(*State, func(*Trainer) error) error{
		func(st *State, f func(*Trainer) error) error {
			tr, err := d.NewTrainer(spec, st, 8)
			noError(t, err)
			return errors.Join(f(tr), tr.Close())
		},
		func(st *State, f func(*Trainer) error) error {
			p, err := d.ProfileSteps(spec, st, 8, &trace, f)
			if err == nil {
				checkProfile(t, p, trace.Bytes(), steps)
			}
			return err
		},
	} {
		st, err := d.NewState(linearState(firstWeights()))
		noError(t, err)
		rng = rand.New(rand.NewPCG(1, 1))
		noError(t, run(st, func(tr *Trainer) error {
			var out StepOutput
			for range steps {
				if err := tr.Step(randomBatch(rng, 5, testRoles{}), &out); err != nil {
					return err
				}
				losses[side] = append(losses[side], out.Loss)
			}
			return nil
		}))
		noError(t, st.Close())
	}
	if !reflect.DeepEqual(losses[0], losses[1]) {
		t.Errorf("losses %v, under the profiler %v", losses[0], losses[1])
	}

	st, err := d.NewState(linearState(nil))
	noError(t, err)
	_, err = d.ProfileSteps(spec, st, 8, nil, func(*Trainer) error { return errors.New("stop here") })
	wantError(t, err, "stop here")
	_, err = d.ProfileSteps(spec, st, 8, badWriter{}, func(*Trainer) error { return nil })
	wantError(t, err, "no room")
	_, err = d.ProfileSteps(TrainSpec{Model: []byte("none")}, st, 8, nil, nil)
	wantError(t, err, "runtime: training graph")
	noError(t, st.Close())
	if left, _ := filepath.Glob(temp + "/winnow-*"); len(left) > 0 { // the library leaves files of its own
		t.Errorf("left behind: %v", left)
	}
	t.Setenv("TMPDIR", temp+"/none")
	_, err = d.ProfileSteps(spec, st, 8, nil, nil)
	wantError(t, err, "runtime: profile", "none")
}

type badWriter struct{}

func (badWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }

func checkProfile(t *testing.T, p *Profile, trace []byte, steps int) {
	t.Helper()
	if len(p.Runs) != steps {
		t.Errorf("%d runs, want %d", len(p.Runs), steps)
	}
	var events []struct {
		Cat, Name string
		Dur       int64
		Args      struct {
			Op string `json:"op_name"`
		}
	}
	noError(t, json.Unmarshal(trace, &events))
	want, got := map[string]int64{}, map[string]int64{}
	for _, e := range events {
		if e.Cat == "Node" && strings.HasSuffix(e.Name, "_kernel_time") {
			want[e.Args.Op] += e.Dur
		}
	}
	ran := map[string]bool{}
	for _, n := range p.Nodes {
		ran[n.Op] = true
		if len(n.Calls) != steps || n.Provider != CPUProvider {
			t.Errorf("node %q: %d calls on %q", n.Name, len(n.Calls), n.Provider)
		}
		for i, c := range n.Calls {
			if c.Run != i {
				t.Errorf("node %q: call %d is of run %d", n.Name, i, c.Run)
			}
			got[n.Op] += c.Time.Microseconds()
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("times by operator %v, the trace has %v", got, want)
	}
	for _, op := range []string{"Cast", "Div", "Reshape", "Gemm", "LogSoftmax", "OneHot", "Mul", "ReduceSum", "Neg", "ReduceMean", "Exp", "Sub", "Add"} {
		if !ran[op] {
			t.Errorf("no time for %s, which is in the graph; there are %v", op, ran)
		}
	}
}
