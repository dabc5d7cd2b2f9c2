package export_test

import (
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sort"
	"testing"

	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// Whatever is done to a model's nodes, Build returns a bundle or an error.
func TestMutatedModelsDoNotPanic(t *testing.T) {
	ops := slices.Sorted(maps.Keys(autodiff.Rules))
	var built int
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 9))
		m, err := models.Forward([]string{"mlp", "lenet", "resnet8"}[r.IntN(3)], 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(3) {
			mutate(r, m.Graph, ops)
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("seed %d: panic: %v\n%s", seed, p, debug.Stack())
				}
			}()
			o := export.Options{Optimizer: bundle.Optimizer{Momentum: 0.9}, Weights: export.NewWeights{Reinit: r.IntN(4) == 0}}
			if r.IntN(4) == 0 {
				o.Weights.Classes = 3
			}
			if r.IntN(4) == 0 {
				o.Blocks.Size = 16
				o.Forms.Tune = func(cases []autodiff.Case) (*bundle.Tuned, error) {
					for _, c := range cases {
						for _, form := range c.FormsFor(3) {
							if _, _, _, err := export.CaseGraph(c, form, 3); err != nil {
								return nil, err
							}
						}
					}
					return nil, nil
				}
			}
			if _, err := export.Build(m, o); err == nil {
				built++
			}
		}()
		if t.Failed() {
			return
		}
	}
	if built == 0 || built == 3000 {
		t.Errorf("%d of 3000 mutated models were built", built)
	}
}

func mutate(r *rand.Rand, g *onnx.Graph, ops []string) {
	n := g.Nodes[r.IntN(len(g.Nodes))]
	if n.Attrs == nil {
		n.Attrs = map[string]onnx.Attr{}
	}
	odd := []int64{-1, 0, 1, 2, 3, 7, -5, 1 << 30, 1 << 62, -1 << 63}
	switch r.IntN(9) {
	case 0:
		n.Op = ops[r.IntN(len(ops))]
	case 1:
		if len(n.Inputs) > 0 {
			n.Inputs = n.Inputs[:r.IntN(len(n.Inputs))]
		}
	case 2:
		if len(n.Inputs) > 0 {
			n.Inputs[r.IntN(len(n.Inputs))] = ""
		}
	case 3:
		names := []string{"axis", "axes", "group", "pads", "strides", "dilations", "kernel_shape", "perm", "transB", "keepdims", "ceil_mode", "blocksize"}
		name := names[r.IntN(len(names))]
		if r.IntN(2) == 0 {
			n.Attrs[name] = onnx.IntAttr(odd[r.IntN(len(odd))])
		} else {
			v := make([]int64, r.IntN(6))
			for i := range v {
				v[i] = odd[r.IntN(len(odd))]
			}
			n.Attrs[name] = onnx.IntsAttr(v...)
		}
	case 4:
		names := make([]string, 0, len(g.Initializers))
		for name := range g.Initializers {
			names = append(names, name)
		}
		sort.Strings(names)
		name := names[r.IntN(len(names))]
		dims := make([]int64, r.IntN(5))
		for i := range dims {
			dims[i] = int64(r.IntN(5))
		}
		g.Initializers[name] = onnx.NewTensor(onnx.Float32, dims...)
	case 5:
		n.Inputs = append(n.Inputs, g.Nodes[r.IntN(len(g.Nodes))].Outputs[0])
	case 6:
		g.Inputs[0].Shape = g.Inputs[0].Shape[:r.IntN(len(g.Inputs[0].Shape)+1)]
	case 7:
		if len(g.Inputs[0].Shape) == 0 {
			return
		}
		g.Inputs[0].Shape[r.IntN(len(g.Inputs[0].Shape))] = onnx.Const(odd[r.IntN(len(odd))])
	case 8:
		index := onnx.FromInt64([]int64{odd[r.IntN(len(odd))], odd[r.IntN(len(odd))]}, 2)
		g.Initializers["odd"] = index
		n.Op = ops[r.IntN(len(ops))]
		n.Inputs = append(n.Inputs[:min(1, len(n.Inputs))], "odd", "odd")
	}
}
