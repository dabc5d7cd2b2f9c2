package bundle

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
)

// Bounds of what a manifest may ask for; a trainer's buffers are sized by them.
const (
	maxSide     = 1 << 16 // of an image, and channels
	maxClasses  = 1 << 24
	maxMinBatch = 2 // a mean over two samples is the least that has a variance
)

// Validate checks that manifest, graphs and weights agree and returns every
// problem it finds, joined; each of them wraps ErrInvalid. The graphs are checked
// as opset.Check does, operators of the domains that they import apart, and their
// shapes as infer.Model does.
func (b *Bundle) Validate() error {
	v := &validator{m: &b.Manifest, init: b.Init}
	v.manifest()
	v.state()
	if g := v.decode(TrainFile, b.Train); g != nil {
		v.train(TrainFile, g)
	}
	if m := b.Manifest.Blocked; m != nil {
		if m.Block != 8 && m.Block != 16 {
			v.addf("%s: blocked: %d channels to a block, want 8 or 16", ManifestFile, m.Block)
		}
		if g := v.decode(BlockedFile, b.Blocked); g != nil {
			v.train(BlockedFile, g)
		}
	}
	if g := v.decode(EvalFile, b.Eval); g != nil {
		v.eval(g)
	}
	if b.Forward != nil {
		if g := v.decode(ForwardFile, b.Forward); g != nil {
			v.forward(g)
		}
	}
	if b.Manifest.Tuned != nil {
		for _, problem := range b.Manifest.Tuned.problems() {
			v.addf("%s: tuned: %s", ManifestFile, problem)
		}
	}
	return errors.Join(v.problems...)
}

type validator struct {
	m        *Manifest
	init     map[string]*onnx.Tensor
	problems []error
}

func (v *validator) addf(format string, args ...any) {
	v.problems = append(v.problems, problemf(format, args...))
}

func (v *validator) decode(file string, data []byte) *onnx.Graph {
	m, err := wire.Decode(data, "")
	if err != nil {
		v.addf("%s: %v", file, err)
		return nil
	}
	if m.Graph == nil {
		v.addf("%s: no graph", file)
		return nil
	}
	found := len(v.problems)
	v.add(file, opset.Check(m, slices.Collect(maps.Keys(m.Domains))...))
	if len(v.problems) == found {
		_, err := infer.Model(m)
		v.add(file, err)
	}
	return m.Graph
}

// add takes a joined error apart.
func (v *validator) add(file string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		for _, e := range joined.Unwrap() {
			v.add(file, e)
		}
	} else if err != nil {
		v.addf("%s: %v", file, err)
	}
}

func (v *validator) manifest() {
	m := v.m
	if m.Format != Format {
		v.addf("format %q, want %q", m.Format, Format)
	}
	for i, d := range m.ImageShape {
		if d < 1 || d > maxSide {
			v.addf("image_shape %v: %c is %d, want 1 to %d", m.ImageShape, "CHW"[i], d, maxSide)
		}
	}
	if m.Classes < 1 || m.Classes > maxClasses {
		v.addf("classes %d, want 1 to %d", m.Classes, maxClasses)
	}
	if m.MinBatch < 0 || m.MinBatch > maxMinBatch {
		v.addf("min_batch %d, want at most %d", m.MinBatch, maxMinBatch)
	}
	if n := len(m.ClassNames); n > 0 && int64(n) != m.Classes {
		v.addf("%d class names for %d classes", n, m.Classes)
	}
	switch m.Precision {
	case "", onnx.Float16.String(), onnx.BFloat16.String():
	default:
		v.addf("precision %q, want %s or %s, or none for %s", m.Precision, onnx.Float16, onnx.BFloat16, onnx.Float32)
	}
	for _, l := range []struct {
		name string
		v    []float64
	}{{"mean", m.Normalize.Mean}, {"std", m.Normalize.Std}} {
		if n := int64(len(l.v)); n > 1 && n != m.ImageShape[0] {
			v.addf("normalize: %d values of %s for %d channels", n, l.name, m.ImageShape[0])
		}
	}
	if err := checkFileName(m.Weights); err != nil {
		v.addf("%v", err)
	}
}

// averages is whether an average names a parameter like itself.
func (v *validator) averages(s State) bool {
	for _, p := range v.m.State {
		if p.Name == s.Of {
			return p.Kind == KindParameter && p.DType == s.DType && equalDims(p.Shape, s.Shape)
		}
	}
	return false
}

