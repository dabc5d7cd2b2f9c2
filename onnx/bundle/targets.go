package bundle

import (
	"slices"

	"winnow/onnx"
)

// Kinds of targets.
const (
	TargetClass  = "class"  // int64 [N]
	TargetVector = "vector" // float32 [N, K]
	TargetMask   = "mask"   // the class of each pixel, [N, H, W]
	TargetTensor = "tensor" // anything else of a fixed shape
)

// Target is what a training graph is told of a sample beside its image.
type Target struct {
	Name  string `json:"name"` // that data is bound to
	Kind  string `json:"kind"`
	Input string `json:"input"` // of the graph
	DType string `json:"dtype"`
	Shape Dims   `json:"shape"` // whose first dimension is the batch
}

// Names of the targets of losses that are not the model's own; LabelTarget is
// also that of a target that a bundle does not name.
const (
	LabelTarget = "label"
	MaskTarget  = "mask"
)

// TargetOf is the target that an input stands for, of the kind that its type
// and shape have.
func TargetOf(name string, v Value) Target {
	t := Target{Name: name, Kind: TargetTensor, Input: v.Name, DType: v.DType, Shape: v.Shape}
	switch {
	case v.DType == onnx.Int64.String() && len(v.Shape) == 1:
		t.Kind = TargetClass
	case v.DType == onnx.Float32.String() && len(v.Shape) == 2:
		t.Kind = TargetVector
	}
	return t
}

// Value is the input of the graph.
func (t *Target) Value() Value { return Value{Name: t.Input, DType: t.DType, Shape: t.Shape} }

// AllTargets lists the targets; a bundle that names none has that of its labels.
func (r *TrainRoles) AllTargets() []Target {
	if len(r.Targets) == 0 && r.Labels != nil {
		return []Target{TargetOf(LabelTarget, *r.Labels)}
	}
	return slices.Clone(r.Targets)
}

// FurtherTargets are those that are not the role of labels.
func (r *TrainRoles) FurtherTargets() []Target {
	return slices.DeleteFunc(slices.Clone(r.Targets), func(t Target) bool { return r.Labels != nil && t.Input == r.Labels.Name })
}

// targetKinds are the kinds with the types and the number of dimensions that
// each may have, 0 for any.
var targetKinds = map[string]struct {
	types []onnx.DType
	rank  int
}{
	TargetClass:  {[]onnx.DType{onnx.Int64}, 1},
	TargetVector: {[]onnx.DType{onnx.Float32}, 2},
	TargetMask:   {[]onnx.DType{onnx.Uint8, onnx.Int64, onnx.Int32, onnx.Float32}, 3},
	TargetTensor: {[]onnx.DType{onnx.Float32, onnx.Int64, onnx.Int32, onnx.Uint8}, 0},
}

// targets checks what the manifest says of targets, and gives the roles of those
// that are not that of labels.
func (v *validator) targets() (roles []role) {
	r := &v.m.Train
	names := set{}
	labelled := r.Labels == nil
	for i := range r.Targets {
		t := &r.Targets[i]
		labelled = labelled || t.Input == r.Labels.Name
		kind, ok := targetKinds[t.Kind]
		switch {
		case !ok:
			v.addf("target %q: unknown kind %q", t.Name, t.Kind)
		case t.Name == "" || !names.add(t.Name):
			v.addf("target %q: want a name that no other target has", t.Name)
		case kind.rank != 0 && len(t.Shape) != kind.rank:
			v.addf("target %q: shape %s of kind %s, want %d dimensions", t.Name, t.Shape, t.Kind, kind.rank)
		case len(t.Shape) == 0 || t.Shape[0].IsConst() || !onnx.Shape(t.Shape[1:]).IsConst():
			v.addf("target %q: shape %s, want N and then numbers", t.Name, t.Shape)
		case t.Kind == TargetMask && (t.Shape[1].N != v.m.ImageShape[1] || t.Shape[2].N != v.m.ImageShape[2]):
			v.addf("target %q: a mask of %s, and images are %v", t.Name, t.Shape, v.m.ImageShape)
		default:
			value := t.Value()
			roles = append(roles, role{name: "target " + t.Name, value: &value, dtypes: kind.types})
		}
	}
	if len(r.Targets) > 0 && !labelled {
		v.addf("the labels %q are none of the targets", r.Labels.Name)
	}
	return slices.DeleteFunc(roles, func(t role) bool { return r.Labels != nil && t.value.Name == r.Labels.Name })
}

// MaxScalars bounds the further outputs of a model with its own loss.
const MaxScalars = 64

// scalars checks what the manifest says of further outputs.
func (v *validator) scalars() (roles []role) {
	names := set{}
	if n := len(v.m.Train.Scalars); n > MaxScalars {
		v.addf("%d scalars, want at most %d", n, MaxScalars)
		return nil
	}
	for _, s := range v.m.Train.Scalars {
		if s.Name == "" || !names.add(s.Name) {
			v.addf("scalar %q: want a name that no other scalar has", s.Name)
			continue
		}
		roles = append(roles, role{name: "scalar " + s.Name, value: &Value{Name: s.Output, DType: onnx.Float32.String(), Shape: Dims{}},
			dtypes: []onnx.DType{onnx.Float32}, scalar: true})
	}
	return roles
}
