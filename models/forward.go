package models

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"winnow/internal/elements"
	"winnow/onnx"
)

// DefaultClasses is how many classes the shipped models tell apart.
const DefaultClasses = 10

type architecture struct {
	name  string
	about string
	shape [3]int64 // C, H, W
	build func(b *builder)
}

// architectures have bundles; large are forward graphs alone.
var architectures = []architecture{
	{"mlp", "perceptron with one hidden layer of 256, 28x28 grey", [3]int64{1, 28, 28}, mlp},
	{"lenet", "two convolutions and two dense layers, 28x28 grey", [3]int64{1, 28, 28}, lenet},
	{"resnet8", "residual network of 8 layers, 28x28 grey", [3]int64{1, 28, 28}, func(b *builder) { resnet(b, 1, 16, 32, 64) }},
	{"unet", "U-Net of three scales, 28x28 grey, a class for each pixel", [3]int64{1, 28, 28}, unet},
	{"resnet20", "residual network of 20 layers, 32x32 colour", [3]int64{3, 32, 32}, func(b *builder) { resnet(b, 3, 16, 32, 64) }},
}

// imageNetClasses is how many classes resnet50 tells apart.
const imageNetClasses = 1000

var large = []architecture{
	{"resnet18", "residual network of 18 layers, 32x32 colour", [3]int64{3, 32, 32}, func(b *builder) { resnet(b, 2, 64, 128, 256, 512) }},
	{"resnet50", "residual network of 50 layers, 224x224 colour, 1000 classes", [3]int64{3, 224, 224}, resnet50},
}

// Forward builds a model with weights drawn from seed: input "images", float32
// [N, C, H, W]; output "logits", float32 [N, 10], of resnet50 [N, 1000], of unet
// [N, 11, H, W]: ten classes of pixels and what is none.
func Forward(name string, seed uint64) (*onnx.Model, error) {
	var known []string
	for _, a := range slices.Concat(architectures, large) {
		if a.name != name {
			known = append(known, a.name)
			continue
		}
		b := &builder{
			random:  rand.New(rand.NewPCG(seed, 0)),
			value:   "images",
			size:    a.shape,
			classes: DefaultClasses,
			graph: &onnx.Graph{
				Name:         name,
				Inputs:       []onnx.Value{{Name: "images", DType: onnx.Float32, Shape: append(onnx.Shape{onnx.Symbol("N")}, onnx.ShapeOf(a.shape[:]...)...)}},
				Initializers: map[string]*onnx.Tensor{},
			},
		}
		a.build(b)
		last := b.graph.Nodes[len(b.graph.Nodes)-1]
		last.Outputs[0] = "logits"
		shape := onnx.Shape{onnx.Symbol("N"), onnx.Const(b.classes)}
		if b.size[1] > 1 { // of every pixel
			shape = append(shape, onnx.ShapeOf(b.size[1:]...)...)
		}
		b.graph.Outputs = []onnx.Value{{Name: "logits", DType: onnx.Float32, Shape: shape}}
		return &onnx.Model{IRVersion: 8, Opset: 18, Producer: onnx.Producer, Graph: b.graph}, nil
	}
	return nil, unknown(name, known)
}

func mlp(b *builder) {
	b.flatten()
	b.dense("hidden", 256)
	b.op("Relu", nil)
	b.dense("output", b.classes)
}

func lenet(b *builder) {
	b.conv("conv1", 16, 3, 1, true)
	b.op("Relu", nil)
	b.maxPool(2)
	b.conv("conv2", 32, 3, 1, true)
	b.op("Relu", nil)
	b.maxPool(2)
	b.flatten()
	b.dense("hidden", 128)
	b.op("Relu", nil)
	b.dense("output", b.classes)
}

// resnet has blocks basic blocks in a stage of each width.
func resnet(b *builder, blocks int, widths ...int64) {
	b.conv("stem.conv", widths[0], 3, 1, false)
	b.norm("stem.norm")
	b.op("Relu", nil)
	for stage, width := range widths {
		for k := range blocks {
			b.block(fmt.Sprintf("stage%d.block%d", stage+1, k+1), width, stageStride(stage, k))
		}
	}
	b.classify()
}

// resnet50 has its strides in the 3x3 convolutions, as torchvision's has.
func resnet50(b *builder) {
	b.classes = imageNetClasses
	b.conv("stem.conv", 64, 7, 2, false)
	b.norm("stem.norm")
	b.op("Relu", nil)
	b.maxPool(3)
	for stage, blocks := range []int{3, 4, 6, 3} {
		for k := range blocks {
			b.bottleneck(fmt.Sprintf("stage%d.block%d", stage+1, k+1), 64<<stage, stageStride(stage, k))
		}
	}
	b.classify()
}

// stageStride halves the image where a stage but the first begins.
func stageStride(stage, block int) int64 {
	if stage > 0 && block == 0 {
		return 2
	}
	return 1
}

// classify averages over positions and adds the output layer.
func (b *builder) classify() {
	b.op("GlobalAveragePool", nil)
	b.size[1], b.size[2] = 1, 1
	b.flatten()
	b.dense("output", b.classes)
}

