package autodiff

import (
	"math/rand/v2"

	"winnow/onnx"
)

// recurrentCases checks LSTM, GRU and RNN, whose forward pass is ONNX Runtime's own kernel.
func recurrentCases(add func(op, name string, a attrs, args ...arg) *gradCase) {
	const steps, batch, features, hidden = 4, 3, 5, 2
	half := func(r *rand.Rand, _ int) float64 { return 0.7 * r.NormFloat64() }
	texts := func(v ...string) onnx.Attr { return onnx.Attr{Kind: onnx.AttrStrings, Strings: v} }
	for _, o := range []struct {
		op      string
		gates   int64
		outputs int
	}{{"LSTM", 4, 3}, {"GRU", 3, 2}, {"RNN", 1, 2}} {
		check := func(name string, directions int64, more attrs, bias, first bool) *gradCase {
			a := attrs{"hidden_size": ia(hidden)}
			for k, v := range more {
				a[k] = v
			}
			args := []arg{tensor(steps, batch, features), tensor(directions, o.gates*hidden, features).drawn(half),
				tensor(directions, o.gates*hidden, hidden).drawn(half)}
			if bias || first {
				args = append(args, tensor(directions, 2*o.gates*hidden).drawn(half))
			}
			if first {
				args = append(args, arg{}, tensor(directions, batch, hidden))
				if o.op == "LSTM" {
					args = append(args, tensor(directions, batch, hidden))
				}
			}
			c := add(o.op, name, a, args...)
			smooth32(c)
			c.tol = 5e-3
			return c
		}
		check("bare", 1, nil, false, false)
		check("bias", 1, nil, true, false)
		check("reverse", 1, attrs{"direction": sa("reverse")}, true, true)
		for _, all := range []bool{false, true} {
			name := "both"
			if all {
				name = "both-all"
			}
			c := check(name, 2, attrs{"direction": sa("bidirectional")}, true, true)
			c.outputs, c.all = o.outputs, all
		}
		check("clipped", 1, attrs{"clip": fa(0.5)}, true, true).step = 2e-3
		if o.op == "GRU" {
			check("after", 1, attrs{"linear_before_reset": ia(1)}, true, true)
			check("after-bare", 1, attrs{"linear_before_reset": ia(1)}, false, false)
			check("after-both", 2, attrs{"linear_before_reset": ia(1), "direction": sa("bidirectional")}, true, true)
			check("after-clipped", 1, attrs{"linear_before_reset": ia(1), "clip": fa(0.6)}, true, true).step = 2e-3
		}
		if o.op == "RNN" {
			check("relu", 1, attrs{"activations": texts("Relu")}, true, true).step = 2e-3
			check("relu-both", 2, attrs{"activations": texts("Relu", "Tanh"), "direction": sa("bidirectional")}, true, true).step = 2e-3
		}
	}
	for _, op := range []string{"LSTM", "GRU", "RNN"} { // a sequence of one step
		gates := map[string]int64{"LSTM": 4, "GRU": 3, "RNN": 1}[op]
		smooth32(add(op, "one", attrs{"hidden_size": ia(3)}, tensor(1, 2, 4), tensor(1, 3*gates, 4), tensor(1, 3*gates, 3)))
	}
}
