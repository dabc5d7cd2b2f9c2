package train

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	"winnow/train/traintest"
)

// drawn are images of 8x8, each with a mask of three classes, of which some
// pixels count for nothing, a vector of five numbers, and marks of those that count.
type drawn struct {
	n       int
	targets []loader.TargetSpec
}

const drawnSide, drawnOutputs = 8, 5

var (
	drawnMask   = loader.TargetSpec{Name: "mask", Kind: loader.MaskTarget, Type: loader.Uint8, Shape: []int{drawnSide, drawnSide}}
	drawnVector = loader.TargetSpec{Name: "y", Kind: loader.VectorTarget, Type: loader.Float32, Shape: []int{drawnOutputs}}
	drawnMarks  = loader.TargetSpec{Name: "m", Kind: loader.VectorTarget, Type: loader.Float32, Shape: []int{drawnOutputs}}
)

func (d drawn) Len() int                     { return d.n }
func (d drawn) Name() string                 { return "drawn" }
func (d drawn) Shape() (c, h, w int)         { return 1, drawnSide, drawnSide }
func (d drawn) Target(uint32) loader.Target  { return loader.NoClass(d.targets[0].Kind) }
func (d drawn) Targets() []loader.TargetSpec { return d.targets }

func (d drawn) Read(i uint32, r *loader.Record) error {
	pix, random := r.Raw(1, drawnSide, drawnSide), rand.New(rand.NewPCG(uint64(i), 1))
	for k := range pix {
		pix[k] = byte(random.IntN(256))
	}
	return nil
}

func (d drawn) ReadTarget(i uint32, k int, r *loader.Record) error {
	random := rand.New(rand.NewPCG(uint64(i), 2+uint64(len(d.targets[k].Name))))
	if d.targets[k].Kind == loader.MaskTarget {
		for p, dst := 0, r.Raw(1, drawnSide, drawnSide); p < len(dst); p++ {
			if dst[p] = byte(random.IntN(3)); random.IntN(1+int(i%7)) > 0 {
				dst[p] = 255
			}
		}
		return nil
	}
	b := r.Encoded(4 * drawnOutputs)
	for j := range drawnOutputs {
		v := random.Float32()
		if d.targets[k].Name == drawnMarks.Name {
			v = float32(random.IntN(2+int(i%5)) / (1 + int(i%5)))
		}
		binary.LittleEndian.PutUint32(b[4*j:], math.Float32bits(v))
	}
	return nil
}

