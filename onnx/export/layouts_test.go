package export_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/nchwc"
	ortrun "winnow/runtime"
	"winnow/runtime/ortest"
)

var layoutSeeds = flag.Int("layout-seeds", 16, "how many networks TestLayoutsAgree and TestEvaluationsAgree draw")

// otherBlock is the size of a block that a machine does not have.
var otherBlock = map[int]int64{8: 16, 16: 8}

// Both layouts take the same step of networks drawn at random, whatever form
// each gradient takes; for the block that this machine does not have the graph
// is made and checked at least.
func TestLayoutsAgree(t *testing.T) {
	d := openDevice(t)
	block := d.ConvBlock()
	for seed := range *layoutSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := func() *onnx.Model { return randomNet(rand.New(rand.NewPCG(uint64(seed), 20))) }
			layoutsAgree(t, d, m, seed%3)
			if other := otherBlock[block]; other != 0 {
				build(t, m(), export.Options{Blocks: export.Blocks{Size: other, Insist: true}})
			}
		})
	}
}

// Networks drawn at random give the same scores by operators of package
// runtime/kernels as by ONNX Runtime's alone, most of them in blocks.
func TestEvaluationsAgree(t *testing.T) {
	d := openDevice(t)
	ortest.Kernels(t, d)
	inBlocks := 0
	for seed := range *layoutSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if evaluationsAgree(t, d, randomNet(rand.New(rand.NewPCG(uint64(seed), 20)))) {
				inBlocks++
			}
		})
	}
	if !t.Failed() && inBlocks < *layoutSeeds/2 {
		t.Errorf("%d of %d networks are evaluated in blocks", inBlocks, *layoutSeeds)
	}
}

// A tensor of no elements has no memory, and goes through the operators all the same.
func TestEmptyBranch(t *testing.T) {
	d := openDevice(t)
	ortest.Kernels(t, d)
	g := &onnx.Graph{Name: "empty", Inputs: []onnx.Value{batchOf("x", 3, 8, 8)}, Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32}}, Initializers: map[string]*onnx.Tensor{}}
	b := &netBuilder{r: rand.New(rand.NewPCG(1, 2)), g: g, values: []image{{"x", 3, 8, 8}}}
	x := b.norm(b.conv(b.conv(b.values[0])))
	features := b.node("Flatten", nil, b.node("GlobalAveragePool", nil, x.name))
	none := b.node("Slice", nil, features, b.ints(0), b.ints(0), b.ints(1))
	none = b.node("Relu", nil, b.node("Mul", nil, b.node("Add", nil, none, b.weight(1, 1)), none))
	joined := b.node("Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, features, none)
	g.Outputs[0].Name = b.node("Gemm", nil, joined, b.weight(1, x.c, 4))
	evaluationsAgree(t, d, &onnx.Model{IRVersion: 8, Opset: 18, Graph: g})
}

// A graph in blocks of either size comes apart into gradients and update where the
// portable one does, with operators of package runtime/kernels and without.
func TestHalvesOfLayouts(t *testing.T) {
	for seed := range *layoutSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for _, block := range []int64{8, 16} {
				for layout, kernels := range map[string]bool{bundle.LayoutNCHWC: false, bundle.LayoutKernels: true} {
					b := build(t, randomNet(rand.New(rand.NewPCG(uint64(seed), 20))), export.Options{
						Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
						Blocks: export.Blocks{Size: block, Kernels: kernels, Insist: true},
					})
					want, err := b.Halves(bundle.LayoutPortable)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := b.Halves(layout); err != nil || len(got.Sums) != len(want.Sums) {
						t.Errorf("blocks of %d, %s: %v", block, layout, err)
					}
				}
			}
		})
	}
}

