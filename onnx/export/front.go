package export

import (
	"fmt"
	"math"
	"slices"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// normalisesItself is whether a model takes images of 0 to 255 as they are:
// bytes, or float32 where this program wrote it.
func normalisesItself(m *onnx.Model, images onnx.Value) bool {
	return images.DType == onnx.Uint8 || m.Metadata[bundle.OwnNormalisation] != ""
}

// takeBytes makes a model that takes bytes and casts them one that takes their
// values: what a trained model of this package is, and what other tools write.
// A factor and a subtrahend for each channel right behind, which this package
// writes, become o's normalisation again; any other arithmetic stays the
// model's. Nothing is normalised twice.
func takeBytes(m *onnx.Model, o *Options) error {
	g := m.Graph
	var in *onnx.Value
	for i := range g.Inputs {
		if v := g.Inputs[i]; v.DType == onnx.Uint8 && len(v.Shape) > 1 || v.DType == onnx.Float32 && m.Metadata[bundle.OwnNormalisation] != "" {
			in = &g.Inputs[i]
		}
	}
	if in == nil {
		return nil
	}
	if n := o.Images.Normalize; n.Scale != DefaultScale && n.Scale != 1 || len(n.Mean)+len(n.Std) > 0 {
		return optionError("mean", "input %q takes images of 0 to 255 and the model normalises them itself; leave out the scale, the mean and the standard deviation", in.Name)
	}
	cast := in.Name
	if in.DType == onnx.Uint8 {
		var ok bool
		if cast, ok = bypassCast(g, in.Name); !ok {
			return nil // and findImages refuses it
		}
		in.DType = onnx.Float32
	} else {
		o.Images.Float = true
	}
	o.Images.Normalize = bundle.Normalize{Scale: 1}
	if takeNormalisation(g, *in, cast, o) {
		o.Warn(fmt.Sprintf("input %q takes images of 0 to 255; training goes on from the model's weights and with the normalisation inside it", in.Name))
		return nil
	}
	o.Warn(fmt.Sprintf("input %q takes images of 0 to 255 and the model casts them itself, so nothing else normalises them", in.Name))
	return nil
}

// bypassCast lets what reads the float32 form of bytes read the input itself.
func bypassCast(g *onnx.Graph, input string) (string, bool) {
	var casts []*onnx.Node
	for _, n := range g.Nodes {
		if !slices.Contains(onnx.Uses(n), input) {
			continue
		}
		if n.Op != "Cast" || onnx.DType(n.Int("to", 0)) != onnx.Float32 {
			return "", false
		}
		casts = append(casts, n)
	}
	for _, n := range casts {
		n.Op, n.Attrs = "Identity", nil
	}
	if len(casts) == 0 {
		return "", false
	}
	return casts[0].Outputs[0], true
}

// takeNormalisation turns the factor and the subtrahend behind the value into
// options of equal effect, to the bit, and takes their nodes out.
func takeNormalisation(g *onnx.Graph, in onnx.Value, value string, o *Options) bool {
	if len(in.Shape) != 4 || !in.Shape[1].IsConst() {
		return false
	}
	channels := in.Shape[1].N
	perChannel := func(n *onnx.Node) []float32 {
		t := g.Initializers[n.Input(1)]
		if t == nil || t.DType != onnx.Float32 || !slices.Equal(t.Dims, []int64{channels, 1, 1}) {
			return nil
		}
		return t.Float32s()
	}
	outputs := map[string]bool{}
	for _, v := range g.Outputs {
		outputs[v.Name] = true
	}
	next := func(value, op string) *onnx.Node { // the only reader, if it is an op
		var found *onnx.Node
		for _, n := range g.Nodes {
			if slices.Contains(onnx.Uses(n), value) {
				if found != nil || n.Op != op || n.Inputs[0] != value || outputs[value] {
					return nil
				}
				found = n
			}
		}
		return found
	}
	var taken []*onnx.Node
	var scale, shift []float32
	if n := next(value, "Mul"); n != nil {
		if scale = perChannel(n); scale != nil {
			taken, value = append(taken, n), n.Outputs[0]
		}
	}
	if n := next(value, "Sub"); n != nil {
		if shift = perChannel(n); shift != nil {
			taken = append(taken, n)
		}
	}
	n, ok := normalisation(scale, shift, int(channels))
	if !ok || len(taken) == 0 {
		return false
	}
	for _, node := range taken {
		node.Op, node.Attrs, node.Inputs = "Identity", nil, node.Inputs[:1]
	}
	o.Images.Normalize = n
	return true
}

// normalisation is the options that give factors and subtrahends, nil for
// none, to the bit; false where there are none.
func normalisation(scale, shift []float32, channels int) (bundle.Normalize, bool) {
	n := bundle.Normalize{Scale: 1}
	at := func(v []float32, c int, def float64) float64 {
		if v == nil {
			return def
		}
		return float64(v[c])
	}
	same := !slices.ContainsFunc(scale, func(s float32) bool { return s != scale[0] })
	if same {
		n.Scale = at(scale, 0, 1)
	}
	for c := range channels {
		std := 1.0
		if !same {
			std = 1 / at(scale, c, 1)
			n.Std = append(n.Std, std)
		}
		n.Mean = append(n.Mean, at(shift, c, 0)*std)
		if !(std > 0) || math.IsInf(std, 0) || float32(n.Scale/std) != float32(at(scale, c, 1)) || float32(n.Mean[c]/std) != float32(at(shift, c, 0)) {
			return n, false
		}
	}
	if shift == nil {
		n.Mean = nil
	}
	return n, n.Scale != 0
}
