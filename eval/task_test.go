package eval

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"winnow/loader"
	"winnow/onnx/bundle"
)

// given delivers outputs and targets of all samples as batches of a few.
type given struct {
	outputs, floats []float32
	masks           []byte
	width, size, at int
	n, last         int
}

func (g *given) Next() (*loader.Batch, error) {
	if g.at += g.last; g.at >= g.n {
		return (&list{}).Next()
	}
	g.last = min(5, g.n-g.at)
	b := &loader.Batch{N: g.last, Targets: make([]loader.Values, 1)}
	for i := range g.last {
		b.Indices = append(b.Indices, uint32(g.at+i))
	}
	if g.floats != nil {
		b.Targets[0].Floats = g.floats[g.at*g.size:][:g.last*g.size]
	} else {
		b.Targets[0].Bytes = g.masks[g.at*g.size:][:g.last*g.size]
	}
	return b, nil
}

func (g *given) Run(n int, _ []byte) ([]float32, error) {
	return g.outputs[g.at*g.width:][:n*g.width], nil
}

// Metrics of tasks are scikit-learn's; testdata/tasks.py made the numbers.
func TestTasksAgreeWithScikitLearn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "tasks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Scores, There, Targets, Outputs, Maps []float32
		Masks                                 []int
		Labels, Quantities, Pixels            map[string]float64
		AP, F1, IoU                           []float64
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	masks := make([]byte, len(f.Masks))
	for i, v := range f.Masks {
		masks[i] = byte(v)
	}
	for name, c := range map[string]struct {
		task  Task
		data  given
		want  map[string]float64
		parts map[string][]float64
	}{
		"labels":     {Task{Classes: 4, Kind: bundle.TargetVector, Loss: bundle.Loss{Name: bundle.BCE}}, given{outputs: f.Scores, floats: f.There, width: 4, size: 4, n: 37}, f.Labels, map[string][]float64{"AP": f.AP, "F1": f.F1}},
		"quantities": {Task{Classes: 4, Kind: bundle.TargetVector, Loss: bundle.Loss{Name: bundle.MSE}}, given{outputs: f.Outputs, floats: f.Targets, width: 4, size: 4, n: 37}, f.Quantities, nil},
		"pixels":     {Task{Classes: 3, Pixels: 42, Kind: bundle.TargetMask, Loss: bundle.Loss{Name: bundle.CrossEntropy}}, given{outputs: f.Maps, masks: masks, width: 126, size: 42, n: 5}, f.Pixels, map[string][]float64{"IoU": f.IoU}},
	} {
		r, err := c.task.Evaluate(context.Background(), &c.data, &c.data, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		values := r.Values()
		if len(values) != len(c.want) || r.Samples != c.data.n || r.Metrics[0].Name != c.task.Main() || !(r.Loss > 0) {
			t.Errorf("%s: %+v, want %v", name, r, c.want)
		}
		for metric, want := range c.want {
			if got := values[metric]; !(math.Abs(got-want) < 1e-5) {
				t.Errorf("%s: %s %v, want %v", name, metric, got, want)
			}
		}
		for k, p := range r.Parts {
			for _, m := range p.Metrics {
				if want := c.parts[m.Name]; want != nil && !(math.Abs(m.Value-want[k]) < 1e-5) {
					t.Errorf("%s: %s of %d is %v, want %v", name, m.Name, k, m.Value, want[k])
				}
			}
		}
	}
}
