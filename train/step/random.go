package step

import (
	"math/bits"
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

func reseed(pcg *rand.PCG, seed, purpose, a, b uint64) { pcg.Seed(seeds(seed, purpose, a, b)) }

func seeds(seed, purpose, a, b uint64) (hi, lo uint64) {
	return random.Mix(seed ^ purpose), random.Mix(random.Mix(a) + b)
}

// The step of rand.PCG: its 128 bits become themselves times pcgMul plus pcgAdd
// (M. E. O'Neill, PCG, 2014; constants of PCG DXSM).
const (
	pcgMulHi, pcgMulLo = 2549297995355413924, 4865540595714422341
	pcgAddHi, pcgAddLo = 6364136223846793005, 1442695040888963407
)

// jump is where a rand.PCG stands after n numbers (F. Brown, Random number
// generation with arbitrary strides, 1994).
func jump(hi, lo, n uint64) (uint64, uint64) {
	mul, add := wide{pcgMulHi, pcgMulLo}, wide{pcgAddHi, pcgAddLo}
	at := wide{hi, lo}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			at = at.times(mul).plus(add)
		}
		add = mul.plus(wide{0, 1}).times(add)
		mul = mul.times(mul)
	}
	return at.hi, at.lo
}

// wide is a number of 128 bits.
type wide struct{ hi, lo uint64 }

func (a wide) times(b wide) wide {
	hi, lo := bits.Mul64(a.lo, b.lo)
	return wide{hi + a.hi*b.lo + a.lo*b.hi, lo}
}

func (a wide) plus(b wide) wide {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return wide{hi, lo}
}

// Random fills a graph's random inputs: a pure function of the run's seed, the
// run's step, the slot and a sample's place in the step, whatever was drawn before.
type Random struct {
	Seed, Step uint64
	From, N    int    // of a batch that is a part of the step: samples before it, and its own
	Places     []int  // of the batch's samples in the step, where they are not From and what follows
	Whole      []bool // slots that have no row for each sample: the same in every part
	pcg        rand.PCG
}

// Fill writes uniform float32 in [0, 1): 24 random bits over 2^24, two a word.
func (r *Random) Fill(slot int, dst []float32) {
	if r.Places == nil || slot < len(r.Whole) && r.Whole[slot] {
		r.fill(slot, dst, r.From, r.N)
		return
	}
	size := len(dst) / len(r.Places)
	for j, place := range r.Places {
		r.fill(slot, dst[j*size:][:size], place, 1)
	}
}

// fill writes what n samples have from a place of the step on.
func (r *Random) fill(slot int, dst []float32, from, n int) {
	hi, lo := seeds(r.Seed, purposeInputs, r.Step, uint64(slot))
	if from > 0 && (slot >= len(r.Whole) || !r.Whole[slot]) {
		skip := uint64(from) * uint64(len(dst)/n)
		hi, lo = jump(hi, lo, skip/2)
		if skip%2 == 1 && len(dst) > 0 {
			r.pcg.Seed(hi, lo)
			dst[0] = float32(r.pcg.Uint64()&(1<<24-1)) * 0x1p-24
			hi, lo = jump(hi, lo, 1)
			dst = dst[1:]
		}
	}
	r.pcg.Seed(hi, lo)
	for i := 0; i < len(dst); i += 2 {
		x := r.pcg.Uint64()
		dst[i] = float32(x>>40) * 0x1p-24
		if i+1 < len(dst) {
			dst[i+1] = float32(x&(1<<24-1)) * 0x1p-24
		}
	}
}
