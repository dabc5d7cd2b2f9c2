package step

import (
	"math/rand/v2"

	"winnow/internal/random"
)

// Purposes keep the streams that are drawn from one seed apart.
const (
	purposeInputs = 0x696e7075 // "inpu"
	purposeBatch  = 0x62617463 // "batc"
)

// Stream is the generator of a purpose: a function of the seed and two numbers.
func Stream(seed, purpose uint64, a, b uint64) *rand.PCG {
	pcg := &rand.PCG{}
	reseed(pcg, seed, purpose, a, b)
	return pcg
}

func reseed(pcg *rand.PCG, seed, purpose, a, b uint64) {
	pcg.Seed(random.Mix(seed^purpose), random.Mix(random.Mix(a)+b))
}

// Random fills a graph's random inputs: a pure function of the run's seed, the
// run's step and the slot, whatever was drawn before.
type Random struct {
	Seed, Step uint64
	pcg        rand.PCG
}

// Fill writes uniform float32 in [0, 1): 24 random bits over 2^24, two a word.
func (r *Random) Fill(slot int, dst []float32) {
	reseed(&r.pcg, r.Seed, purposeInputs, r.Step, uint64(slot))
	for i := 0; i < len(dst); i += 2 {
		x := r.pcg.Uint64()
		dst[i] = float32(x>>40) * 0x1p-24
		if i+1 < len(dst) {
			dst[i+1] = float32(x&(1<<24-1)) * 0x1p-24
		}
	}
}
