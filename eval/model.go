package eval

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"winnow/loader"
	ortrun "winnow/runtime"
)

// Names of the input and output of a model.onnx.
const (
	DefaultImages = "images"
	DefaultLogits = "logits"
)

// Spec says how to run an inference model that holds its own parameters.
type Spec struct {
	Images, Logits string   // names; "" are DefaultImages and DefaultLogits
	Float          bool     // images are float32, 0 to 255, instead of uint8
	ImageShape     [3]int64 // C, H, W
	Classes        int
}

// ModelSpec says how to run the run's model.onnx.
func (r *Run) ModelSpec() Spec {
	c := &r.Summary.Config
	return Spec{Images: c.Model.Images, Logits: c.Model.Logits, Float: c.Model.ImagesDType == "float32",
		ImageShape: c.ImageShape, Classes: int(c.Classes)}
}

// Model is an inference model on a device. Close it before the device.
type Model struct {
	ev    *ortrun.Evaluator
	float bool
	buf   []byte
}

var (
	_ Runner    = (*Model)(nil)
	_ io.Closer = (*Model)(nil)
)

// OpenModel makes a session for a model of at most maxBatch images a Run.
func OpenModel(d *ortrun.Device, model []byte, s Spec, maxBatch int) (*Model, error) {
	if s.Images == "" {
		s.Images = DefaultImages
	}
	if s.Logits == "" {
		s.Logits = DefaultLogits
	}
	dtype := ortrun.Uint8
	if s.Float {
		dtype = ortrun.Float32
	}
	ev, err := d.NewEvaluator(ortrun.EvalSpec{
		Model:  model,
		Images: ortrun.Slot{Name: s.Images, DType: dtype, Shape: []int64{-1, s.ImageShape[0], s.ImageShape[1], s.ImageShape[2]}},
		Logits: ortrun.Slot{Name: s.Logits, DType: ortrun.Float32, Shape: []int64{-1, int64(s.Classes)}},
	}, nil, maxBatch)
	if err != nil {
		return nil, fmt.Errorf("eval: model: %w", err)
	}
	return &Model{ev: ev, float: s.Float}, nil
}

// Run computes the logits of n uint8 images; valid until the next Run.
func (m *Model) Run(n int, images []byte) ([]float32, error) {
	if !m.float {
		return m.ev.Run(n, images)
	}
	if need := 4 * len(images); cap(m.buf) < need {
		m.buf = make([]byte, need)
	}
	buf := m.buf[:4*len(images)]
	for i, x := range images {
		binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(float32(x)))
	}
	return m.ev.Run(n, buf)
}

// Close frees the session.
func (m *Model) Close() error { return m.ev.Close() }

// CheckData holds a data split against a model: shape and number of classes.
func (s Spec) CheckData(src loader.Source) error {
	c, h, w := src.Shape()
	if got := [3]int64{int64(c), int64(h), int64(w)}; got != s.ImageShape {
		return fmt.Errorf("eval: images of %q: %w: %dx%dx%d, the model takes %dx%dx%d", loader.NameOf(src), ErrShape,
			c, h, w, s.ImageShape[0], s.ImageShape[1], s.ImageShape[2])
	}
	if n := len(loader.ClassesOf(src)); n > s.Classes {
		return fmt.Errorf("eval: labels of %q: %w: %d classes, the model has %d", loader.NameOf(src), ErrLabel, n, s.Classes)
	}
	return nil
}