// layoutsAgree takes one step in either layout, of whole blocks of images and of fewer.
func layoutsAgree(t *testing.T, d *ortrun.Device, m func() *onnx.Model, form int) {
	t.Helper()
	block := ortest.Block(t, d)
	o := export.Options{
		Optimizer: bundle.Optimizer{Momentum: 0.9},
		Images:    export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
		Blocks:    export.Blocks{Size: block, Insist: true},
		Forms:     export.Forms{Tune: func(cases []autodiff.Case) (*bundle.Tuned, error) { return choose(cases, form), nil }},
	}
	portable := build(t, m(), o)
	blocked := *portable
	blocked.Train = portable.Blocked
	for _, n := range []int{int(block), int(block) - 3} {
		want, got := oneStep(t, d, portable, n), oneStep(t, d, &blocked, n)
		whole := 0.0
		for name, w := range want {
			if portable.Init[name] != nil && len(w) > 0 {
				whole = max(whole, norm(w))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			w, g := want[name], got[name]
			diff := make([]float32, len(w))
			for i := range w {
				diff[i] = g[i] - w[i]
			}
			// Some gradients are 0, such as that of a bias before a normalisation: what is left is rounding.
			if e := norm(diff); !(e <= 1e-3*norm(w)+1e-5*whole) {
				t.Errorf("batch of %d: %s is %.3g apart, of %.3g", n, name, e, norm(w))
			}
		}
	}
}

// evaluationsAgree evaluates a model both ways with the values that training
// starts with; it tells whether it has images in blocks.
func evaluationsAgree(t *testing.T, d *ortrun.Device, m *onnx.Model) (inBlocks bool) {
	t.Helper()
	for _, n := range m.Graph.Nodes { // what drops in training does nothing here
		if n.Op == "Identity" {
			n.Op = "Dropout"
		}
	}
	b := build(t, m, export.Options{
		Images: export.ImageOptions{Float: true, Normalize: bundle.Normalize{Scale: 1}},
		Blocks: export.Blocks{Size: ortest.Block(t, d), Kernels: true, Insist: true},
	})
	for _, n := range []int{16, 5} {
		want, got := evaluation(t, d, b, bundle.LayoutPortable, n), evaluation(t, d, b, bundle.LayoutKernels, n)
		diff := make([]float32, len(want))
		for i := range want {
			diff[i] = got[i] - want[i]
		}
		if e := norm(diff); !(e <= 1e-5*norm(want)) {
			t.Errorf("scores of %d images are %.3g apart, of %.3g", n, e, norm(want))
		}
	}
	return bytes.Contains(b.BlockedEval, []byte(nchwc.Domain))
}

// evaluation is the scores of images drawn at random by a layout's graph.
func evaluation(t *testing.T, d *ortrun.Device, b *bundle.Bundle, layout string, n int) []float32 {
	t.Helper()
	f, err := b.Inference()
	if err != nil {
		t.Fatal(err)
	}
	_, state, _ := newTrainer(t, d, b, n)
	ev, err := d.NewEvaluator(ortrun.EvalSpec{
		Model: b.Evaluation(layout), State: f.State(), Images: slot(b.Manifest.Eval.Images), Logits: slot(b.Manifest.Eval.Logits),
	}, state, n)
	if err != nil {
		t.Fatal(err)
	}
	defer ev.Close()
	got, err := ev.Run(n, randomImages(b, n))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(got)
}

// randomImages are n images of a bundle's shape, of normal values.
func randomImages(b *bundle.Bundle, n int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	s := b.Manifest.ImageShape
	images := make([]float32, n*int(s[0]*s[1]*s[2]))
	for i := range images {
		images[i] = float32(r.NormFloat64())
	}
	return onnx.FromFloat32(images, int64(len(images))).Data
}

// oneStep is the state and the losses after a step on images and labels drawn at random.
func oneStep(t *testing.T, d *ortrun.Device, b *bundle.Bundle, n int) map[string][]float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(8, uint64(n)))
	in := ortrun.StepInput{N: n, Images: randomImages(b, n), LearningRate: 0.01}
	for range n {
		in.Labels = append(in.Labels, r.Int64N(b.Manifest.Classes))
	}
	trainer, state, index := newTrainer(t, d, b, n)
	var out ortrun.StepOutput
	if err := trainer.Step(&in, &out); err != nil {
		t.Fatal(err)
	}
	after := map[string][]float32{"losses": out.PerSample}
	for name, i := range index {
		after[name] = readState(t, state, i, b.Init[name])
	}
	return after
}

// netBuilder grows a network of images of sizes and channels that blocks do and do not divide.
type netBuilder struct {
	r      *rand.Rand
	g      *onnx.Graph
	values []image
}

type image struct {
	name    string
	c, h, w int64
}

func (b *netBuilder) pick() image { return b.values[b.r.IntN(len(b.values))] }

// recent is one of the last values, so that networks get deep.
func (b *netBuilder) recent() image {
	return b.values[max(0, len(b.values)-1-b.r.IntN(3))]
}

func (b *netBuilder) node(op string, a map[string]onnx.Attr, in ...string) string {
	return b.nodes(op, 1, a, in...)[0]
}

func (b *netBuilder) nodes(op string, outputs int, a map[string]onnx.Attr, in ...string) []string {
	name := fmt.Sprintf("%s_%d", op, len(b.g.Nodes))
	n := &onnx.Node{Name: name, Op: op, Inputs: in, Attrs: a}
	for i := range outputs {
		n.Outputs = append(n.Outputs, fmt.Sprintf("%s_out%d", name, i))
	}
	b.g.Nodes = append(b.g.Nodes, n)
	return n.Outputs
}

