package export

import (
	"math"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/emit"
	"winnow/onnx/infer"
)

// Which nodes run in half precision: p and q are made by products, f is
// float32, w and b are state. Each line is what torch.autocast's lists say of
// the like in PyTorch, but for the first ones of constants, which PyTorch's
// scalars are not rounded to either.
func TestWhatRunsInHalfPrecision(t *testing.T) {
	for _, c := range []struct {
		name string
		emit func(e *emit.Builder) string
		half bool
	}{
		{"sum of two", func(e *emit.Builder) string { return e.Add("p", "q") }, true},
		{"sum with float32", func(e *emit.Builder) string { return e.Add("p", "f") }, false},
		{"constant that fits", func(e *emit.Builder) string { return e.Mul("p", e.Scalar(0.125)) }, true},
		{"infinite constant", func(e *emit.Builder) string {
			return e.Where(e.Greater("p", "q"), "p", e.Float32s([]float32{float32(math.Inf(1))}, 1))
		}, true},
		{"constant too small", func(e *emit.Builder) string { return e.Add("p", e.Scalar(1e-5)) }, false},
		{"constant too large", func(e *emit.Builder) string { return e.Sub("p", e.Scalar(1e9)) }, false},
		{"activation", func(e *emit.Builder) string { return e.Emit("Relu", nil, "p") }, true},
		{"exponential", func(e *emit.Builder) string { return e.Emit("Exp", nil, "p") }, false},
		{"power", func(e *emit.Builder) string { return e.Emit("Pow", nil, "p", e.Scalar(2)) }, false},
		{"softmax", func(e *emit.Builder) string { return e.Emit("Softmax", nil, "p") }, false},
		{"reduction", func(e *emit.Builder) string { return e.Sum("p", true, 1) }, false},
		{"layer normalisation", func(e *emit.Builder) string { return e.Emit("LayerNormalization", nil, "p", "b", "b") }, false},
		{"bias of a product", func(e *emit.Builder) string { return e.Add("p", "b") }, true},
		{"vector added to something else", func(e *emit.Builder) string { return e.Add(e.Emit("Relu", nil, "p"), "b") }, false},
		{"join with float32", func(e *emit.Builder) string { return e.Emit("Concat", emit.Attrs{"axis": onnx.IntAttr(0)}, "p", "f") }, false},
		{"mask", func(e *emit.Builder) string { return e.Mul("p", e.Cast(e.Greater("f", e.Scalar(0)), onnx.Float32)) }, true},
		{"scaled mask", func(e *emit.Builder) string {
			return e.Mul("p", e.Mul(e.Cast(e.Greater("f", e.Scalar(0)), onnx.Float32), e.Scalar(1.25)))
		}, true},
		{"spread to the shape of a half value", func(e *emit.Builder) string { return e.Broadcast(e.Sum("f", true, 1), "p") }, true},
		{"spread to the shape of a float32 value", func(e *emit.Builder) string {
			return e.Broadcast(e.Emit("Slice", nil, "p", e.Int64s(0), e.Int64s(1), e.Int64s(1)), "f")
		}, false},
		{"moved on the way to a product", func(e *emit.Builder) string {
			moved := e.Transpose("f", 1, 0)
			e.MatMul(moved, "p")
			return moved
		}, true},
		{"moved on the way to a sum", func(e *emit.Builder) string {
			moved := e.Transpose("f", 1, 0)
			e.MatMul(moved, "p")
			e.Add(moved, "f")
			return moved
		}, false},
		{"scattered sum", func(e *emit.Builder) string {
			return e.Emit("ScatterElements", emit.Attrs{"reduction": onnx.StringAttr("add")}, "p", e.Constant(onnx.FromInt64(make([]int64, 16), 4, 4)), "q")
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}}
			for _, name := range []string{"f", "w"} {
				g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(4, 4)})
			}
			g.Inputs = append(g.Inputs, onnx.Value{Name: "b", DType: onnx.Float32, Shape: onnx.ShapeOf(4)})
			e := emit.New(g, infer.New(g))
			e.Named("p", "MatMul", nil, "f", "w")
			e.Named("q", "MatMul", nil, "w", "f")
			name := c.emit(e)
			end := len(g.Nodes)
			halve(e, onnx.Float16, end, end, "", nil)
			if e.Err != nil {
				t.Fatal(e.Err)
			}
			made := false // by a node that is not the cast of another
			for _, n := range g.Nodes {
				made = made || n.Outputs[0] == name+".float16" && n.Op != "Cast"
			}
			if made != c.half {
				t.Errorf("in half precision: %v, want %v\n%s", made, c.half, listing(g))
			}
		})
	}
}

// The loss is float32 though its scores are not, in a model that holds it too.
func TestLossIsSinglePrecision(t *testing.T) {
	for _, own := range []bool{true, false} {
		g := &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}}
		g.Inputs = append(g.Inputs, onnx.Value{Name: "f", DType: onnx.Float32, Shape: onnx.ShapeOf(4, 4)})
		e := emit.New(g, infer.New(g))
		e.Named("scores", "MatMul", nil, "f", "f")
		loss, scores := len(g.Nodes), ""
		e.Named("square", "Mul", nil, "scores", "scores")
		end := len(g.Nodes)
		if own {
			loss, scores = end, "scores"
		}
		halve(e, onnx.Float16, loss, end, scores, nil)
		if text := listing(g); !strings.Contains(text, "Mul scores scores -> square\n") {
			t.Errorf("own loss %v:\n%s", own, text)
		}
	}
}

func listing(g *onnx.Graph) string {
	var b strings.Builder
	for _, n := range g.Nodes {
		b.WriteString(n.Op + " " + strings.Join(n.Inputs, " ") + " -> " + strings.Join(n.Outputs, " ") + "\n")
	}
	return b.String()
}