func (v *validator) state() {
	names, inputs, outputs := set{}, set{}, set{}
	for i, s := range v.m.State {
		if s.Name == "" || s.Input == "" || s.Output == "" {
			v.addf("state %d %q: name, input and output are required", i, s.Name)
		}
		for _, u := range []struct {
			what, name string
			seen       set
		}{{"name", s.Name, names}, {"input", s.Input, inputs}, {"output", s.Output, outputs}} {
			if u.name != "" && !u.seen.add(u.name) {
				v.addf("state %q: %s %q appears twice", s.Name, u.what, u.name)
			}
		}
		switch s.Kind {
		case KindParameter, KindBuffer, KindOptimizer, KindEMA:
		default:
			v.addf("state %q: unknown kind %q", s.Name, s.Kind)
		}
		if s.Kind == KindEMA && !v.averages(s) {
			v.addf("state %q: averages %q, which is no parameter of its type and shape", s.Name, s.Of)
		}
		dtype, err := onnx.ParseDType(s.DType)
		if err != nil || dtype.Size() == 0 {
			v.addf("state %q: element type %q cannot hold state", s.Name, s.DType)
			continue
		}
		t := v.init[s.Name]
		switch {
		case t == nil:
			v.addf("state %q: %s has no tensor of that name", s.Name, v.m.Weights)
		case t.DType != dtype || !equalDims(t.Dims, s.Shape):
			v.addf("state %q: %s%v, but %s holds %s%v", s.Name, dtype, s.Shape, v.m.Weights, t.DType, t.Dims)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.init)) {
		if !names[name] {
			v.addf("%s: tensor %q is no state", v.m.Weights, name)
		}
	}
}

// role is one input or output that the manifest names, with the shape its role demands.
type role struct {
	name   string
	value  *Value
	dtypes []onnx.DType
	dims   []int64 // -1: the batch; nil: any
	scalar bool
}

func (v *validator) train(file string, g *onnx.Graph) {
	r, chw := &v.m.Train, v.m.ImageShape
	f32 := []onnx.DType{onnx.Float32}
	labels := role{name: "labels", value: r.Labels, dtypes: []onnx.DType{onnx.Int64}, dims: []int64{-1}}
	if r.Labels != nil && r.Labels.DType == onnx.Float32.String() {
		labels.dtypes, labels.dims = f32, []int64{-1, v.m.Classes}
	}
	inputs := []role{
		{name: "images", value: &r.Images, dtypes: []onnx.DType{onnx.Uint8, onnx.Float32}, dims: []int64{-1, chw[0], chw[1], chw[2]}},
		labels,
		{name: "sample_weights", value: r.SampleWeights, dtypes: f32, dims: []int64{-1}},
		{name: "loss_scale", value: r.LossScale, dtypes: f32, scalar: true},
		{name: "learning_rate", value: &r.LearningRate, dtypes: f32, scalar: true},
	}
	for i := range r.Random {
		inputs = append(inputs, role{name: "random", value: &r.Random[i], dtypes: f32})
	}
	inputs = append(inputs, v.targets()...)
	logits := v.logitsDims()
	outputs := []role{
		{name: "loss", value: &r.Loss, dtypes: f32, scalar: true},
		{name: "per_sample_loss", value: r.PerSampleLoss, dtypes: f32, dims: []int64{-1}},
		{name: "logits", value: r.Logits, dtypes: f32, dims: logits},
	}
	outputs = append(outputs, v.scalars()...)
	ins := v.roles(file, "input", inputs, index(g.Inputs))
	outs := v.roles(file, "output", outputs, index(g.Outputs))
	for _, s := range v.m.State {
		v.stateValue(file, "input", s, s.Input, ins)
		v.stateValue(file, "output", s, s.Output, outs)
	}
	v.leftover(file, ins)
}

// logitsDims is the shape of the scores: those of a sample, or of every pixel
// where the target is a mask.
func (v *validator) logitsDims() []int64 {
	dims := []int64{-1, v.m.Classes}
	if v.m.Train.Labels == nil && len(v.m.Train.Targets) == 1 && v.m.Train.Targets[0].Kind == TargetMask && v.m.Loss.Name != NoLoss {
		dims = append(dims, v.m.ImageShape[1:]...)
	}
	return dims
}

func (v *validator) eval(g *onnx.Graph) {
	r, chw := &v.m.Eval, v.m.ImageShape
	ins := v.roles(EvalFile, "input", []role{{name: "images", value: &r.Images,
		dtypes: []onnx.DType{onnx.Uint8, onnx.Float32}, dims: []int64{-1, chw[0], chw[1], chw[2]}}}, index(g.Inputs))
	v.roles(EvalFile, "output", []role{{name: "logits", value: &r.Logits,
		dtypes: []onnx.DType{onnx.Float32}, dims: v.logitsDims()}, {name: "output", value: r.Output,
		dtypes: []onnx.DType{onnx.Float32}, dims: v.logitsDims()}}, index(g.Outputs))
	for _, s := range v.m.State {
		if _, ok := ins[s.Input]; ok {
			v.stateValue(EvalFile, "input", s, s.Input, ins)
		}
	}
	v.leftover(EvalFile, ins)
}

