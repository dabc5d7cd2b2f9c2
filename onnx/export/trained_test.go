package export_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// statesOf builds a bundle and tells the state of each tensor, and what was said.
func statesOf(t *testing.T, m *onnx.Model, o export.Options) (*bundle.Bundle, map[string]export.Tensor, string) {
	t.Helper()
	states, said := map[string]export.Tensor{}, ""
	o.Warn = func(s string) { said += s + "\n" }
	o.Decided = func(list []export.Tensor) {
		for _, tensor := range list {
			states[tensor.Name] = tensor
		}
	}
	return build(t, m, o), states, said
}

func trainedNames(b *bundle.Bundle) (names []string) {
	for _, s := range b.Manifest.State {
		if s.Kind == bundle.KindParameter {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

func fixture(t *testing.T, name string) *onnx.Model {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(data, "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var buffersParams = []string{"block.bias", "block.weight", "conv.bias", "conv.weight", "head.bias", "head.weight", "norm.bias", "norm.weight", "temperature"}

// Buffers, constants and frozen statistics stay, what a model uses twice is one
// parameter, and the rest trains as in PyTorch; testdata/gen_trained.py made the record.
func TestTrainedAsInPyTorch(t *testing.T) {
	d := openDevice(t)
	want, _ := readFixture(t, "trained.safetensors.gz")
	for name, c := range map[string]struct {
		file, record string
		o            export.Options
		trained      []string
	}{
		"kinds":      {"trained.dynamo.onnx", "buffers", export.Options{}, buffersParams},
		"roles":      {"trained.ts.onnx", "buffers", export.Options{Selection: export.Selection{Freeze: regexp.MustCompile("^pe$"), Train: regexp.MustCompile("^temperature$")}}, buffersParams},
		"statistics": {"trained.norm.onnx", "norm", export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(`^bn\.running`)}}, []string{"bn.bias", "bn.weight", "conv.bias", "conv.weight", "head.bias", "head.weight"}},
		"one of two": {"trained.norm.onnx", "norm", export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(`^bn\.running_var`)}}, []string{"bn.bias", "bn.weight", "conv.bias", "conv.weight", "head.bias", "head.weight"}},
		"affine":     {"trained.norm.onnx", "fixed", export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(`^bn\.(weight|bias)$`)}}, []string{"conv.bias", "conv.weight", "head.bias", "head.weight"}},
		"all norms":  {"trained.norm.onnx", "fixed", export.Options{Selection: export.Selection{FreezeNorms: true}}, []string{"conv.bias", "conv.weight", "head.bias", "head.weight"}},
		"blocked":    {"trained.norm.onnx", "norm", export.Options{Selection: export.Selection{Freeze: regexp.MustCompile(`^bn\.running`)}, Blocks: export.Blocks{Size: blockOf(t, d)}}, []string{"bn.bias", "bn.weight", "conv.bias", "conv.weight", "head.bias", "head.weight"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Images.Float, c.o.Images.Normalize = true, bundle.Normalize{Scale: 1}
			b, _, said := statesOf(t, fixture(t, c.file), c.o)
			if got := trainedNames(b); !slices.Equal(got, c.trained) {
				t.Fatalf("trained are %q, want %q; said %s", got, c.trained, said)
			}
			if b.Manifest.Blocked != nil {
				b.Train = b.Blocked
			}
			trainer, state, index := newTrainer(t, d, b, 8)
			losses, x, labels := float64s(want[c.record+"/loss"]), want["x"].Data, want["labels"].Int64s()
			var out ortrun.StepOutput
			for k := range losses {
				size := len(x) / len(losses)
				in := ortrun.StepInput{N: 8, Images: x[k*size : (k+1)*size], Labels: labels[k*8 : (k+1)*8], LearningRate: 0.1}
				if err := trainer.Step(&in, &out); err != nil {
					t.Fatal(err)
				}
				if diff := math.Abs(float64(out.Loss) - losses[k]); !(diff <= 1e-5) {
					t.Errorf("step %d: loss %v, want %v", k+1, out.Loss, losses[k])
				}
			}
			for _, p := range c.trained {
				near(t, p, readState(t, state, index[p], b.Init[p]), want[c.record+"/param/"+p].Float32s(), 1e-4)
			}
		})
	}
}

// blockOf is a block of channels: that of the machine, or the smaller of the two there are.
func blockOf(_ *testing.T, d *ortrun.Device) int64 { return int64(max(d.ConvBlock(), 8)) }

