package runtime

import "errors"

// blockedDomain has the CPU provider's operators on images stored in blocks of channels.
const blockedDomain = "com.microsoft.nchwc"

// ConvBlock is how many channels the CPU provider puts into a block of its
// own image layout on this machine: 16 with AVX-512 and on arm64, 8 with AVX2.
// It is 0 where the device has no such layout: on CUDA, or where the library
// lacks the operators.
func (d *Device) ConvBlock() int {
	if d.provider != CPUProvider {
		return 0
	}
	model := nodesModel(blockedDomain, "ReorderInput", Float32)
	for _, block := range []int{16, 8} {
		// The operator rounds the channels up to a block, and fails to write a shape that is not its own.
		f, err := d.NewFunction(model,
			[]Slot{{Name: nodesInput(0), DType: Float32, Shape: []int64{1, 4, 1, 1}}},
			[]Slot{{Name: nodesOutput(0), DType: Float32, Shape: []int64{1, int64(block), 1, 1}}})
		if err != nil {
			return 0
		}
		_, err = f.Run(make([]byte, 4*4))
		if err = errors.Join(err, f.Close()); err == nil {
			return block
		}
	}
	return 0
}
