package train

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"winnow/eval"
	"winnow/internal/elements"
	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/run"
)

// boundTarget is a target of the graph, and what of the data it takes.
type boundTarget struct {
	bundle.Target
	at       int               // in the source's targets
	data     loader.TargetSpec // as the data has it
	labels   bool              // it is the role of labels
	fromHot  bool              // a class of the data becomes a vector
	elements int64             // of a sample
}

// bindTargets finds what of the data each target of the graph takes: what asked
// says, else the one of its name, else the only one left that fits.
func bindTargets(b *bundle.Bundle, bundleName string, src *loader.Source, asked map[string]string) ([]boundTarget, error) {
	have, wanted := src.Targets(), b.Manifest.Train.AllTargets()
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if !slices.ContainsFunc(wanted, func(t bundle.Target) bool { return t.Name == name }) {
			return nil, optionError("target", "%s: bundle %q has no such target; it has %s", name, bundleName, wantedText(wanted))
		}
	}
	var bound []boundTarget
	taken := map[int]bool{}
	for _, t := range wanted {
		at := slices.IndexFunc(have, func(s loader.TargetSpec) bool { return s.Name == t.Name })
		if name, ok := asked[t.Name]; ok {
			if at = slices.IndexFunc(have, func(s loader.TargetSpec) bool { return s.Name == name }); at < 0 {
				return nil, optionError("target", "%s=%s: %q has no such target; it has %s", t.Name, name, src.Name(), haveText(have))
			}
		}
		if at >= 0 {
			taken[at] = true
		}
		d := boundTarget{Target: t, at: at, labels: b.Manifest.Train.Labels != nil && t.Input == b.Manifest.Train.Labels.Name}
		var ok bool
		if d.elements, ok = elements.Count(onnx.Shape(t.Shape[1:]).Ints()); !ok {
			return nil, dataError("target %q of bundle %q has shape %s", t.Name, bundleName, t.Shape)
		}
		bound = append(bound, d)
	}
	for k := range bound {
		t := &bound[k]
		if t.at < 0 {
			var fit []int
			for i := range have {
				if !taken[i] && t.misfit(&have[i]) == "" {
					fit = append(fit, i)
				}
			}
			switch {
			case len(fit) == 1:
				t.at = fit[0]
				taken[t.at] = true
			case len(have) == 1 && len(bound) == 1: // and its misfit is told below
				t.at = 0
			case len(fit) == 0:
				return nil, dataError("bundle %q takes the target %q, %s %s, and %q has none such, only %s",
					bundleName, t.Name, t.Kind, t.Shape[1:], src.Name(), haveText(have))
			default:
				return nil, dataError("bundle %q takes the target %q, %s %s, and %q has %s; --target %s=NAME says which it is",
					bundleName, t.Name, t.Kind, t.Shape[1:], src.Name(), haveText(have), t.Name)
			}
		}
		t.data = have[t.at]
		if why := t.misfit(&t.data); why != "" {
			return nil, dataError("target %q of bundle %q is %s; %q of %q is %s", t.Name, bundleName, why, t.data.Name, src.Name(), specText(&t.data))
		}
		t.fromHot = t.Kind == bundle.TargetVector && t.data.Kind == loader.ClassTarget
	}
	return bound, nil
}

// misfit says what the graph wants where the data's target is not that.
func (t *boundTarget) misfit(s *loader.TargetSpec) string {
	want := onnx.Shape(t.Shape[1:]).Ints()
	same := len(want) == len(s.Shape)
	for i := 0; same && i < len(want); i++ {
		same = want[i] == int64(s.Shape[i])
	}
	switch { // the same numbers in another shape
	case t.Kind == bundle.TargetVector && s.Kind == loader.TensorTarget, t.elements == 1 && s.Kind != loader.MaskTarget:
		same = int64(s.Count()) == t.elements
	}
	switch {
	case t.Kind == bundle.TargetClass && s.Kind != loader.ClassTarget:
		return "a class"
	case t.Kind == bundle.TargetVector && s.Kind == loader.ClassTarget:
		return ""
	case t.Kind == bundle.TargetMask && (s.Kind != loader.MaskTarget || !same):
		return fmt.Sprintf("a mask of %v", want)
	case t.Kind != bundle.TargetClass && !same:
		return fmt.Sprintf("a %s of %v", t.Kind, want)
	case t.Kind == bundle.TargetVector && s.Type != loader.Float32:
		return "a vector of float32"
	case t.Kind == bundle.TargetTensor && s.Kind != loader.MaskTarget && s.Kind != loader.ClassTarget && s.Type.String() != t.DType:
		return fmt.Sprintf("a tensor of %s", t.DType)
	}
	return ""
}

func specText(s *loader.TargetSpec) string {
	if s.Kind == loader.ClassTarget {
		return "a class"
	}
	return fmt.Sprintf("a %v of %v, %v", s.Kind, s.Shape, s.Type)
}

func haveText(specs []loader.TargetSpec) string {
	var texts []string
	for i := range specs {
		texts = append(texts, fmt.Sprintf("%q (%s)", specs[i].Name, specText(&specs[i])))
	}
	return strings.Join(texts, ", ")
}

func wantedText(targets []bundle.Target) string {
	var texts []string
	for _, t := range targets {
		texts = append(texts, fmt.Sprintf("%q (%s %s)", t.Name, t.Kind, t.Shape[1:]))
	}
	return strings.Join(texts, ", ")
}

// takesClasses is whether a class of the data is among what the graph takes.
func takesClasses(targets []boundTarget) bool {
	return slices.ContainsFunc(targets, func(t boundTarget) bool { return t.data.Kind == loader.ClassTarget })
}