// task is a bundle of a model of onnx/export's fixtures.
func task(t testing.TB, name string, o export.Options) *bundle.Bundle {
	t.Helper()
	m, err := wire.Read(filepath.Join("..", "onnx", "export", "testdata", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	o.Name = name
	return built(t, m, o)
}

func built(t testing.TB, m *onnx.Model, o export.Options) *bundle.Bundle {
	t.Helper()
	b, err := export.Build(m, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// markedLoss is a model of two targets with its own loss: the mean of squares
// over what is marked in the batch, of which no sample has a share of its own.
func markedLoss(t testing.TB) *bundle.Bundle {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	w := make([]float32, drawnSide*drawnSide*drawnOutputs)
	for i := range w {
		w[i] = float32(r.NormFloat64()) * 0.1
	}
	n, five := onnx.Symbol("N"), onnx.Const(drawnOutputs)
	g := &onnx.Graph{
		Inputs: []onnx.Value{{Name: "image", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(1), onnx.Const(drawnSide), onnx.Const(drawnSide)}},
			{Name: "y", DType: onnx.Float32, Shape: onnx.Shape{n, five}}, {Name: "m", DType: onnx.Float32, Shape: onnx.Shape{n, five}}},
		Outputs: []onnx.Value{{Name: "l", DType: onnx.Float32, Shape: onnx.Shape{}}, {Name: "share", DType: onnx.Float32, Shape: onnx.Shape{}},
			{Name: "scores", DType: onnx.Float32, Shape: onnx.Shape{n, five}}},
		Initializers: map[string]*onnx.Tensor{"w": onnx.FromFloat32(w, drawnSide*drawnSide, drawnOutputs), "one": onnx.FromFloat32([]float32{1})},
	}
	drop := map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}
	for _, n := range []*onnx.Node{
		{Op: "Flatten", Inputs: []string{"image"}, Outputs: []string{"flat"}},
		{Op: "MatMul", Inputs: []string{"flat", "w"}, Outputs: []string{"scores"}},
		{Op: "Sub", Inputs: []string{"scores", "y"}, Outputs: []string{"far"}},
		{Op: "Mul", Inputs: []string{"far", "far"}, Outputs: []string{"sq"}},
		{Op: "Mul", Inputs: []string{"sq", "m"}, Outputs: []string{"marked"}},
		{Op: "ReduceSum", Inputs: []string{"marked"}, Outputs: []string{"sum"}, Attrs: drop},
		{Op: "ReduceSum", Inputs: []string{"m"}, Outputs: []string{"marks"}, Attrs: drop},
		{Op: "Max", Inputs: []string{"marks", "one"}, Outputs: []string{"count"}},
		{Op: "Div", Inputs: []string{"sum", "count"}, Outputs: []string{"q"}},
		{Op: "Squeeze", Inputs: []string{"q"}, Outputs: []string{"l"}},
		{Op: "ReduceMean", Inputs: []string{"m"}, Outputs: []string{"share"}, Attrs: drop},
	} {
		n.Name = n.Outputs[0]
		g.Nodes = append(g.Nodes, n)
	}
	return built(t, &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}, export.Options{Name: "marked", Loss: export.NewLoss(bundle.NoLoss),
		Optimizer: bundle.Optimizer{Name: bundle.SGD, Momentum: 0.9}})
}

// taskCases are runs of tasks that are no class, with the loss of each sample and
// with the batch's alone, pruned by either.
func taskCases() []jobCase {
	ignore := int64(255)
	weighed := export.NewLoss(bundle.CrossEntropy)
	weighed.Ignore, weighed.ClassWeights = &ignore, []float64{0.5, 2, 1}
	dice := export.NewLoss(bundle.Dice)
	dice.Ignore = &ignore
	several := export.NewLoss(bundle.BCE)
	several.SoftTargets = true
	of := func(targets ...loader.TargetSpec) func(testing.TB, *Options) {
		return func(t testing.TB, o *Options) {
			o.Train, o.Test = traintest.Plain(t, drawn{300, targets}), traintest.Plain(t, drawn{8, targets}) // one batch: a model's own loss is measured by batches
			o.Unaugmented = nil
		}
	}
	boxes := func(t testing.TB, o *Options) {
		o.Train, o.Test = traintest.Plain(t, spots{150}), traintest.Plain(t, spots{40})
		o.Unaugmented = nil
	}
	make := func(name string, o export.Options) func(testing.TB) *bundle.Bundle {
		return func(t testing.TB) *bundle.Bundle { return task(t, name, o) }
	}
	return []jobCase{
		{Name: "mask", method: "infobatch", bundle: make("tasks.mask", export.Options{Loss: weighed}), change: of(drawnMask)},
		{Name: "mask-dice", method: "bls-infobatch", bundle: make("tasks.mask", export.Options{Loss: dice, BatchLossOnly: true}), change: of(drawnMask)},
		{Name: "vector", method: "infobatch", bundle: make("tasks.vector", export.Options{Loss: several}), change: of(drawnVector)},
		{Name: "two-targets", method: "bls-infobatch", bundle: markedLoss, change: of(drawnVector, drawnMarks)},
		{Name: "detector", method: "bls-infobatch", bundle: make("detect", export.Options{Loss: export.NewLoss(bundle.NoLoss)}), change: boxes},
	}
}

// Steps of four batches are those of one where what is learnt is no class.
func TestAccumulatedTasks(t *testing.T) {
	for _, c := range taskCases() {
		t.Run(c.Name, func(t *testing.T) {
			change := c.change
			run := func(batch, accum int) outcomeOfJob {
				c.accum = accum
				c.change = func(t testing.TB, o *Options) {
					change(t, o)
					o.BatchSize = batch
				}
				o, err := runCase(t, c, Job{}, filepath.Join(t.TempDir(), "run"))
				if err != nil {
					t.Fatal(err)
				}
				return o
			}
			c.compare(t, run(8, 4), run(32, 1))
		})
	}
}
