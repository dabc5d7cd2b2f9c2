package gradtest

import (
	"math/rand/v2"

	"winnow/onnx"
	"winnow/onnx/emit"
)

// recurrentCases checks LSTM, GRU and RNN, whose forward pass is ONNX Runtime's own kernel.
func recurrentCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	const steps, batch, features, hidden = 4, 3, 5, 2
	half := func(r *rand.Rand, _ int) float64 { return 0.7 * r.NormFloat64() }
	texts := func(v ...string) onnx.Attr { return onnx.Attr{Kind: onnx.AttrStrings, Strings: v} }
	for _, o := range []struct {
		op      string
		gates   int64
		outputs int
	}{{"LSTM", 4, 3}, {"GRU", 3, 2}, {"RNN", 1, 2}} {
		check := func(name string, directions int64, more emit.Attrs, bias, first bool) *Case {
			a := emit.Attrs{"hidden_size": ia(hidden)}
			for k, v := range more {
				a[k] = v
			}
			args := []Arg{Tensor(steps, batch, features), Tensor(directions, o.gates*hidden, features).Drawn(half),
				Tensor(directions, o.gates*hidden, hidden).Drawn(half)}
			if bias || first {
				args = append(args, Tensor(directions, 2*o.gates*hidden).Drawn(half))
			}
			if first {
				args = append(args, Arg{}, Tensor(directions, batch, hidden))
				if o.op == "LSTM" {
					args = append(args, Tensor(directions, batch, hidden))
				}
			}
			c := add(o.op, name, a, args...)
			smooth32(c)
			c.Tol = 5e-3
			return c
		}
		check("bare", 1, nil, false, false)
		check("bias", 1, nil, true, false)
		check("reverse", 1, emit.Attrs{"direction": sa("reverse")}, true, true)
		for _, all := range []bool{false, true} {
			name := "both"
			if all {
				name = "both-all"
			}
			c := check(name, 2, emit.Attrs{"direction": sa("bidirectional")}, true, true)
			c.Outputs, c.all = o.outputs, all
		}
		check("clipped", 1, emit.Attrs{"clip": fa(0.5)}, true, true).Step = 2e-3
		if o.op == "GRU" {
			check("after", 1, emit.Attrs{"linear_before_reset": ia(1)}, true, true)
			check("after-bare", 1, emit.Attrs{"linear_before_reset": ia(1)}, false, false)
			check("after-both", 2, emit.Attrs{"linear_before_reset": ia(1), "direction": sa("bidirectional")}, true, true)
			check("after-clipped", 1, emit.Attrs{"linear_before_reset": ia(1), "clip": fa(0.6)}, true, true).Step = 2e-3
		}
		if o.op == "RNN" {
			check("relu", 1, emit.Attrs{"activations": texts("Relu")}, true, true).Step = 2e-3
			check("relu-both", 2, emit.Attrs{"activations": texts("Relu", "Tanh"), "direction": sa("bidirectional")}, true, true).Step = 2e-3
		}
	}
	for _, op := range []string{"LSTM", "GRU", "RNN"} { // a sequence of one step
		gates := map[string]int64{"LSTM": 4, "GRU": 3, "RNN": 1}[op]
		smooth32(add(op, "one", emit.Attrs{"hidden_size": ia(3)}, Tensor(1, 2, 4), Tensor(1, 3*gates, 4), Tensor(1, 3*gates, 3)))
	}
}