func (b *netBuilder) weight(scale float64, dims ...int64) string {
	return drawn(b.g, b.r, fmt.Sprintf("w%d", len(b.g.Initializers)), scale, dims...)
}

func (b *netBuilder) ints(v ...int64) string {
	name := fmt.Sprintf("i%d", len(b.g.Initializers))
	b.g.Initializers[name] = onnx.FromInt64(v, int64(len(v)))
	return name
}

func (b *netBuilder) add(name string, c, h, w int64) image {
	v := image{name, c, h, w}
	b.values = append(b.values, v)
	return v
}

// width is a number of channels: whole blocks, half blocks, or anything.
func (b *netBuilder) width() int64 {
	switch b.r.IntN(3) {
	case 0:
		return 16 * (1 + b.r.Int64N(4))
	case 1:
		return 8 * (1 + b.r.Int64N(7))
	}
	return 1 + b.r.Int64N(100)
}

func (b *netBuilder) conv(x image) image {
	kh, kw := 1+b.r.Int64N(3), 1+b.r.Int64N(3)
	sh, sw, dh, dw := int64(1), int64(1), int64(1), int64(1)
	switch b.r.IntN(5) {
	case 0:
		sh, sw = 1+b.r.Int64N(3), 1+b.r.Int64N(3)
	case 1:
		dh, dw = 1+b.r.Int64N(2), 1+b.r.Int64N(2)
	}
	pads := []int64{b.r.Int64N(kh * dh), b.r.Int64N(kw * dw), b.r.Int64N(kh * dh), b.r.Int64N(kw * dw)}
	h, w := (x.h+pads[0]+pads[2]-(kh-1)*dh-1)/sh+1, (x.w+pads[1]+pads[3]-(kw-1)*dw-1)/sw+1
	if x.h+pads[0]+pads[2] <= (kh-1)*dh || x.w+pads[1]+pads[3] <= (kw-1)*dw || h > 16 || w > 16 {
		return x
	}
	out, group := b.width(), int64(1)
	switch b.r.IntN(4) {
	case 0: // by channel
		out, group = x.c, x.c
	case 1:
		for _, g := range []int64{2, 3, 4, 5} {
			if x.c%g == 0 {
				group, out = g, g*(1+b.r.Int64N(24))
			}
		}
	}
	filter := b.weight(1/math.Sqrt(float64(x.c/group*kh*kw)), out, x.c/group, kh, kw)
	if b.r.IntN(6) == 0 { // of its norm, as torch.nn.utils.parametrizations.weight_norm has it
		length := b.node("Sqrt", nil, b.node("ReduceSum", nil, b.node("Mul", nil, filter, filter), b.ints(1, 2, 3)))
		filter = b.node("Mul", nil, filter, b.node("Div", nil, b.weight(1, out, 1, 1, 1), length))
	}
	in := []string{x.name, filter}
	if b.r.IntN(2) == 0 {
		in = append(in, b.weight(0.1, out))
	}
	y := b.node("Conv", map[string]onnx.Attr{
		"kernel_shape": onnx.IntsAttr(kh, kw), "strides": onnx.IntsAttr(sh, sw), "dilations": onnx.IntsAttr(dh, dw),
		"pads": onnx.IntsAttr(pads...), "group": onnx.IntAttr(group),
	}, in...)
	return b.add(y, out, h, w)
}

func (b *netBuilder) norm(x image) image {
	mean, variance := b.weight(0.1, x.c), fmt.Sprintf("v%d", len(b.g.Initializers))
	b.g.Initializers[variance] = filled(1, x.c)
	return b.add(b.node("BatchNormalization", nil, x.name, b.weight(1, x.c), b.weight(0.1, x.c), mean, variance), x.c, x.h, x.w)
}

func (b *netBuilder) pool(x image) image {
	op := []string{"MaxPool", "AveragePool"}[b.r.IntN(2)]
	k, s := 2+b.r.Int64N(2), 1+b.r.Int64N(3)
	pad := b.r.Int64N(2)
	if x.h+2*pad < k || x.w+2*pad < k {
		return x
	}
	a := map[string]onnx.Attr{"kernel_shape": onnx.IntsAttr(k, k), "strides": onnx.IntsAttr(s, s), "pads": onnx.IntsAttr(pad, pad, pad, pad)}
	return b.add(b.node(op, a, x.name), x.c, (x.h+2*pad-k)/s+1, (x.w+2*pad-k)/s+1)
}

