package autodiff

import (
	"math"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/infer"
)

// Which nodes run in half precision: p and q are made by products, f is
// float32, w and b are state. Each line is what torch.autocast's lists say of
// the like in PyTorch, but for the first ones of constants, which PyTorch's
// scalars are not rounded to either.
func TestWhatRunsInHalfPrecision(t *testing.T) {
	for _, c := range []struct {
		name string
		emit func(e *emitter) string
		half bool
	}{
		{"sum of two", func(e *emitter) string { return e.addOp("p", "q") }, true},
		{"sum with float32", func(e *emitter) string { return e.addOp("p", "f") }, false},
		{"constant that fits", func(e *emitter) string { return e.mul("p", e.scalar(0.125)) }, true},
		{"infinite constant", func(e *emitter) string {
			return e.where(e.greater("p", "q"), "p", e.floats([]float32{float32(math.Inf(1))}, 1))
		}, true},
		{"constant too small", func(e *emitter) string { return e.addOp("p", e.scalar(1e-5)) }, false},
		{"constant too large", func(e *emitter) string { return e.sub("p", e.scalar(1e9)) }, false},
		{"activation", func(e *emitter) string { return e.op("Relu", nil, "p") }, true},
		{"exponential", func(e *emitter) string { return e.op("Exp", nil, "p") }, false},
		{"power", func(e *emitter) string { return e.op("Pow", nil, "p", e.scalar(2)) }, false},
		{"softmax", func(e *emitter) string { return e.op("Softmax", nil, "p") }, false},
		{"reduction", func(e *emitter) string { return e.sum("p", true, 1) }, false},
		{"layer normalisation", func(e *emitter) string { return e.op("LayerNormalization", nil, "p", "b", "b") }, false},
		{"bias of a product", func(e *emitter) string { return e.addOp("p", "b") }, true},
		{"vector added to something else", func(e *emitter) string { return e.addOp(e.op("Relu", nil, "p"), "b") }, false},
		{"join with float32", func(e *emitter) string { return e.op("Concat", attrs{"axis": onnx.IntAttr(0)}, "p", "f") }, false},
		{"mask", func(e *emitter) string { return e.mul("p", e.cast(e.greater("f", e.scalar(0)), onnx.Float32)) }, true},
		{"scaled mask", func(e *emitter) string {
			return e.mul("p", e.mul(e.cast(e.greater("f", e.scalar(0)), onnx.Float32), e.scalar(1.25)))
		}, true},
		{"spread to the shape of a half value", func(e *emitter) string { return e.broadcast(e.sum("f", true, 1), "p") }, true},
		{"spread to the shape of a float32 value", func(e *emitter) string {
			return e.broadcast(e.op("Slice", nil, "p", e.ints(0), e.ints(1), e.ints(1)), "f")
		}, false},
		{"moved on the way to a product", func(e *emitter) string {
			moved := e.transpose("f", 1, 0)
			e.matmul(moved, "p")
			return moved
		}, true},
		{"moved on the way to a sum", func(e *emitter) string {
			moved := e.transpose("f", 1, 0)
			e.matmul(moved, "p")
			e.addOp(moved, "f")
			return moved
		}, false},
		{"scattered sum", func(e *emitter) string {
			return e.op("ScatterElements", attrs{"reduction": onnx.StringAttr("add")}, "p", e.constant(onnx.FromInt64(make([]int64, 16), 4, 4)), "q")
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &onnx.Graph{Name: "check", Initializers: map[string]*onnx.Tensor{}}
			for _, name := range []string{"f", "w"} {
				g.Inputs = append(g.Inputs, onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(4, 4)})
			}
			g.Inputs = append(g.Inputs, onnx.Value{Name: "b", DType: onnx.Float32, Shape: onnx.ShapeOf(4)})
			e := newEmitter(g, infer.New(g))
			e.named("p", "MatMul", nil, "f", "w")
			e.named("q", "MatMul", nil, "w", "f")
			name := c.emit(e)
			end := len(g.Nodes)
			e.halve(onnx.Float16, end, end, "", nil)
			if e.err != nil {
				t.Fatal(e.err)
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
		e := newEmitter(g, infer.New(g))
		e.named("scores", "MatMul", nil, "f", "f")
		loss, scores := len(g.Nodes), ""
		e.named("square", "Mul", nil, "scores", "scores")
		end := len(g.Nodes)
		if own {
			loss, scores = end, "scores"
		}
		e.halve(onnx.Float16, loss, end, scores, nil)
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
