package export_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

var (
	shapedParams = []string{"fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"}
	scalarParams = []string{"gamma", "temperature"}
)

func scalars(t *testing.T, exporter string, o export.Options) (*bundle.Bundle, []string) {
	t.Helper()
	data, err := os.ReadFile("testdata/scalars." + exporter + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	o.Name, o.Images.Float, o.Images.Normalize = "scalars", true, bundle.Normalize{Scale: 1}
	o.Warn = func(text string) { notices = append(notices, text) }
	return build(t, m, o), notices
}

// Parameters without dimensions train as PyTorch trains them, with every
// optimizer; testdata/gen_scalars.py made the record.
func TestScalarParametersAgreeWithPyTorch(t *testing.T) {
	d := openDevice(t)
	want, meta := readFixture(t, "scalars.safetensors.gz")
	var recipes map[string]optimRecipe
	if err := json.Unmarshal([]byte(meta["recipes"]), &recipes); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, r := range recipes {
		seen[optimizerNames[r.Opt]] = true
		t.Run(name, func(t *testing.T) {
			b, notices := scalars(t, "dynamo", export.Options{Optimizer: r.optimizer()})
			if len(notices) > 0 {
				t.Errorf("notices %q", notices)
			}
			trainer, state, index := newTrainer(t, d, b, 8)
			rates, losses := want[name+"/lr"].Float32s(), float64s(want[name+"/loss"])
			x, labels := want["x"].Data, want["labels"].Int64s()
			var out ortrun.StepOutput
			for k := range losses {
				in := ortrun.StepInput{N: 8, Images: x[k*8*6*4 : (k+1)*8*6*4], Labels: labels[k*8 : (k+1)*8], LearningRate: rates[k]}
				if err := trainer.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				if diff := math.Abs(float64(out.Loss)-losses[k]) / losses[k]; !(diff <= optimizerTolerance) {
					t.Errorf("step %d: loss %v, want %v", k+1, out.Loss, losses[k])
				}
				for _, p := range slices.Concat(shapedParams, scalarParams) {
					if b.Init[p] == nil {
						t.Fatalf("%q is not trained", p)
					}
					all := want[name+"/param/"+p].Float32s()
					n := len(all) / len(losses)
					near(t, fmt.Sprintf("step %d %s", k+1, p), readState(t, state, index[p], b.Init[p]), all[k*n:(k+1)*n], optimizerTolerance)
				}
			}
		})
	}
	for _, o := range export.Optimizers() {
		if !seen[o.Name] {
			t.Errorf("no recipe for %s", o.Name)
		}
	}
}

// What the file calls no parameter, a buffer or a factor, stays a constant;
// where the file says nothing, every tensor without dimensions does, and a
// notice names those that could be parameters.
func TestScalarConstantsStay(t *testing.T) {
	for exporter, want := range map[string][]string{"dynamo": slices.Concat(shapedParams, scalarParams), "ts": shapedParams} {
		b, notices := scalars(t, exporter, export.Options{})
		var got []string
		for _, s := range b.Manifest.State {
			if s.Kind == bundle.KindParameter {
				got = append(got, s.Name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: trained are %q, want %q", exporter, got, want)
		}
		all := strings.Join(notices, "\n")
		if named := strings.Contains(all, `not trained: "gamma" [] (number in Mul), "scale" [] (number in Mul), "temperature" [] (number in Div);`); named != (exporter == "ts") {
			t.Errorf("%s: notices %q", exporter, notices)
		}
	}
}

// Drawn anew, a parameter without dimensions keeps its value and survives the bundle's files.
func TestScalarParametersAreKept(t *testing.T) {
	b, _ := scalars(t, "dynamo", export.Options{Weights: export.NewWeights{Reinit: true, Seed: 3}})
	dir := t.TempDir()
	if err := b.Save(dir + "/b"); err != nil {
		t.Fatal(err)
	}
	back, err := bundle.OpenPath(dir + "/b")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]float32{"gamma": 0.75, "temperature": 1.25} {
		if got := back.Init[p]; got == nil || len(got.Dims) != 0 || got.Float32s()[0] != want {
			t.Errorf("%s is %v, want %v without dimensions", p, got, want)
		}
	}
	if n := parameters(back); n != 6*5+5+5*3+3+2 {
		t.Errorf("%d parameters", n)
	}
}
