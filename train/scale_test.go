package train

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/onnx/bundle"
	"winnow/train/traintest"
)

// amounts are samples whose target is one number.
type amounts struct {
	spots
	of float32
}

func (a amounts) Targets() []loader.TargetSpec {
	return []loader.TargetSpec{{Name: "price", Kind: loader.VectorTarget, Type: loader.Float32, Shape: []int{1}}}
}

func (a amounts) ReadTarget(_ uint32, _ int, r *loader.Record) error {
	binary.LittleEndian.PutUint32(r.Encoded(4), math.Float32bits(a.of))
	return nil
}

// noticed keeps what is said.
type noticed struct {
	silent
	text *string
}

func (n noticed) Notice(text string) { *n.text += text }

// Quantities far from 1 are noted, of losses that grow with them alone.
func TestLargeTargets(t *testing.T) {
	for _, c := range []struct {
		loss string
		of   float32
		want string
	}{{bundle.MSE, -54000, `"price" has numbers around 5.4e+04`}, {bundle.Huber, 31, "around 31"}, {bundle.L1, 2, ""}, {bundle.BCE, 1000, ""},
		{bundle.CrossEntropy, 2, `"price" of sample 0 sums to 2`}, {bundle.CrossEntropy, 1, ""}} {
		var said string
		src := traintest.Plain(t, amounts{spots{8}, c.of})
		l := &loop{o: Options{Reporter: noticed{text: &said}, Bundle: &bundle.Bundle{Manifest: bundle.Manifest{Loss: bundle.Loss{Name: c.loss}}}}}
		l.targets = []boundTarget{{Target: bundle.Target{Kind: bundle.TargetVector}, data: src.Targets()[0]}}
		l.noteScale(src)
		if !strings.Contains(said, c.want) || c.want == "" && said != "" {
			t.Errorf("%s of %v: %q, want %q", c.loss, c.of, said, c.want)
		}
	}
}
