package train

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/train/traintest"
)

// hot gives records' classes as vectors, and further targets of names.
type hot struct {
	*loader.Memory
	specs []loader.TargetSpec
}

var _ loader.Targeted = hot{}

func (h hot) Targets() []loader.TargetSpec { return h.specs }

func (h hot) Target(uint32) loader.Target { return loader.NoClass(loader.VectorTarget) }

func (h hot) ReadTarget(i uint32, k int, r *loader.Record) error {
	b := r.Encoded(h.specs[k].Size())
	clear(b)
	binary.LittleEndian.PutUint32(b[4*h.Memory.Target(i).Class():], math.Float32bits(1))
	return nil
}

func vector(name string, n int) loader.TargetSpec {
	return loader.TargetSpec{Name: name, Kind: loader.VectorTarget, Type: loader.Float32, Shape: []int{n}}
}

// Vectors that say what classes say train to the same bits, and are evaluated alike.
func TestVectorsThatAreClasses(t *testing.T) {
	d := device(t)
	var accuracies, losses []float64
	for _, specs := range [][]loader.TargetSpec{nil, {vector("y", traintest.Classes)}, {vector("other", traintest.Classes), vector("label", traintest.Classes)}} {
		o := testOptions(t, d, traintest.Parts{SoftLabels: true})
		if specs != nil {
			o.Train = traintest.Plain(t, hot{o.Train.Records().(*loader.Memory), specs})
			o.Test = traintest.Plain(t, hot{o.Test.Records().(*loader.Memory), specs})
		}
		s, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		epochs := readEpochs(t, o.Out)
		accuracies, losses = append(accuracies, s.TestAccuracy), append(losses, epochs[len(epochs)-1].TrainLoss)
		if math.Abs(s.TestLoss-epochs[len(epochs)-1].TestLoss) > 0 || s.TestLoss <= 0 {
			t.Errorf("test loss %v", s.TestLoss)
		}
	}
	for i := range losses {
		if losses[i] != losses[0] || accuracies[i] != accuracies[0] {
			t.Errorf("losses %v, accuracies %v", losses, accuracies)
		}
	}
}

func TestTargetsThatDoNotFit(t *testing.T) {
	src := func(specs ...loader.TargetSpec) *loader.Source {
		return traintest.Plain(t, hot{traintest.BlobRecords(t, 6, 1), specs})
	}
	soft, hard := traintest.Bundle(t, traintest.Parts{SoftLabels: true}), traintest.Bundle(t, traintest.Parts{})
	for name, c := range map[string]struct {
		b     *bundle.Bundle
		src   *loader.Source
		asked map[string]string
		want  error
		text  string
	}{
		"length":     {soft, src(vector("y", 5)), nil, ErrBadData, "a vector of [3]"},
		"class":      {hard, src(vector("y", 3)), nil, ErrBadData, "a class"},
		"two of one": {soft, src(vector("y", 3), vector("z", 3)), nil, ErrBadData, "--target label=NAME"},
		"none fit":   {soft, src(vector("y", 4), vector("z", 5)), nil, ErrBadData, `has none such, only "y" (a vector of [4], float32), "z"`},
		"no such":    {soft, src(vector("y", 3)), map[string]string{"label": "x"}, ErrOptions, `"y" (a vector of [3], float32)`},
		"not wanted": {soft, src(vector("y", 3)), map[string]string{"mask": "y"}, ErrOptions, `"label" (vector [3])`},
	} {
		_, err := bindTargets(c.b, "b", c.src, c.asked)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bound, err := bindTargets(soft, "b", src(vector("y", 3), vector("z", 3)), map[string]string{"label": "z"})
	if err != nil || len(bound) != 1 || bound[0].at != 1 {
		t.Errorf("%+v, %v", bound, err)
	}
	points := loader.TargetSpec{Name: "y", Kind: loader.TensorTarget, Type: loader.Float32, Shape: []int{3, 1}}
	if bound, err = bindTargets(soft, "b", src(points), nil); err != nil || len(bound) != 1 || bound[0].elements != 3 {
		t.Errorf("points as a vector: %+v, %v", bound, err)
	}
	points.Shape = []int{2, 3}
	if _, err = bindTargets(soft, "b", src(points), nil); !errors.Is(err, ErrBadData) {
		t.Errorf("6 numbers as a vector of 3: %v", err)
	}
	weight := boundTarget{Target: bundle.Target{Kind: bundle.TargetTensor, DType: "float32", Shape: bundle.Dims{onnx.Symbol("N")}}, elements: 1}
	one, two := vector("w", 1), vector("w", 2)
	if why := weight.misfit(&one); why != "" {
		t.Errorf("a number a sample is %s", why)
	}
	if weight.misfit(&two) == "" {
		t.Error("two numbers fit where one is wanted")
	}
}

// Whole numbers reach the graph in its type.
func TestConvertedTargets(t *testing.T) {
	batch := &loader.Batch{N: 2, Labels: []int64{3, -1}, Targets: []loader.Values{
		{TargetSpec: loader.TargetSpec{Kind: loader.MaskTarget, Type: loader.Uint8, Shape: []int{1, 2}}, Bytes: []byte{1, 255, 0, 7}},
	}}
	for dtype, want := range map[string][]byte{
		"int64": {1, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0},
		"int32": {1, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0}, "uint8": {1, 255, 0, 7},
		"float32": {0, 0, 128, 63, 0, 0, 127, 67, 0, 0, 0, 0, 0, 0, 224, 64},
	} {
		b := boundTarget{Target: bundle.Target{Kind: bundle.TargetMask, DType: dtype}, data: batch.Targets[0].TargetSpec, elements: 2}
		targets := newTargets([]boundTarget{b}, 2)
		if _, got := targets.fill(batch); len(got) != 1 || !slices.Equal(got[0], want) {
			t.Errorf("%s: %v, want %v", dtype, got, want)
		}
	}
}

func TestTargetsOfManifests(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bundle.Target)
		text   string
	}{
		"right":     {func(*bundle.Target) {}, ""},
		"kind":      {func(t *bundle.Target) { t.Kind = "word" }, `unknown kind "word"`},
		"no name":   {func(t *bundle.Target) { t.Name = "" }, "want a name"},
		"rank":      {func(t *bundle.Target) { t.Shape = t.Shape[:1] }, "want 2 dimensions"},
		"no input":  {func(t *bundle.Target) { t.Input = "elsewhere" }, "none of the targets"},
		"no batch":  {func(t *bundle.Target) { t.Kind, t.Shape = "tensor", t.Shape[1:] }, "want N and then numbers"},
		"mask size": {func(t *bundle.Target) { t.Kind, t.Shape = "mask", append(slices.Clone(t.Shape), t.Shape[1]) }, "a mask of"},
	} {
		b := traintest.Bundle(t, traintest.Parts{SoftLabels: true})
		b.Manifest.Train.Targets = b.Manifest.Train.AllTargets()
		c.change(&b.Manifest.Train.Targets[0])
		if err := b.Validate(); (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
