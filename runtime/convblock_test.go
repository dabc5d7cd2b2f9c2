package runtime

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// The block is the one by which the provider's own reordering stores channels.
func TestConvBlockIsTheLayoutOfReorderInput(t *testing.T) {
	d := device(t, Options{Device: "cpu"})
	block := d.ConvBlock()
	if block != 8 && block != 16 {
		t.Fatalf("a block of %d channels", block)
	}
	const channels, area = 32, 3
	f, err := d.NewFunction(nodesModel(blockedDomain, "ReorderInput", Float32),
		[]Slot{{Name: nodesInput(0), DType: Float32, Shape: []int64{1, channels, area, 1}}},
		[]Slot{{Name: nodesOutput(0), DType: Float32, Shape: []int64{1, channels, area, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := make([]byte, 4*channels*area)
	var want []float32
	for i := range channels * area {
		binary.LittleEndian.PutUint32(in[4*i:], math.Float32bits(float32(i)))
	}
	for outer := 0; outer < channels; outer += block {
		for at := range area {
			for c := outer; c < outer+block; c++ {
				want = append(want, float32(c*area+at))
			}
		}
	}
	out, err := f.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := as[float32](out[0]); !slices.Equal(got, want) {
		t.Errorf("blocks of %d: %v, want %v", block, got, want)
	}
}
