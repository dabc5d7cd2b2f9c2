package eval

import (
	"fmt"
	"io"

	"winnow/internal/elements"
	"winnow/loader"
	ortrun "winnow/runtime"
	"winnow/train/step"
)

// Names of the input and output of a model.onnx.
const (
	DefaultImages = "images"
	DefaultLogits = "logits"
)

// Spec says how to run an inference model that holds its own parameters.
type Spec struct {
	Images, Logits string   // names; "" are DefaultImages and DefaultLogits
	Float          bool     // images are float32, 0 to 255 unless Factor and Offset say otherwise, instead of uint8
	ImageShape     [3]int64 // C, H, W
	NHWC           bool     // the model takes channels last
	Flat           bool     // the model takes vectors, of images of as many values
	Batch          int      // images that the model takes at a time, 0 for any number
	Classes        int
	Pixels         [2]int64 // height and width of scores of every pixel; zeros where an image has one score a class

	Factor, Offset []float32 // by channel, of float32 images: x*Factor + Offset; nil for 1 and 0
}

// Model is an inference model on a device. Close it before the device.
type Model struct {
	ev     *ortrun.Evaluator
	spec   Spec
	pixels step.Pixels
}

var (
	_ Runner    = (*Model)(nil)
	_ io.Closer = (*Model)(nil)
)

// OpenModel makes a session for a model of at most maxBatch images a Run; a
// model of a fixed batch takes as many as that.
func OpenModel(d *ortrun.Device, model []byte, s Spec, maxBatch int) (*Model, error) {
	if s.Images == "" {
		s.Images = DefaultImages
	}
	if s.Logits == "" {
		s.Logits = DefaultLogits
	}
	if s.Batch > 0 {
		maxBatch = s.Batch
	}
	dtype := ortrun.Uint8
	if s.Float {
		dtype = ortrun.Float32
	}
	c, h, w := s.ImageShape[0], s.ImageShape[1], s.ImageShape[2]
	shape := []int64{-1, c, h, w}
	switch {
	case s.Flat:
		shape = []int64{-1, c * h * w}
	case s.NHWC:
		shape = []int64{-1, h, w, c}
	}
	ev, err := d.NewEvaluator(ortrun.EvalSpec{
		Model:  model,
		Images: ortrun.Slot{Name: s.Images, DType: dtype, Shape: shape},
		Logits: ortrun.Slot{Name: s.Logits, DType: ortrun.Float32, Shape: s.scores()},
	}, nil, maxBatch)
	if err != nil {
		return nil, fmt.Errorf("eval: model: %w", err)
	}
	return &Model{ev: ev, spec: s, pixels: step.Pixels{
		Float: s.Float, Factor: s.Factor, Offset: s.Offset, Shape: s.ImageShape, NHWC: s.NHWC, Batch: s.Batch,
	}}, nil
}

// Run computes the logits of n uint8 images [C, H, W]; valid until the next Run.
func (m *Model) Run(n int, images []byte) ([]float32, error) {
	batch := n
	if m.spec.Batch > 0 {
		batch = m.spec.Batch
	}
	if n > batch {
		return nil, fmt.Errorf("eval: model: %w: %d images for a batch of %d", ErrShape, n, batch)
	}
	logits, err := m.ev.Run(batch, m.pixels.Convert(n, images))
	if err != nil {
		return nil, err
	}
	return logits[:len(logits)/batch*n], nil
}

// scores is the shape of what the model gives.
func (s *Spec) scores() []int64 {
	shape := []int64{-1, int64(s.Classes)}
	if s.Pixels != [2]int64{} {
		shape = append(shape, s.Pixels[:]...)
	}
	return shape
}

// Close frees the session.
func (m *Model) Close() error { return m.ev.Close() }

// CheckData holds a data split against a model: shape and number of classes.
// A model of flat vectors takes the shape of images of as many values.
func (s *Spec) CheckData(src *loader.Source) error {
	c, h, w := src.Shape()
	have, _ := elements.Count([]int64{int64(c), int64(h), int64(w)})
	if want, ok := elements.Count(s.ImageShape[:]); s.Flat && ok && have == want {
		s.ImageShape = [3]int64{int64(c), int64(h), int64(w)}
	}
	if got := [3]int64{int64(c), int64(h), int64(w)}; got != s.ImageShape {
		return fmt.Errorf("eval: images of %q: %w: %dx%dx%d, the model takes %dx%dx%d", src.Name(), ErrShape,
			c, h, w, s.ImageShape[0], s.ImageShape[1], s.ImageShape[2])
	}
	if n := len(src.Classes()); n > s.Classes {
		return fmt.Errorf("eval: labels of %q: %w: %d classes, the model has %d", src.Name(), ErrLabel, n, s.Classes)
	}
	return nil
}