func (b *netBuilder) concat(x image) image {
	in, c := []string{x.name}, x.c
	for range 1 + b.r.IntN(3) {
		if y := b.pick(); y.h == x.h && y.w == x.w && c+y.c < 200 {
			in, c = append(in, y.name), c+y.c
		}
	}
	return b.add(b.node("Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(1 - 4*b.r.Int64N(2))}, in...), c, x.h, x.w)
}

func (b *netBuilder) split(x image) image {
	if x.c < 3 {
		return x
	}
	first := 1 + b.r.Int64N(x.c-2)
	if x.c > 8 && b.r.IntN(2) == 0 {
		first = 8 * (1 + b.r.Int64N((x.c-1)/8))
	}
	if b.r.IntN(2) == 0 {
		return b.add(b.node("Slice", nil, x.name, b.ints(x.c-first), b.ints(math.MaxInt64), b.ints(1)), first, x.h, x.w)
	}
	parts := b.nodes("Split", 2, map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, x.name, b.ints(first, x.c-first))
	b.add(parts[1], x.c-first, x.h, x.w)
	return b.add(parts[0], first, x.h, x.w)
}

func (b *netBuilder) resize(x image) image {
	if x.h*x.w > 64 {
		return x
	}
	scales := fmt.Sprintf("s%d", len(b.g.Initializers))
	b.g.Initializers[scales] = onnx.FromFloat32([]float32{1, 1, 2, 2}, 4)
	a := map[string]onnx.Attr{"mode": onnx.StringAttr("nearest"), "nearest_mode": onnx.StringAttr("floor"), "coordinate_transformation_mode": onnx.StringAttr("asymmetric")}
	return b.add(b.node("Resize", a, x.name, "", scales), x.c, 2*x.h, 2*x.w)
}

// gate multiplies images by a factor for each channel, made of their means.
func (b *netBuilder) gate(x image) image {
	mean := b.node("GlobalAveragePool", nil, x.name)
	factor := b.node("Sigmoid", nil, b.node("Conv", nil, mean, b.weight(0.3, x.c, x.c, 1, 1)))
	return b.add(b.node("Mul", nil, x.name, factor), x.c, x.h, x.w)
}

func (b *netBuilder) both(x image) image {
	for _, y := range b.values {
		if y.name != x.name && y.c == x.c && y.h == x.h && y.w == x.w && b.r.IntN(2) == 0 {
			return b.add(b.node([]string{"Add", "Mul", "Sub", "Max"}[b.r.IntN(4)], nil, x.name, y.name), x.c, x.h, x.w)
		}
	}
	return b.conv(x)
}

func (b *netBuilder) elementwise(x image) image {
	op := []string{"Relu", "Tanh", "Sigmoid", "HardSwish", "LeakyRelu", "Elu", "Identity"}[b.r.IntN(7)]
	return b.add(b.node(op, nil, x.name), x.c, x.h, x.w)
}

// shuffle exchanges channels between groups.
func (b *netBuilder) shuffle(x image) image {
	if x.c%2 != 0 {
		return x
	}
	y := b.node("Reshape", nil, x.name, b.ints(0, 2, x.c/2, x.h, x.w))
	y = b.node("Transpose", map[string]onnx.Attr{"perm": onnx.IntsAttr(0, 2, 1, 3, 4)}, y)
	return b.add(b.node("Reshape", nil, y, b.ints(-1, x.c, x.h, x.w)), x.c, x.h, x.w)
}

func randomNet(r *rand.Rand) *onnx.Model {
	c, h, w := 1+r.Int64N(4), 3+r.Int64N(8), 3+r.Int64N(8)
	g := &onnx.Graph{Name: "random", Inputs: []onnx.Value{batchOf("x", c, h, w)}, Outputs: []onnx.Value{{Name: "y", DType: onnx.Float32}}, Initializers: map[string]*onnx.Tensor{}}
	b := &netBuilder{r: r, g: g, values: []image{{"x", c, h, w}}}
	b.conv(b.conv(b.values[0]))
	steps := []func(image) image{b.conv, b.conv, b.conv, b.norm, b.norm, b.pool, b.concat, b.concat, b.split, b.resize, b.gate, b.both, b.both, b.elementwise, b.elementwise, b.shuffle}
	for range 6 + r.IntN(12) {
		steps[r.IntN(len(steps))](b.recent())
	}
	x := b.norm(b.values[len(b.values)-1])
	features := b.node("Flatten", nil, b.node("GlobalAveragePool", nil, b.node("Tanh", nil, x.name)))
	head := b.node("Gemm", nil, features, b.weight(1/math.Sqrt(float64(x.c)), x.c, 4))
	g.Outputs[0].Name = head
	return &onnx.Model{IRVersion: 8, Opset: 18, Graph: g}
}
