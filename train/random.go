package train

import (
	"math/rand/v2"

	"winnow/internal/random"
)

// Purposes keep the streams that a run draws from one seed apart.
const (
	purposeHoldout = 0x686f6c64 // "hold"
	purposeInputs  = 0x696e7075 // "inpu"
	purposeBatch   = 0x62617463 // "batc"
)

func stream(seed, purpose uint64, a, b uint64) *rand.PCG {
	pcg := &rand.PCG{}
	reseed(pcg, seed, purpose, a, b)
	return pcg
}

func reseed(pcg *rand.PCG, seed, purpose, a, b uint64) {
	pcg.Seed(random.Mix(seed^purpose), random.Mix(random.Mix(a)+b))
}

// inputs fills a graph's random inputs: a pure function of the run's seed, the
// global step and the slot, whatever was drawn before.
type inputs struct {
	pcg  rand.PCG
	seed uint64
	step uint64
}

// fill writes uniform float32 in [0, 1): 24 random bits over 2^24, two a word.
func (in *inputs) fill(slot int, dst []float32) {
	reseed(&in.pcg, in.seed, purposeInputs, in.step, uint64(slot))
	for i := 0; i < len(dst); i += 2 {
		x := in.pcg.Uint64()
		dst[i] = float32(x>>40) * 0x1p-24
		if i+1 < len(dst) {
			dst[i+1] = float32(x&(1<<24-1)) * 0x1p-24
		}
	}
}