// task is what the samples of a loader are measured by.
func (l *loop) task(from *loader.Loader) eval.Task {
	t := eval.Task{Classes: l.classes, Loss: l.o.Bundle.Manifest.Loss}
	bound := l.targets
	if from == l.data.test {
		bound = l.testTargets
	}
	if !takesClasses(bound) && len(bound) > 0 {
		t.Kind, t.Target = bound[0].Kind, bound[0].at
		if t.Kind == bundle.TargetMask {
			t.Pixels = int(bound[0].elements)
		}
	}
	return t
}

// measured is what of the data the test samples are measured against, nil for classes.
func (l *loop) measured() *run.Target {
	if bound := l.testTargets; !takesClasses(bound) && len(bound) > 0 {
		return &run.Target{Kind: bound[0].Kind, Name: bound[0].data.Name}
	}
	return nil
}

// targets turns a batch's targets into what the graph takes; its buffers are
// made once.
type targets struct {
	bound   []boundTarget
	buffers [][]byte // of what is converted, one for each bound
	further [][]byte // as handed to the step
}

func newTargets(bound []boundTarget, maxBatch int) targets {
	t := targets{bound: bound, buffers: make([][]byte, len(bound))}
	for i := range bound {
		b := &bound[i]
		if !b.labels && b.converts() {
			dtype, err := onnx.ParseDType(b.DType)
			if err == nil {
				t.buffers[i] = make([]byte, int64(maxBatch)*b.elements*int64(dtype.Size()))
			}
		}
	}
	return t
}

// converts is whether the graph wants another type than the data has.
func (t *boundTarget) converts() bool {
	return t.data.Kind == loader.ClassTarget && !t.fromHot || t.data.Type.String() != t.DType && !t.fromHot
}

// fill gives the values of targets that are not the labels, in the graph's types,
// and the floats of labels that are a vector.
func (t *targets) fill(b *loader.Batch) (labels []float32, further [][]byte) {
	t.further = t.further[:0]
	for i := range t.bound {
		bound := &t.bound[i]
		v := &b.Targets[bound.at]
		switch {
		case bound.labels:
			labels = v.Floats
		case bound.converts():
			t.further = append(t.further, convert(t.buffers[i], bound, v, b))
		default:
			t.further = append(t.further, v.Bytes)
		}
	}
	return labels, t.further
}

// convert writes whole numbers in another type.
func convert(dst []byte, t *boundTarget, v *loader.Values, b *loader.Batch) []byte {
	n := int64(b.N) * t.elements
	at := func(i int64) int64 { return b.Labels[i] }
	switch {
	case t.data.Kind == loader.ClassTarget:
	case v.Type == loader.Uint8:
		at = func(i int64) int64 { return int64(v.Bytes[i]) }
	case v.Type == loader.Int32:
		at = func(i int64) int64 { return int64(int32(binary.LittleEndian.Uint32(v.Bytes[4*i:]))) }
	case v.Type == loader.Int64:
		at = func(i int64) int64 { return int64(binary.LittleEndian.Uint64(v.Bytes[8*i:])) }
	}
	switch t.DType {
	case onnx.Int64.String():
		dst = dst[:8*n]
		for i := range n {
			binary.LittleEndian.PutUint64(dst[8*i:], uint64(at(i)))
		}
	case onnx.Float32.String():
		dst = dst[:4*n]
		for i := range n {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(at(i))))
		}
	case onnx.Int32.String():
		dst = dst[:4*n]
		for i := range n {
			binary.LittleEndian.PutUint32(dst[4*i:], uint32(int32(at(i))))
		}
	default:
		dst = dst[:n]
		for i := range n {
			dst[i] = byte(at(i))
		}
	}
	return dst
}

// Targets of quantities are looked at in so many samples, and are large where
// their root of the mean square is over largeTarget.
const (
	lookedAt    = 256
	largeTarget = 30
	shareError  = 0.01
)

// noteScale notes vectors that are hardly what the loss is of: quantities so
// large that losses and gradients of the usual rates are too, and shares that do
// not sum to 1.
func (l *loop) noteScale(src *loader.Source) {
	loss := l.o.Bundle.Manifest.Loss.Name
	shares := loss == bundle.CrossEntropy
	if !shares && loss != bundle.MSE && loss != bundle.L1 && loss != bundle.Huber || takesClasses(l.targets) {
		return
	}
	t := &l.targets[0]
	if t.Kind != bundle.TargetVector || t.data.Type != loader.Float32 {
		return
	}
	row, sum, n := make([]byte, t.data.Size()), 0.0, 0
	var scratch loader.Scratch
	for i := range uint32(min(lookedAt, src.Len())) {
		if src.ReadTarget(loader.Draw{Index: i}, t.at, &scratch, row) != nil {
			return // the loader says what is wrong
		}
		whole := 0.0
		for k := 0; k < len(row); k += 4 {
			x := float64(math.Float32frombits(binary.LittleEndian.Uint32(row[k:])))
			whole += x
			sum += x * x
			n++
		}
		if shares && math.Abs(whole-1) > shareError {
			l.noticef("targets: %q of sample %d sums to %.4g, and %s is of shares of classes, which sum to 1; --loss %s is for several labels", t.data.Name, i, whole, bundle.CrossEntropy, bundle.BCE)
			return
		}
	}
	if shares {
		return
	}
	if root := math.Sqrt(sum / float64(max(n, 1))); root > largeTarget {
		l.noticef("targets: %q has numbers around %.3g, and losses and gradients grow with them; numbers of about 1 train at the usual rates, so scale them (or give a low --lr, --clip-grad, or --loss %s)", t.data.Name, root, bundle.Huber)
	}
}