// forward checks that the model has the state that it leaves to the bundle.
func (v *validator) forward(g *onnx.Graph) {
	ins := index(g.Inputs)
	for _, s := range v.m.State {
		if s.Kind == KindParameter || s.Kind == KindBuffer {
			v.stateValue(ForwardFile, "input", s, s.Input, ins)
		}
	}
}

// roles checks the roles against the graph's values and removes them from the map, which it returns.
func (v *validator) roles(file, side string, roles []role, values map[string]onnx.Value) map[string]onnx.Value {
	taken := map[string]string{}
	for _, r := range roles {
		if r.value == nil {
			continue
		}
		m := r.value
		if m.Name == "" {
			v.addf("%s: role %s names no %s", file, r.name, side)
			continue
		}
		if by, ok := taken[m.Name]; ok {
			v.addf("%s: %s %q has two roles, %s and %s", file, side, m.Name, by, r.name)
			continue
		}
		taken[m.Name] = r.name
		dtype, err := onnx.ParseDType(m.DType)
		if err != nil || !contains(r.dtypes, dtype) {
			v.addf("%s: %s %q: element type %q, want %s", file, r.name, m.Name, m.DType, r.dtypes[0])
		}
		if want, ok := r.fits(m.Shape); !ok {
			v.addf("%s: %s %q: shape %s, want %s", file, r.name, m.Name, m.Shape, want)
		}
		g, ok := values[m.Name]
		if !ok {
			v.addf("%s: %s %q is no %s of the graph", file, r.name, m.Name, side)
			continue
		}
		v.agree(file, r.name, m.Name, dtype, onnx.Shape(m.Shape), g)
		delete(values, m.Name)
	}
	return values
}

// fits compares a role's shape with what the role demands.
func (r role) fits(s Dims) (want string, ok bool) {
	if r.scalar {
		return "[], a scalar", len(s) == 0
	}
	if r.dims == nil {
		return "", true
	}
	shape := make(onnx.Shape, len(r.dims))
	ok = len(s) == len(r.dims)
	for i, d := range r.dims {
		if d < 0 {
			shape[i] = onnx.Symbol("N")
			ok = ok && !s[i].IsConst()
		} else {
			shape[i] = onnx.Const(d)
			ok = ok && s[i] == shape[i]
		}
	}
	return shape.String(), ok
}

func (v *validator) stateValue(file, side string, s State, name string, values map[string]onnx.Value) {
	if name == "" {
		return
	}
	g, ok := values[name]
	if !ok {
		v.addf("%s: state %q: %s %q is no free %s of the graph", file, s.Name, side, name, side)
		return
	}
	dtype, err := onnx.ParseDType(s.DType)
	if err == nil {
		v.agree(file, "state", name, dtype, onnx.ShapeOf(s.Shape...), g)
	}
	delete(values, name)
}

// agree compares what the manifest says of a value with the graph. What the
// graph leaves open contradicts nothing.
func (v *validator) agree(file, what, name string, dtype onnx.DType, shape onnx.Shape, g onnx.Value) {
	if g.DType != onnx.Undefined && dtype != onnx.Undefined && g.DType != dtype {
		v.addf("%s: %s %q: %s says %s, the graph %s", file, what, name, ManifestFile, dtype, g.DType)
	}
	if g.Shape == nil {
		return
	}
	ok := len(g.Shape) == len(shape)
	for i := 0; ok && i < len(shape); i++ {
		if g.Shape[i].IsConst() {
			ok = g.Shape[i] == shape[i]
		}
	}
	if !ok {
		v.addf("%s: %s %q: %s says shape %s, the graph %s", file, what, name, ManifestFile, shape, g.Shape)
	}
}

// leftover names inputs without a role: nothing would feed them.
func (v *validator) leftover(file string, inputs map[string]onnx.Value) {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		v.addf("%s: input %q %s has no role and is no state", file, name, inputs[name].Shape)
	}
}

func index(values []onnx.Value) map[string]onnx.Value {
	m := make(map[string]onnx.Value, len(values))
	for _, v := range values {
		m[v.Name] = v
	}
	return m
}

type set map[string]bool

func (s set) add(name string) bool {
	if s[name] {
		return false
	}
	s[name] = true
	return true
}

func contains(list []onnx.DType, d onnx.DType) bool {
	for _, x := range list {
		if x == d {
			return true
		}
	}
	return false
}

func equalDims(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
