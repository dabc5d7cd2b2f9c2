package loader

import (
	"fmt"
	"slices"
	"unsafe"
)

// TargetKind is what the values of a target mean.
type TargetKind uint8

// Kinds of targets.
const (
	// ClassTarget is the number of a class.
	ClassTarget TargetKind = iota + 1
	// VectorTarget is one number for each output of the model: probabilities of
	// classes, 0 or 1 for each of several labels, or quantities.
	VectorTarget
	// MaskTarget is the number of a class for each pixel of the image.
	MaskTarget
	// TensorTarget is anything of a fixed shape, which the model itself understands.
	TensorTarget
)

var kindNames = [...]string{ClassTarget: "class", VectorTarget: "vector", MaskTarget: "mask", TensorTarget: "tensor"}

// String is the name that bundles give the kind.
func (k TargetKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// Target is what a sample's label is, known without its image.
type Target struct {
	kind  TargetKind
	class int64
}

// Class makes a target of the number of a class.
func Class(k int64) Target { return Target{kind: ClassTarget, class: k} }

// NoClass is the target of a sample that has targets of other kinds alone.
func NoClass(kind TargetKind) Target { return Target{kind: kind, class: -1} }

// Kind is that of the sample's first target.
func (t Target) Kind() TargetKind { return t.kind }

// Class is the number of the class, -1 where there is none.
func (t Target) Class() int64 { return t.class }

// Element is the type of a target's values, stored little-endian.
type Element uint8

// Types of values.
const (
	Int64 Element = iota
	Float32
	Uint8
	Int32
)

// Size is the number of bytes of a value.
func (e Element) Size() int { return [...]int{Int64: 8, Float32: 4, Uint8: 1, Int32: 4}[e] }

// String is the name of the type.
func (e Element) String() string {
	return [...]string{Int64: "int64", Float32: "float32", Uint8: "uint8", Int32: "int32"}[e]
}

// TargetSpec says what one target of every sample is.
type TargetSpec struct {
	Name  string
	Kind  TargetKind
	Type  Element
	Shape []int // of one sample: [] of a class, [C] of a vector, [H, W] of a mask

	Foreground byte // of a mask: the value that is class 1; 0 for none
}

// Count is the number of values of one sample.
func (s *TargetSpec) Count() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// Size is the number of bytes of one sample.
func (s *TargetSpec) Size() int { return s.Count() * s.Type.Size() }

// Targeted are Records whose samples have targets other than one class.
type Targeted interface {
	Records
	// Targets lists them, each under a name of its own; none stands for the one
	// class of Records.Target. The shape of a mask is not read: it is that of the
	// image that it lies on.
	Targets() []TargetSpec
	// ReadTarget puts target k of sample i into r: TargetSpec.Size bytes, set by
	// Record.Encoded, of a vector or a tensor; an image of one channel, raw or as
	// a file, of a mask. It is not asked for a class.
	ReadTarget(i uint32, k int, r *Record) error
}

// ClassName is the name of the one target of records that are not Targeted.
const ClassName = "label"

// TargetsOf lists the targets of records.
func TargetsOf(r Records) []TargetSpec {
	if t, ok := r.(Targeted); ok {
		if specs := t.Targets(); len(specs) > 0 {
			return specs
		}
	}
	return []TargetSpec{{Name: ClassName, Kind: ClassTarget, Type: Int64}}
}

// Values are one target of a batch.
type Values struct {
	TargetSpec
	Bytes  []byte    // [N, Shape...] of Type; nil of a class, which is in Batch.Labels
	Floats []float32 // the same memory, where Type is Float32
}

// targetBuffer is the memory of one target of a batch.
type targetBuffer struct {
	bytes  []byte
	floats []float32
}

func newTargetBuffer(s *TargetSpec, samples int) (b targetBuffer) {
	switch {
	case s.Kind == ClassTarget:
	case s.Type == Float32:
		b.floats = make([]float32, samples*s.Count())
		if len(b.floats) > 0 {
			b.bytes = unsafe.Slice((*byte)(unsafe.Pointer(&b.floats[0])), 4*len(b.floats))
		}
	default:
		b.bytes = make([]byte, samples*s.Size())
	}
	return b
}

// values is the first n samples of a buffer.
func (b *targetBuffer) values(s *TargetSpec, n int) Values {
	v := Values{TargetSpec: *s}
	if b.bytes != nil {
		v.Bytes = b.bytes[:n*s.Size()]
	}
	if b.floats != nil {
		v.Floats = b.floats[:n*s.Count()]
	}
	return v
}

// oneHot writes 1 for the class and 0 for every other, smoothed.
func oneHot(dst []float32, class int64, smoothing float64) {
	off := smoothing / float64(len(dst))
	for k := range dst {
		dst[k] = float32(off)
	}
	if class >= 0 && class < int64(len(dst)) {
		dst[class] = float32(1 - smoothing + off)
	}
}

// checkTargets refuses targets that no buffer can be made for.
func checkTargets(specs []TargetSpec) error {
	for i := range specs {
		s := &specs[i]
		n := int64(s.Type.Size())
		for _, d := range s.Shape {
			if d < 1 || int64(d) > MaxBufferBytes/n {
				return fmt.Errorf("%w: target %q: shape %v", ErrBadData, s.Name, s.Shape)
			}
			n *= int64(d)
		}
		if slices.ContainsFunc(specs[:i], func(o TargetSpec) bool { return o.Name == s.Name }) {
			return fmt.Errorf("%w: two targets are named %q", ErrBadData, s.Name)
		}
	}
	return nil
}