// builder appends layers to a graph; value is the last layer's output and size its C, H, W.
type builder struct {
	graph   *onnx.Graph
	random  *rand.Rand
	value   string
	size    [3]int64
	classes int64
	serial  int
}

func (b *builder) op(op string, attrs map[string]onnx.Attr, more ...string) {
	b.serial++
	out := fmt.Sprintf("%s_%d", strings.ToLower(op), b.serial)
	b.graph.Nodes = append(b.graph.Nodes, &onnx.Node{
		Name: out, Op: op, Inputs: append([]string{b.value}, more...), Outputs: []string{out}, Attrs: attrs,
	})
	b.value = out
}

// uniform adds a parameter drawn from +-1/sqrt(fanIn).
func (b *builder) uniform(name string, fanIn int64, dims ...int64) string {
	n, _ := elements.Count(dims)
	bound := 1 / math.Sqrt(float64(fanIn))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(bound * (2*b.random.Float64() - 1))
	}
	b.graph.Initializers[name] = onnx.FromFloat32(v, dims...)
	return name
}

func (b *builder) filled(name string, value float32, dim int64) string {
	v := make([]float32, dim)
	for i := range v {
		v[i] = value
	}
	b.graph.Initializers[name] = onnx.FromFloat32(v, dim)
	return name
}

func (b *builder) dense(name string, out int64) {
	in := b.size[0]
	w := b.uniform(name+".weight", in, out, in)
	c := b.uniform(name+".bias", in, out)
	b.op("Gemm", map[string]onnx.Attr{"transB": onnx.IntAttr(1)}, w, c)
	b.size[0] = out
}

func (b *builder) conv(name string, out, kernel, stride int64, bias bool) {
	in := b.size[0]
	fan := in * kernel * kernel
	params := []string{b.uniform(name+".weight", fan, out, in, kernel, kernel)}
	if bias {
		params = append(params, b.uniform(name+".bias", fan, out))
	}
	pad := kernel / 2
	b.op("Conv", map[string]onnx.Attr{
		"kernel_shape": onnx.IntsAttr(kernel, kernel), "strides": onnx.IntsAttr(stride, stride),
		"pads": onnx.IntsAttr(pad, pad, pad, pad),
	}, params...)
	b.size = [3]int64{out, (b.size[1]-1)/stride + 1, (b.size[2]-1)/stride + 1}
}

func (b *builder) norm(name string) {
	c := b.size[0]
	b.op("BatchNormalization", map[string]onnx.Attr{"epsilon": onnx.FloatAttr(1e-5), "momentum": onnx.FloatAttr(0.9)},
		b.filled(name+".weight", 1, c), b.filled(name+".bias", 0, c),
		b.filled(name+".running_mean", 0, c), b.filled(name+".running_var", 1, c))
}

// maxPool halves the image; a window that is wider than its stride is padded,
// as a convolution's is.
func (b *builder) maxPool(k int64) {
	const stride = 2
	attrs := map[string]onnx.Attr{"kernel_shape": onnx.IntsAttr(k, k), "strides": onnx.IntsAttr(stride, stride)}
	pad := int64(0)
	if k > stride {
		pad = k / 2
		attrs["pads"] = onnx.IntsAttr(pad, pad, pad, pad)
	}
	b.op("MaxPool", attrs)
	b.size[1], b.size[2] = (b.size[1]+2*pad-k)/stride+1, (b.size[2]+2*pad-k)/stride+1
}

func (b *builder) flatten() {
	b.op("Flatten", map[string]onnx.Attr{"axis": onnx.IntAttr(1)})
	n, _ := elements.Count(b.size[:])
	b.size = [3]int64{n, 1, 1}
}

// block is a basic residual block: two 3x3 convolutions and a shortcut.
func (b *builder) block(name string, width, stride int64) {
	b.residual(name, width, stride, func() {
		b.conv(name+".conv1", width, 3, stride, false)
		b.norm(name + ".norm1")
		b.op("Relu", nil)
		b.conv(name+".conv2", width, 3, 1, false)
		b.norm(name + ".norm2")
	})
}

// bottleneck is a residual block of a 1x1, a 3x3 and a 1x1 convolution, the last
// of four times the width.
func (b *builder) bottleneck(name string, width, stride int64) {
	b.residual(name, 4*width, stride, func() {
		b.conv(name+".conv1", width, 1, 1, false)
		b.norm(name + ".norm1")
		b.op("Relu", nil)
		b.conv(name+".conv2", width, 3, stride, false)
		b.norm(name + ".norm2")
		b.op("Relu", nil)
		b.conv(name+".conv3", 4*width, 1, 1, false)
		b.norm(name + ".norm3")
	})
}

// residual adds a shortcut to a body: a 1x1 projection where the shape changes.
func (b *builder) residual(name string, out, stride int64, body func()) {
	entry, size := b.value, b.size
	body()
	end := b.value
	shortcut := entry
	if stride != 1 || size[0] != out {
		b.value, b.size = entry, size
		b.conv(name+".short.conv", out, 1, stride, false)
		b.norm(name + ".short.norm")
		shortcut = b.value
	}
	b.value = end
	b.op("Add", nil, shortcut)
	b.op("Relu", nil)
}