// Where a file says nothing, tensors are told apart by what the graph does with
// them and by their numbers.
func TestRoles(t *testing.T) {
	const side = 8
	r := rand.New(rand.NewPCG(1, 2))
	random := func(dims ...int64) *onnx.Tensor {
		g := &onnx.Graph{Initializers: map[string]*onnx.Tensor{}}
		return g.Initializers[drawn(g, r, "t", 0.3, dims...)]
	}
	made := func(f func(i int) float64, dims ...int64) *onnx.Tensor {
		v := make([]float32, onnx.NewTensor(onnx.Float32, dims...).Len())
		for i := range v {
			v[i] = float32(f(i))
		}
		return onnx.FromFloat32(v, dims...)
	}
	wave := func(i int) float64 { // [8, 8]: sines, then cosines
		row, k := i/side, i%side
		return math.Sin(float64(row)/math.Pow(100, float64(k%4)/4) + math.Pi/2*float64(k/4))
	}
	grid := func(i int) float64 { return float64([]int{i / 16, i / 2 % 8}[i%2])/3.5 - 1 }
	softmax := op("Softmax", map[string]onnx.Attr{"axis": onnx.IntAttr(-1)}, "z", "m")
	for name, c := range map[string]struct {
		t      *onnx.Tensor
		nodes  []*onnx.Node // from f [N, 8, 8], behind a layer, or i [N, 8, 8], the images, to z [N, 8, 8]
		state  string
		unsure bool
	}{
		"mean of images":         {made(func(int) float64 { return 0.4 }, 1, 1, 1), []*onnx.Node{op("Sub", nil, "a", "i", "t"), op("MatMul", nil, "z", "a", "w")}, export.StateFixed, false},
		"mean image":             {random(8, 8), []*onnx.Node{op("Sub", nil, "a", "i", "t"), op("MatMul", nil, "z", "a", "w")}, export.StateFixed, false},
		"deviation of images":    {made(func(int) float64 { return 0.2 }, 1), []*onnx.Node{op("Div", nil, "a", "i", "t"), op("MatMul", nil, "z", "a", "w")}, export.StateFixed, false},
		"bias":                   {made(func(int) float64 { return 0 }, 8), []*onnx.Node{op("MatMul", nil, "a", "f", "w"), op("Add", nil, "z", "a", "t")}, export.StateTrained, false},
		"bias of one":            {random(1), []*onnx.Node{op("MatMul", nil, "a", "f", "one"), op("Add", nil, "b", "a", "t"), op("Add", nil, "z", "f", "b")}, export.StateTrained, false},
		"slope":                  {made(func(int) float64 { return 0.25 }), []*onnx.Node{op("PRelu", nil, "z", "f", "t")}, export.StateTrained, false},
		"exponent":               {made(func(int) float64 { return 2 }, 1), []*onnx.Node{op("Pow", nil, "z", "f", "t")}, export.StateFixed, false},
		"clip bound":             {made(func(int) float64 { return -1 }), []*onnx.Node{op("Clip", nil, "z", "f", "t")}, "", false},
		"epsilon":                {made(func(int) float64 { return 1e-5 }, 1), []*onnx.Node{op("Mul", nil, "a", "f", "f"), op("Add", nil, "b", "a", "t"), op("Sqrt", nil, "z", "b")}, export.StateFixed, false},
		"causal mask":            {made(func(i int) float64 { return map[bool]float64{true: -100, false: 0}[i%8 > i/8] }, 8, 8), []*onnx.Node{op("Add", nil, "m", "f", "t"), softmax}, export.StateFixed, false},
		"infinite mask":          {made(func(i int) float64 { return map[bool]float64{true: math.Inf(-1), false: 0}[i%8 > i/8] }, 8, 8), []*onnx.Node{op("Add", nil, "m", "f", "t"), softmax}, export.StateFixed, false},
		"mask of ones":           {made(func(i int) float64 { return float64(i % 2) }, 8, 8), []*onnx.Node{op("Mul", nil, "z", "f", "t")}, export.StateFixed, false},
		"relative position bias": {random(8, 8), []*onnx.Node{op("Add", nil, "m", "f", "t"), softmax}, export.StateTrained, true},
		"learned positions":      {random(1, 8, 8), []*onnx.Node{op("Add", nil, "z", "f", "t")}, export.StateTrained, true},
		"waves":                  {made(wave, 1, 8, 8), []*onnx.Node{op("Add", nil, "z", "f", "t")}, export.StateFixed, false},
		"waves and a token": {made(func(i int) float64 {
			if i < 8 {
				return 0
			}
			return wave(i)
		}, 1, 8, 8), []*onnx.Node{op("Add", nil, "z", "f", "t")}, export.StateFixed, false},
		"frequencies":   {made(func(i int) float64 { return math.Pow(100, -float64(i)/8) }, 8), []*onnx.Node{op("Mul", nil, "a", "positions", "t"), op("Sin", nil, "b", "a"), op("Add", nil, "z", "f", "b")}, export.StateFixed, false},
		"coordinates":   {made(grid, 8, 8, 2), []*onnx.Node{op("MatMul", nil, "a", "t", "two"), op("Relu", nil, "b", "a"), op("MatMul", nil, "c", "b", "last"), op("Reshape", nil, "d", "c", "square"), op("Add", nil, "z", "f", "d")}, export.StateFixed, false},
		"latent":        {random(8, 8), []*onnx.Node{op("MatMul", nil, "a", "t", "w"), op("Add", nil, "z", "f", "a")}, export.StateTrained, true},
		"token":         {made(func(int) float64 { return 0 }, 1, 1, 8), []*onnx.Node{op("Slice", nil, "a", "f", "from", "upto", "axis"), op("Mul", nil, "b", "a", "zero"), op("Add", nil, "c", "b", "t"), op("Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(1)}, "d", "a", "c"), op("Slice", nil, "z", "d", "from1", "upto8", "axis")}, export.StateTrained, true},
		"layer scale":   {made(func(int) float64 { return 1e-5 }, 8), []*onnx.Node{op("Mul", nil, "z", "f", "t")}, export.StateTrained, true},
		"affine":        {random(8), []*onnx.Node{op("Mul", nil, "a", "f", "t"), op("Add", nil, "z", "a", "shift")}, export.StateTrained, false},
		"lone constant": {made(func(int) float64 { return 0.125 }, 1), []*onnx.Node{op("Mul", nil, "z", "f", "t")}, export.StateTrained, true},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := append([]*onnx.Node{op("Reshape", nil, "i", "x", "image"), op("MatMul", nil, "f", "i", "first")}, c.nodes...)
			nodes = append(nodes, op("Reshape", nil, "flat", "z", "row"), op("MatMul", nil, "y", "flat", "h"))
			m := tiny(map[string][]int64{"first": {8, 8}, "w": {8, 8}, "one": {8, 1}, "two": {2, 4}, "last": {4, 1}, "h": {64, 3}, "shift": {8}}, nodes...)
			g := m.Graph
			g.Inputs[0] = batchOf("x", 64)
			g.Initializers["t"] = c.t
			g.Initializers["positions"] = made(func(i int) float64 { return float64(i) }, 8, 1)
			g.Initializers["zero"] = onnx.FromFloat32([]float32{0})
			for name, v := range map[string][]int64{"image": {-1, 8, 8}, "row": {-1, 64}, "square": {8, 8}, "from": {0}, "upto": {1}, "from1": {0}, "upto8": {8}, "axis": {1}} {
				g.Initializers[name] = onnx.FromInt64(v, int64(len(v)))
			}
			if name == "token" { // eight rows again
				g.Initializers["upto"], g.Initializers["upto8"] = onnx.FromInt64([]int64{7}, 1), onnx.FromInt64([]int64{8}, 1)
			}
			_, states, said := statesOf(t, m, export.Options{})
			got := states["t"]
			if got.State != c.state || got.Unsure != c.unsure {
				t.Errorf("%+v, want %s, unsure %v; said %s", got, c.state, c.unsure, said)
			}
			if named := strings.Contains(said, `"t" [`); named != c.unsure {
				t.Errorf("said %s", said)
			}
		})
	}
}

// A grouped convolution with the same filters for each channel is a blur; with filters of their own it is a layer.
func TestFixedFilters(t *testing.T) {
	blur := []float32{1, 2, 1, 2, 4, 2, 1, 2, 1}
	for name, c := range map[string]struct {
		change func(v []float32)
		state  string
	}{
		"blur":  {func([]float32) {}, export.StateFixed},
		"layer": {func(v []float32) { v[10] += 0.5 }, export.StateTrained},
		"identity": {func(v []float32) {
			for i := range v {
				v[i] = float32(map[bool]int{true: 1}[i%9 == 4])
			}
		}, export.StateTrained},
	} {
		v := slices.Concat(blur, blur)
		for i := range v {
			v[i] /= 16
		}
		c.change(v)
		m := tiny(map[string][]int64{"w": {2, 1, 1, 1}, "h": {8, 3}},
			op("Reshape", nil, "i", "x", "image"), op("Conv", nil, "a", "i", "w"), op("Conv", map[string]onnx.Attr{"group": onnx.IntAttr(2)}, "b", "a", "t"),
			op("Reshape", nil, "c", "b", "row"), op("MatMul", nil, "y", "c", "h"))
		m.Graph.Initializers["t"] = onnx.FromFloat32(v, 2, 1, 3, 3)
		m.Graph.Initializers["image"], m.Graph.Initializers["row"] = onnx.FromInt64([]int64{-1, 1, 4, 4}, 4), onnx.FromInt64([]int64{-1, 8}, 2)
		if _, states, _ := statesOf(t, m, export.Options{}); states["t"].State != c.state {
			t.Errorf("%s: %+v", name, states["t"])
		}
	}
}

// Biases of queries and values train where that of the keys is a zero between them.
func TestKeyBias(t *testing.T) {
	m := tiny(map[string][]int64{"w": {16, 12}, "h": {12, 3}, "q": {4}, "v": {4}},
		op("MatMul", nil, "a", "x", "w"), op("Concat", map[string]onnx.Attr{"axis": onnx.IntAttr(0)}, "qkv", "q", "k", "v"),
		op("Add", nil, "b", "a", "qkv"), op("MatMul", nil, "y", "b", "h"))
	m.Graph.Initializers["k"] = filled(0, 4)
	b, _, _ := statesOf(t, m, export.Options{})
	if got := trainedNames(b); !slices.Equal(got, []string{"h", "q", "v", "w"}) {
		t.Errorf("trained are %q", got)
	}
}

// What is surely trained is built without a copy of its numbers.
func TestSureWeightsAreNotCopied(t *testing.T) {
	const wide = 1 << 18
	m := tiny(map[string][]int64{"w": {16, wide}, "h": {wide, 3}}, op("MatMul", nil, "a", "x", "w"), op("MatMul", nil, "y", "a", "h"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b := build(t, m, export.Options{})
	runtime.ReadMemStats(&after)
	if got := trainedNames(b); !slices.Equal(got, []string{"h", "w"}) {
		t.Errorf("trained are %q", got)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 3*wide {
		t.Errorf("%d bytes allocated for %d of weights", used, 4*wide*(16+3))
	}
}

// --train and --freeze settle what is unsure, and are refused where they settle nothing.
func TestTrainAndFreeze(t *testing.T) {
	model := func() *onnx.Model {
		m := tiny(map[string][]int64{"w": {16, 8}, "h": {8, 3}, "gate": {8}}, op("MatMul", nil, "a", "x", "w"),
			op("BatchNormalization", nil, "n", "a", "scale", "shift", "mean", "var"), op("Mul", nil, "b", "n", "gate"),
			op("Mul", nil, "c", "b", "temperature"), op("MatMul", nil, "y", "c", "h"))
		for name, v := range map[string]float32{"scale": 1, "shift": 0, "mean": 0.5, "var": 2} {
			m.Graph.Initializers[name] = filled(v, 8)
		}
		m.Graph.Initializers["temperature"] = onnx.FromFloat32([]float32{1.5})
		return m
	}
	for _, c := range []struct {
		train, freeze, want string
		norms               bool
	}{
		{want: "gate h scale shift w mean. var."},
		{train: "temp", want: "gate h scale shift temperature w mean. var."},
		{train: "temp", freeze: "^(temp|gate)", want: ""},
		{freeze: "^gate$", want: "h scale shift w mean. var."},
		{freeze: "^mean$", want: "gate h scale shift w"},
		{freeze: "^(scale|shift)$", want: "gate h w"},
		{freeze: "^scale$", want: "gate h shift w mean. var."},
		{freeze: "^nothing$", want: ""}, {train: "^nothing$", want: ""}, {train: "^mean$", want: ""},
		{norms: true, want: ""}, // it normalises vectors, no images
	} {
		o := export.Options{Selection: export.Selection{FreezeNorms: c.norms}}
		if c.train != "" {
			o.Selection.Train = regexp.MustCompile(c.train)
		}
		if c.freeze != "" {
			o.Selection.Freeze = regexp.MustCompile(c.freeze)
		}
		b, err := export.Build(model(), o)
		if (err != nil) != (c.want == "") {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		got := trainedNames(b)
		for _, s := range b.Manifest.State {
			if s.Kind == bundle.KindBuffer {
				got = append(got, s.Name+".")
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%+v: %s", c, text)
		}
	}
}

// What the exporter merged is told from what the author uses twice.
func TestTiedTensors(t *testing.T) {
	shared := func(g map[string]*onnx.Tensor) { g["zero"] = filled(0, 8) }
	twice := func(second string) []*onnx.Node {
		return []*onnx.Node{op("Gemm", nil, "a", "x", "first", "b1"), op("Gemm", nil, "b", "a", "w", "zero"), op("Tanh", nil, "c", "b"),
			op("Gemm", nil, "d", "c", second, "zero"), op("Gemm", nil, "y", "d", "h", "b2")}
	}
	identities := append([]*onnx.Node{op("Identity", nil, "l1.bias", "zero"), op("Identity", nil, "l2.bias", "zero")},
		op("Gemm", nil, "a", "x", "first", "b1"), op("Gemm", nil, "b", "a", "w", "l1.bias"), op("Gemm", nil, "c", "b", "v", "l2.bias"),
		op("Gemm", nil, "d", "c", "w", "l1.bias"), op("Gemm", nil, "y", "d", "h", "b2"))
	for name, c := range map[string]struct {
		nodes []*onnx.Node
		more  func(g *onnx.Graph)
		want  string
		says  string
	}{
		"a layer used twice":           {twice("w"), nil, "zero", "stay one parameter for all uses: \"zero\""},
		"two layers":                   {twice("v"), nil, "zero zero.2", "1 uses get their own"},
		"equal tensors apart":          {twice("v"), func(g *onnx.Graph) { g.Initializers["b1"] = filled(0, 8) }, "zero", ""},
		"kinds, without the optimizer": {append([]*onnx.Node{op("Constant", map[string]onnx.Attr{"value": onnx.TensorAttr(onnx.FromInt64([]int64{1}, 1))}, "k")}, twice("v")...), func(g *onnx.Graph) { g.Kinds = map[string]onnx.Kind{"zero": onnx.KindParameter} }, "zero", ""},
		"kinds, with the optimizer":    {twice("v"), func(g *onnx.Graph) { g.Kinds = map[string]onnx.Kind{"zero": onnx.KindParameter} }, "zero zero.2", "1 uses get their own"},
		"names kept":                   {identities, nil, "l1.bias l2.bias", "2 uses get their own"},
	} {
		t.Run(name, func(t *testing.T) {
			m := tiny(map[string][]int64{"first": {16, 8}, "w": {8, 8}, "v": {8, 8}, "h": {8, 3}, "b1": {8}, "b2": {3}}, c.nodes...)
			shared(m.Graph.Initializers)
			if c.more != nil {
				c.more(m.Graph)
			}
			b, _, said := statesOf(t, m, export.Options{})
			got := slices.DeleteFunc(trainedNames(b), func(s string) bool { return !strings.HasPrefix(s, "zero") && !strings.HasPrefix(s, "l") })
			if text := strings.Join(got, " "); text != c.want || !strings.Contains(said, c.says) || c.says == "" && strings.Contains(said, "equal elements") {
				t.Errorf("trained are %s, want %s; said %s", text, c.want, said)
			}
		})
	}
}

// A bundle says which tensors stay and how few samples a step may have, and keeps both when it is rebuilt.
func TestManifestSaysWhatStays(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		least int64
	}{{[]int64{-1, 16}, 2}, {[]int64{-1, 16, 1, 1}, 2}, {[]int64{-1, 8, 2}, 0}} {
		channels := c.shape[1]
		m := tiny(map[string][]int64{"h": {16, 3}, "w": {16, 16}}, op("MatMul", nil, "a", "x", "w"), op("Mul", nil, "m", "a", "mask"), op("Reshape", nil, "b", "m", "to"),
			op("BatchNormalization", nil, "c", "b", "scale", "shift", "mean", "var"), op("Reshape", nil, "d", "c", "row"), op("MatMul", nil, "y", "d", "h"))
		g := m.Graph.Initializers
		g["scale"], g["shift"], g["mean"], g["var"] = filled(1, channels), filled(0, channels), filled(0.5, channels), filled(2, channels)
		g["to"], g["row"] = onnx.FromInt64(c.shape, int64(len(c.shape))), onnx.FromInt64([]int64{-1, 16}, 2)
		mask := make([]float32, 16)
		mask[3] = 1
		g["mask"] = onnx.FromFloat32(mask, 16)
		b, _, _ := statesOf(t, m, export.Options{})
		again, err := export.Rebuild(b, export.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []*bundle.Bundle{b, again} {
			if b.Manifest.MinBatch != c.least || fmt.Sprint(b.Manifest.Fixed) != "[{mask [16] mask by its role}]" {
				t.Errorf("%v: at least %d samples, %v stay", c.shape, b.Manifest.MinBatch, b.Manifest.Fixed)
			}
		}
	}
}

// Weights that a normalisation standardises by their own statistics train: the
// gradient goes through the statistics. The formula's central differences of the loss are the authority.
func TestNormOfComputedStatistics(t *testing.T) {
	d := openDevice(t)
	axes := map[string]onnx.Attr{"axes": onnx.IntsAttr(0, 2), "keepdims": onnx.IntAttr(0)}
	model := func(shift float32) *onnx.Model {
		m := tiny(map[string][]int64{"w": {1, 8, 16}, "h": {8, 3}},
			op("ReduceMean", axes, "mean", "w"), op("Sub", nil, "less", "w", "mean3"), op("Mul", nil, "square", "less", "less"), op("ReduceMean", axes, "var", "square"),
			op("BatchNormalization", map[string]onnx.Attr{"training_mode": onnx.IntAttr(1)}, "n", "w", "gain", "none", "mean", "var"),
			op("Reshape", nil, "f", "n", "to"), op("Gemm", map[string]onnx.Attr{"transB": onnx.IntAttr(1)}, "a", "x", "f"), op("MatMul", nil, "y", "a", "h"))
		m.Graph.Nodes = slices.Insert(m.Graph.Nodes, 1, op("Reshape", nil, "mean3", "mean", "wide"))
		m.Opset = 17
		g := m.Graph.Initializers
		g["gain"], g["none"] = filled(0.5, 8), filled(0, 8)
		g["to"], g["wide"] = onnx.FromInt64([]int64{8, 16}, 2), onnx.FromInt64([]int64{1, 8, 1}, 3)
		v := slices.Clone(g["w"].Float32s())
		v[21] += shift
		g["w"] = onnx.FromFloat32(v, 1, 8, 16)
		return m
	}
	in := ortrun.StepInput{N: 2, Images: make([]byte, 32), Labels: []int64{1, 2}, LearningRate: 1}
	for i := range in.Images {
		in.Images[i] = byte(37 * i)
	}
	loss := func(shift float32) (float64, float32, float32) {
		b := build(t, model(shift), export.Options{Selection: export.Selection{Freeze: regexp.MustCompile("^none$")}, Optimizer: bundle.Optimizer{}})
		trainer, state, index := newTrainer(t, d, b, 2)
		var out ortrun.StepOutput
		if err := trainer.Step(&in, &out); err != nil {
			t.Fatal(err)
		}
		return float64(out.Loss), b.Init["w"].Float32s()[21], readState(t, state, index["w"], b.Init["w"])[21]
	}
	const step = 0.01
	up, _, _ := loss(step)
	down, _, _ := loss(-step)
	_, before, after := loss(0)
	if want, got := (up-down)/(2*step), float64(before-after); math.Abs(got-want) > 0.02*math.Abs(want)+1e-4 || math.Abs(want) < 1e-4 {
		t.Errorf("gradient %v, central differences say %v", got, want)
	}
}

// A normalisation without scale and shift gets ones and zeros from an exporter, under a name of its own.
func TestNormWithoutScale(t *testing.T) {
	for name, want := range map[string]string{"val_7": "h w", "norm.weight": "h norm.weight w"} {
		m := tiny(map[string][]int64{"w": {16, 8}, "h": {8, 3}}, op("MatMul", nil, "a", "x", "w"), op("LayerNormalization", nil, "b", "a", name), op("MatMul", nil, "y", "b", "h"))
		m.Graph.Initializers[name] = filled(1, 8)
		if got := strings.Join(trainedNames(build(t, m, export.Options{})), " "); got != want {
			t.Errorf("%s: trained are %s", name, got)
		}
	}
}
