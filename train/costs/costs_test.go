package costs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/internal/option"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	"winnow/runtime/ortest"
	"winnow/train/traintest"
)

// plainSGD is a named model's bundle whose update is W - lr*dW alone, so that
// its graph says by itself what belongs to which part.
func plainSGD(t *testing.T, name string) (*bundle.Bundle, *onnx.Model) {
	t.Helper()
	m, err := models.Forward(name, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.Build(m, export.Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return b, decode(t, b)
}

func decode(t *testing.T, b *bundle.Bundle) *onnx.Model {
	t.Helper()
	m, err := wire.Decode(b.Train, "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func measure(t *testing.T, b *bundle.Bundle, o Options) *Costs {
	t.Helper()
	if o.Device == nil {
		o.Device = ortest.CPU(t, 1)
	}
	c, err := Measure(context.Background(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reach follows a graph's edges from values: backward to what they are made
// of, or forward to what is made of them. It gives the nodes' names.
func reach(g *onnx.Graph, back bool, values ...string) map[string]bool {
	seen, nodes := map[string]bool{}, map[string]bool{}
	for len(values) > 0 {
		v := values[0]
		values = values[1:]
		if v == "" || seen[v] {
			continue
		}
		seen[v] = true
		for _, n := range g.Nodes {
			from, to := n.Inputs, n.Outputs
			if back {
				from, to = to, from
			}
			if slices.Contains(from, v) {
				nodes[n.Name] = true
				values = append(values, to...)
			}
		}
	}
	return nodes
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

// With one step that counts, every sum is one of the raw trace's times.
func TestCostsAddUp(t *testing.T) {
	b, _ := plainSGD(t, "lenet")
	var trace bytes.Buffer
	c := measure(t, b, Options{BatchSize: 4, Steps: 1, Trace: &trace})
	var events []struct {
		Cat, Name string
		Dur       float64
		Args      struct {
			Op string `json:"op_name"`
		}
	}
	if err := json.Unmarshal(trace.Bytes(), &events); err != nil {
		t.Fatal(err)
	}
	run, total := 0, 0.0
	type entry struct {
		ms float64
		n  int
	}
	want := map[string]entry{}
	for _, e := range events {
		switch {
		case e.Name == "model_run":
			run++
		case e.Cat == "Node" && strings.HasSuffix(e.Name, "_kernel_time") && run == warmup:
			total += e.Dur / 1e3
			want[e.Args.Op] = entry{want[e.Args.Op].ms + e.Dur/1e3, want[e.Args.Op].n + 1}
		}
	}
	if total == 0 || !near(c.InNodes, total) {
		t.Errorf("%v ms in nodes, the trace has %v", c.InNodes, total)
	}
	if c.Peaks == nil || c.Peaks.GFLOPS <= 0 || c.Peaks.GBPS <= 0 {
		t.Errorf("peaks %+v", c.Peaks)
	}
	limits := map[string]float64{}
	for _, n := range c.Nodes {
		limits[n.Op] += n.Limit
	}
	for _, op := range c.Operators {
		if !near(op.Limit, limits[op.Name]) || op.Name == "Gemm" && op.Limit <= 0 {
			t.Errorf("%s: a limit of %v ms, its nodes' %v", op.Name, op.Limit, limits[op.Name])
		}
	}
	if len(c.Operators) != len(want) {
		t.Errorf("%d operators, the trace has %d", len(c.Operators), len(want))
	}
	for _, op := range c.Operators {
		if w := want[op.Name]; !near(op.Time, w.ms) || op.Count != w.n {
			t.Errorf("%s: %v ms in %d nodes, the trace has %v", op.Name, op.Time, op.Count, w)
		}
	}
	for what, list := range map[string][]Cost{"operators": c.Operators, "layers": c.Layers, "parts": c.Parts} {
		sum, count := 0.0, 0
		for i, x := range list {
			parts := 0.0
			for _, p := range x.Parts {
				parts += p
			}
			if !near(parts, x.Time) {
				t.Errorf("%s: %q takes %v ms, its parts %v", what, x.Name, x.Time, parts)
			}
			if what != "parts" && i > 0 && x.Time > list[i-1].Time {
				t.Errorf("%s: %q stands behind a cheaper one", what, x.Name)
			}
			sum, count = sum+x.Time, count+x.Count
		}
		if !near(sum, total) || count != len(c.Nodes) {
			t.Errorf("%s add up to %v ms of %v and %d nodes of %d", what, sum, total, count, len(c.Nodes))
		}
	}
	for _, op := range c.Operators {
		for _, part := range Parts() {
			sum := 0.0
			for _, n := range c.Nodes {
				if n.Op == op.Name && n.Part == part {
					sum += n.Time
				}
			}
			if !near(sum, op.Parts[part]) {
				t.Errorf("%s: %v ms are %s, its nodes take %v", op.Name, op.Parts[part], part, sum)
			}
		}
	}
	if c.Step <= 0 || c.Profiled < c.InNodes {
		t.Errorf("a step takes %v ms, under the profiler %v, of which %v in nodes", c.Step, c.Profiled, c.InNodes)
	}
	sampled := measure(t, b, Options{BatchSize: 2, Steps: 4})
	sum := 0.0
	for _, n := range sampled.Nodes {
		sum += n.Time
	}
	if !near(sum, sampled.InNodes) {
		t.Errorf("four steps: nodes add up to %v ms of %v", sum, sampled.InNodes)
	}
}

// replaced says which operator ONNX Runtime's optimizer puts in place of one.
var replaced = map[string]string{"Relu": "FusedGemm", "MatMul": "FusedMatMul", "Resize": "Upsample"}

// Parts and layers are those that the graph's own edges say: the forward pass
// is what the logits are made of, the update what is made of the learning
// rate, and a parameter's gradient belongs to the layer that reads it.
func TestCostsFollowTheGraph(t *testing.T) {
	for _, name := range []string{"mlp", "lenet"} {
		b, m := plainSGD(t, name)
		c := measure(t, b, Options{BatchSize: 2, Steps: 1})
		r := &b.Manifest.Train
		forward := reach(m.Graph, true, r.Logits.Name)
		loss := reach(m.Graph, true, r.Loss.Name, r.PerSampleLoss.Name)
		update := reach(m.Graph, false, r.LearningRate.Name)
		maker, op, ops := map[string]*onnx.Node{}, map[string]string{}, map[string]int{}
		for _, n := range m.Graph.Nodes {
			op[n.Name] = n.Op
			ops[n.Op]++
			for _, out := range n.Outputs {
				maker[out] = n
			}
		}
		found, added := map[string]NodeCost{}, map[string]int{}
		for _, n := range c.Nodes {
			if op[n.Name] == "" { // made by ONNX Runtime's optimizer
				added[n.Op]++
				if n.Part == PartOther && ops[n.Op] > 0 && !strings.HasPrefix(n.Op, "Reorder") { // between layouts
					t.Errorf("%s: %q (%s) has no owner", name, n.Name, n.Op)
				}
				continue
			}
			found[n.Name] = n
			want := []Part{PartLoss, PartBackward}
			switch {
			case forward[n.Name]:
				want = []Part{PartForward}
			case update[n.Name]:
				want = []Part{PartUpdate}
			case loss[n.Name]:
				want = []Part{PartLoss}
			}
			if n.Op != op[n.Name] {
				added[n.Op]++
			}
			if !slices.Contains(want, n.Part) || n.Op != op[n.Name] && n.Op != "Fused"+op[n.Name] {
				t.Errorf("%s: %q (%s) is %s, want %v (%s)", name, n.Name, n.Op, n.Part, want, op[n.Name])
			}
			if (n.Part == PartForward) != forward[n.Name] || n.Part == PartForward && n.Layer != n.Name && n.Layer != "(images)" {
				t.Errorf("%s: %q is of layer %q, %s", name, n.Name, n.Layer, n.Part)
			}
		}
		readers := map[string]string{}
		for _, l := range c.Layers {
			for _, p := range l.Parameters {
				readers[p] = l.Name
			}
		}
		for _, s := range b.Manifest.State {
			node := maker[maker[maker[s.Output].Inputs[1]].Inputs[0]] // W.next = Sub(W, Mul(dW, lr))
			if update[node.Name] {
				node = maker[maker[maker[s.Output].Inputs[1]].Inputs[1]]
			}
			reader := ""
			for _, n := range m.Graph.Nodes {
				if forward[n.Name] && slices.Contains(n.Inputs, s.Input) {
					reader = n.Name
				}
			}
			if readers[s.Name] != reader {
				t.Errorf("%s: %q is read by layer %q, by the graph %q", name, s.Name, readers[s.Name], reader)
			}
			if n, ok := found[node.Name]; ok && (n.Part != PartBackward || n.Layer != reader) {
				t.Errorf("%s: the gradient of %q, %q, is %s of layer %q, want %q", name, s.Name, n.Name, n.Part, n.Layer, reader)
			}
		}
		for o, k := range ops {
			i := slices.IndexFunc(c.Operators, func(x Cost) bool { return x.Name == o })
			if i < 0 {
				if added[replaced[o]] == 0 {
					t.Errorf("%s: no time for %s, of which the graph has %d", name, o, k)
				}
			} else if c.Operators[i].Count > k+added[o] {
				t.Errorf("%s: %d nodes of %s, the graph has %d", name, c.Operators[i].Count, o, k)
			}
		}
	}
}

// Names that ONNX Runtime 1.29 gives to the nodes it makes of others.
func TestOwnersOfFusedNodes(t *testing.T) {
	b, m := plainSGD(t, "lenet")
	pool, conv := m.Graph.Nodes[0], m.Graph.Nodes[0]
	var grad *onnx.Node
	for _, n := range m.Graph.Nodes {
		switch {
		case n.Op == "MaxPool":
			pool = n
		case n.Op == "Conv" && !strings.HasPrefix(n.Name, "grad."):
			conv = n
		case strings.HasPrefix(n.Name, "grad."+conv.Name+"."):
			grad = n
		}
	}
	if grad == nil {
		t.Fatal("nothing is named after the gradient of a convolution")
	}
	o := newOwners(b, m)
	for name, want := range map[string]owner{
		conv.Name:                                   {PartForward, conv.Name},
		"fused " + conv.Name:                        {PartForward, conv.Name},
		conv.Name + "_token_12":                     {PartForward, conv.Name},
		pool.Outputs[0] + "_nchwc":                  {PartForward, pool.Name},
		pool.Outputs[0] + "_nchwc_token_3":          {PartForward, pool.Name},
		grad.Name + "/MatmulTransposeFusion/":       {PartBackward, conv.Name},
		grad.Name + "/AFusion/BFusion/":             {PartBackward, conv.Name},
		"fused " + grad.Name + "/Fusion":            without(PartOther),
		"ReorderOutput_token_10":                    without(PartOther),
		"":                                          without(PartOther),
		b.Manifest.State[0].Output:                  without(PartUpdate),
		b.Manifest.Train.Loss.Name:                  without(PartLoss),
		strings.Replace(grad.Name, "grad", "go", 1): without(PartOther),
	} {
		if got := o.of(name); got != want {
			t.Errorf("%q is %v, want %v", name, got, want)
		}
	}
}

// A loss that the model holds is no layer; its gradient goes with it.
func TestCostsOfAnOwnLoss(t *testing.T) {
	m, err := models.Forward("mlp", 1)
	if err != nil {
		t.Fatal(err)
	}
	batch := onnx.Shape{onnx.Symbol("N")}
	g := m.Graph
	g.Inputs = append(g.Inputs, onnx.Value{Name: "classes", DType: onnx.Int64, Shape: batch})
	g.Outputs = append(g.Outputs, onnx.Value{Name: "own", DType: onnx.Float32, Shape: batch})
	g.Nodes = append(g.Nodes, &onnx.Node{Name: "criterion", Op: "SoftmaxCrossEntropyLoss", Inputs: []string{"logits", "classes"},
		Outputs: []string{"own"}, Attrs: map[string]onnx.Attr{"reduction": onnx.StringAttr("none")}})
	b, err := export.Build(m, export.Options{Name: "own", Loss: bundle.Loss{Name: bundle.NoLoss}})
	if err != nil {
		t.Fatal(err)
	}
	c := measure(t, b, Options{BatchSize: 2, Steps: 1})
	for _, l := range c.Layers {
		switch l.Name {
		case "(images)", "(loss)", "(update)", "flatten_1", "gemm_2", "relu_3", "gemm_4":
		default:
			t.Errorf("a layer %q", l.Name)
		}
		if _, back := l.Parts[PartBackward]; l.Name == "(loss)" && !back {
			t.Errorf("the loss has no gradient: %+v", l)
		}
	}
}

// Of a graph by other hands only names and operators are known; a name that
// would break the profile's JSON is written otherwise.
func TestCostsOfOtherGraphs(t *testing.T) {
	b := traintest.Bundle(t, traintest.AllParts)
	m := decode(t, b)
	m.Graph.Nodes[0].Name = "a \"quoted\"\\name\n"
	var err error
	if b.Train, err = wire.Encode(m); err != nil {
		t.Fatal(err)
	}
	c := measure(t, b, Options{BatchSize: 3, Steps: 2})
	if len(c.Parts) != 1 || Part(c.Parts[0].Name) != PartOther || !near(c.Parts[0].Time, c.InNodes) {
		t.Errorf("parts %+v of %v ms", c.Parts, c.InNodes)
	}
	if !slices.ContainsFunc(c.Layers, func(l Cost) bool { return l.Name == "a _quoted__name_" && l.Op == m.Graph.Nodes[0].Op }) {
		t.Errorf("layers %+v", c.Layers)
	}
}

func TestCostsOfEveryRole(t *testing.T) {
	d := ortest.CPU(t, 1)
	for _, p := range []traintest.Parts{
		{}, traintest.AllParts, {FloatImages: true, SoftLabels: true}, {Random: true, PerSample: true}, {LossScale: true},
	} {
		done := 0
		c := measure(t, traintest.Bundle(t, p), Options{BatchSize: 3, Steps: 1, Device: d, Progress: func(n, of int) {
			if done++; n != done || of != 2*(warmup+1) {
				t.Errorf("progress %d of %d, want %d", n, of, done)
			}
		}})
		if len(c.Nodes) == 0 || done != 2*(warmup+1) {
			t.Errorf("%+v: %d nodes, %d steps", p, len(c.Nodes), done)
		}
	}
}

func TestCostsRefuse(t *testing.T) {
	b, d := traintest.Bundle(t, traintest.Parts{}), ortest.CPU(t, 1)
	for _, o := range []Options{{BatchSize: 0, Steps: 1}, {BatchSize: 1 << 40, Steps: 1}, {BatchSize: 1}, {BatchSize: 1, Steps: MaxSteps + 1}} {
		o.Device = d
		if _, err := Measure(context.Background(), b, o); !errors.Is(err, option.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(done, _ int) {
		if done == warmup+2 { // in the profiled half
			cancel()
		}
	}
	_, err := Measure(ctx, b, Options{BatchSize: 1, Steps: 1, Device: d, Progress: stop})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := *b
	broken.Train = []byte("no graph")
	if _, err := Measure(context.Background(), &broken, Options{BatchSize: 1, Steps: 1, Device: d}); !errors.Is(err, onnx.ErrNotONNX) {
		t.Errorf("no graph: %v", err)
	}
}
