package costs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// Peaks are what a device's operators reach at best: the arithmetic of a large
// matrix product, and the memory that a sum of two large vectors moves. No
// node can take less than its arithmetic at the one or its memory at the other
// (the roofline model, Williams et al. 2009, doi:10.1145/1498765.1498785).
type Peaks struct {
	GFLOPS float64 `json:"gflop_per_s"`
	GBPS   float64 `json:"gb_per_s"`
}

const (
	peakSide   = 1024    // of the matrices
	peakLength = 8 << 20 // of the vectors, float32: well beyond caches
	peakRuns   = 8
)

// measurePeaks takes the fastest of several runs of either.
func measurePeaks(ctx context.Context, d *ortrun.Device) (*Peaks, error) {
	product, err := fastest(ctx, d, "MatMul", peakSide, peakSide)
	if err != nil {
		return nil, err
	}
	sum, err := fastest(ctx, d, "Add", peakLength)
	if err != nil {
		return nil, err
	}
	return &Peaks{
		GFLOPS: 2 * peakSide * peakSide * peakSide / product.Seconds() / 1e9,
		GBPS:   3 * 4 * peakLength / sum.Seconds() / 1e9,
	}, nil
}

// fastest times a graph of one operator on two tensors of a shape.
func fastest(ctx context.Context, d *ortrun.Device, op string, shape ...int64) (_ time.Duration, err error) {
	value := func(name string) onnx.Value {
		return onnx.Value{Name: name, DType: onnx.Float32, Shape: onnx.ShapeOf(shape...)}
	}
	slot := func(name string) ortrun.Slot {
		return ortrun.Slot{Name: name, DType: ortrun.DType(onnx.Float32), Shape: shape}
	}
	model, err := wire.Encode(&onnx.Model{Opset: 18, Graph: &onnx.Graph{
		Name: op, Inputs: []onnx.Value{value("a"), value("b")}, Outputs: []onnx.Value{value("c")},
		Nodes: []*onnx.Node{{Op: op, Name: op, Inputs: []string{"a", "b"}, Outputs: []string{"c"}}},
	}})
	if err != nil {
		return 0, fmt.Errorf("costs: peak of %s: %w", op, err)
	}
	f, err := d.NewFunction(model, []ortrun.Slot{slot("a"), slot("b")}, []ortrun.Slot{slot("c")})
	if err != nil {
		return 0, fmt.Errorf("costs: peak of %s: %w", op, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, _ := elements.Count(shape)
	zeros := make([]byte, 4*n)
	if _, err := f.Run(zeros, zeros); err != nil {
		return 0, fmt.Errorf("costs: peak of %s: %w", op, err)
	}
	best := time.Duration(math.MaxInt64)
	for range peakRuns {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := f.Repeat(); err != nil {
			return 0, fmt.Errorf("costs: peak of %s: %w", op, err)
		}
		best = min(best, time.Since(start))
	}
	return best, nil
}

// limit is the least time of a node at the peaks.
func (p *Peaks) limit(n *ortrun.ProfiledNode) time.Duration {
	seconds := max(arithmetic(n)/p.GFLOPS, traffic(n)/p.GBPS) / 1e9
	return time.Duration(seconds * float64(time.Second))
}

// arithmetic counts the multiplications and additions of products and
// convolutions; of all else the memory decides.
func arithmetic(n *ortrun.ProfiledNode) float64 {
	if len(n.In) < 2 || len(n.Out) < 1 {
		return 0
	}
	a, b, out := count(n.In[0]), count(n.In[1]), count(n.Out[0])
	switch n.Op {
	case "Conv", "FusedConv": // each element of the output sums over a filter
		return 2 * out * b / first(n.In[1])
	case "Conv3x3": // 36 products for a tile of 16 elements
		return 2 * out * channels(n.In[0]) * 36 / 16
	case "Conv3x3Filter":
		return 2 * b * channels(n.In[0]) * 36 / 16
	case "ConvTranspose": // each element of the input is spread by a filter
		return 2 * a * b / first(n.In[1])
	case "MatMul", "FusedMatMul", "Gemm", "FusedGemm":
		// Of [batch, m, k] and [batch, k, n], in whichever order: k² = a·b / (out·batch).
		shape, batch := n.Out[0].Shape, 1.0
		for _, d := range shape[:max(0, len(shape)-2)] {
			batch *= float64(d)
		}
		if len(n.In[1].Shape) < len(shape) { // one matrix for all of the batch
			batch = 1
		}
		if out == 0 {
			return 0
		}
		return 2 * out * math.Sqrt(a*b/(out*batch))
	}
	return 0
}

// traffic is the bytes that a node must read and write at least.
func traffic(n *ortrun.ProfiledNode) float64 {
	in, out := 0.0, 0.0
	for _, t := range n.In {
		in += size(t)
	}
	for _, t := range n.Out {
		out += size(t)
	}
	switch n.Op {
	case "Shape", "Size", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "If", "Loop", "Scan":
		return 0 // no data moves, or that of nodes inside, which are listed themselves
	case "Gather", "GatherElements", "GatherND", "Slice", "Split":
		return 2 * out // what is left out is not read
	case "Expand", "ConstantOfShape":
		return out
	}
	return in + out
}

func first(t ortrun.Tensor) float64 {
	if len(t.Shape) == 0 {
		return 1
	}
	return float64(max(1, t.Shape[0]))
}

func channels(t ortrun.Tensor) float64 {
	if len(t.Shape) < 2 {
		return 1
	}
	return float64(t.Shape[1])
}

func count(t ortrun.Tensor) float64 {
	n := 1.0
	for _, d := range t.Shape {
		n *= float64(d)
	}
	return n
}

var widths = map[string]float64{"float": 4, "double": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "bool": 1, "uint8": 1, "int8": 1}

func size(t ortrun.Tensor) float64 { return count(t) * widths[t.Type] }
