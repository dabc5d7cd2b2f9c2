package loader

import (
	"math/rand/v2"

	"winnow/internal/random"
)

// Purposes keep the random streams drawn from one seed apart.
const (
	purposeOrder   = 0x6f72646572 // "order"
	purposeAugment = 0x6175676d   // "augm"
	purposeCrop    = 0x63726f70   // "crop"
	purposeFlip    = 0x666c6970   // "flip"
	purposeRotate  = 0x726f74     // "rot"
	purposeAuto    = 0x6175746f   // "auto"
	purposeJitter  = 0x6a6974     // "jit"
	purposeErase   = 0x6572617365 // "erase"
	purposeAffine  = 0x616666     // "aff"
	purposeGrey    = 0x67726579   // "grey"
	purposeBlur    = 0x626c7572   // "blur"
	purposeMix     = 0x6d6978     // "mix"
	purposeFilter  = 0x66696c74   // "filt"
)

// Order shuffles indices in place, and weights with them where not nil. The
// result is a pure function of the arguments: Fisher-Yates from the last
// element down, element i swapped with element floor(x*(i+1) / 2^64), the x
// drawn in turn from PCG-DXSM (math/rand/v2) seeded with
// (Mix(seed XOR "order"), Mix(epoch)). O(n) time, no memory beyond the
// generator. weights is nil or as long as indices.
func Order(seed uint64, epoch int, indices []uint32, weights []float32) {
	pcg := rand.NewPCG(random.Mix(seed^purposeOrder), random.Mix(uint64(epoch)))
	for i := len(indices) - 1; i > 0; i-- {
		j := random.Below(pcg.Uint64(), uint64(i)+1)
		indices[i], indices[j] = indices[j], indices[i]
		if weights != nil {
			weights[i], weights[j] = weights[j], weights[i]
		}
	}
}
