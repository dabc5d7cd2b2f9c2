package step

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	ortrun "winnow/runtime"
	"winnow/train/traintest"
)

func TestRandomInput(t *testing.T) {
	const n = 50
	draw := func(p traintest.Parts, seed uint64) *ortrun.StepInput {
		in, err := RandomInput(traintest.Bundle(t, p), n, seed)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	in, other := draw(traintest.Parts{}, 1), draw(traintest.Parts{}, 2)
	if again := draw(traintest.Parts{}, 1); !bytes.Equal(in.Images, again.Images) || !reflect.DeepEqual(in.Labels, again.Labels) {
		t.Error("a seed does not repeat")
	}
	if bytes.Equal(in.Images, other.Images) || reflect.DeepEqual(in.Labels, other.Labels) {
		t.Error("two seeds give one batch")
	}
	seen := map[int64]bool{}
	for _, label := range in.Labels {
		if label < 0 || label >= traintest.Classes {
			t.Errorf("label %d", label)
		}
		seen[label] = true
	}
	if len(in.Images) != n*traintest.Pixels || len(in.Labels) != n || len(seen) != traintest.Classes || in.LabelsFloat != nil || in.LearningRate != 0 || in.LossScale != 1 {
		t.Errorf("%d bytes of images, %d labels of %d traintest.Classes, %+v", len(in.Images), len(in.Labels), len(seen), in)
	}
	soft := draw(traintest.Parts{SoftLabels: true, FloatImages: true}, 1)
	if len(soft.Images) != 4*n*traintest.Pixels || len(soft.LabelsFloat) != n*traintest.Classes {
		t.Fatalf("%d bytes of images, %d labels", len(soft.Images), len(soft.LabelsFloat))
	}
	for i := range n * traintest.Pixels {
		bits := uint32(soft.Images[4*i]) | uint32(soft.Images[4*i+1])<<8 | uint32(soft.Images[4*i+2])<<16 | uint32(soft.Images[4*i+3])<<24
		if got := math.Float32frombits(bits); got != float32(in.Images[i]) {
			t.Fatalf("pixel %d is %v as a float, %d as a byte", i, got, in.Images[i])
		}
	}
	for i, label := range soft.Labels {
		want := make([]float32, traintest.Classes)
		want[label] = 1
		if got := soft.LabelsFloat[i*traintest.Classes : (i+1)*traintest.Classes]; !slices.Equal(got, want) {
			t.Errorf("label %d is %v", label, got)
		}
	}
	b := traintest.Bundle(t, traintest.Parts{})
	for _, bad := range []struct {
		n     int
		shape [3]int64
	}{{0, [3]int64{1, 4, 4}}, {-1, [3]int64{1, 4, 4}}, {1 << 40, [3]int64{1, 4, 4}}, {1, [3]int64{1 << 40, 1 << 40, 1}}, {1, [3]int64{0, 4, 4}}} {
		b.Manifest.ImageShape = bad.shape
		if in, err := RandomInput(b, bad.n, 1); err == nil || !strings.Contains(err.Error(), fmt.Sprint(bad.shape)) {
			t.Errorf("%+v: %v, %v", bad, in, err)
		}
	}
}
