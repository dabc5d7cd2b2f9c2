package step

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/bundle"
	ortrun "winnow/runtime"
)

// RandomInput is a batch of n random images, with the labels and the random
// inputs that a bundle's training graph takes: what to step on where only the
// time of a step matters. The seed decides it. Its learning rate is 0, with
// which a step computes everything and the parameters stay as they are.
func RandomInput(b *bundle.Bundle, n int, seed uint64) (*ortrun.StepInput, error) {
	m := &b.Manifest
	size, ok := elements.Count(m.ImageShape[:])
	if !ok || n < 1 || size < 1 || m.Classes < 1 || int64(n) > maxRandomBytes/max(size, m.Classes) {
		return nil, fmt.Errorf("step: bundle %q: %w: a batch of %d random images of %v and %d classes", b.Where(), bundle.ErrInvalid, n, m.ImageShape, m.Classes)
	}
	r := Stream(seed, purposeBatch, 0, 0)
	images := make([]byte, (int64(n)*size+7)/8*8)
	for i := 0; i < len(images); i += 8 {
		binary.LittleEndian.PutUint64(images[i:], r.Uint64())
	}
	pixels := PixelsFor(m.Train.Images)
	in := &ortrun.StepInput{N: n, Images: pixels.Convert(n, images[:int64(n)*size]), LossScale: 1}
	if labels := m.Train.Labels; labels != nil {
		draw := rand.New(r)
		in.Labels = make([]int64, n)
		for i := range in.Labels {
			in.Labels[i] = draw.Int64N(m.Classes)
		}
		if labels.DType == onnx.Float32.String() {
			in.LabelsFloat = make([]float32, int64(n)*m.Classes)
			OneHot(in.LabelsFloat, in.Labels, int(m.Classes))
		}
	}
	for _, t := range m.Train.FurtherTargets() { // zeros: a class of every pixel, no box
		slot, err := slotOf(t.Value())
		if err != nil {
			return nil, err
		}
		count, ok := elements.Count(slot.Shape[1:])
		if !ok || int64(n) > maxRandomBytes/max(1, count*int64(slot.DType.Size())) {
			return nil, fmt.Errorf("step: bundle %q: %w: target %q of %v for %d samples", b.Where(), bundle.ErrInvalid, t.Name, slot.Shape, n)
		}
		in.Targets = append(in.Targets, make([]byte, int64(n)*count*int64(slot.DType.Size())))
	}
	random := Random{Seed: seed}
	in.Random = random.Fill
	return in, nil
}

// maxRandomBytes bounds a random batch, as a tensor is bounded in runtime.
const maxRandomBytes = 1 << 33

// OneHot fills dst [len(labels), classes].
func OneHot(dst []float32, labels []int64, classes int) {
	clear(dst)
	for i, label := range labels {
		dst[i*classes+int(label)] = 1
	}
}
