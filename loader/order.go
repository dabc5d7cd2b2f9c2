package loader

import (
	"math/bits"
	"math/rand/v2"
)

// Purposes keep the random streams drawn from one seed apart.
const (
	purposeOrder   = 0x6f72646572 // "order"
	purposeAugment = 0x6175676d   // "augm"
)

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection of
// 64-bit words whose output bits each depend on every input bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below maps a uniform 64-bit word to [0, n) by multiply and shift; its bias
// is under n/2^64.
func below(x, n uint64) uint64 {
	hi, _ := bits.Mul64(x, n)
	return hi
}

// Order shuffles indices in place, and weights with them where not nil. The
// result is a pure function of the arguments: Fisher-Yates from the last
// element down, element i swapped with element floor(x*(i+1) / 2^64), the x
// drawn in turn from PCG-DXSM (math/rand/v2) seeded with
// (mix(seed XOR "order"), mix(epoch)). O(n) time, no memory beyond the
// generator. weights is nil or as long as indices.
func Order(seed uint64, epoch int, indices []uint32, weights []float32) {
	pcg := rand.NewPCG(mix(seed^purposeOrder), mix(uint64(epoch)))
	for i := len(indices) - 1; i > 0; i-- {
		j := below(pcg.Uint64(), uint64(i)+1)
		indices[i], indices[j] = indices[j], indices[i]
		if weights != nil {
			weights[i], weights[j] = weights[j], weights[i]
		}
	}
}
