package datasets

import "winnow/internal/random"

// Purposes keep the random streams drawn from one seed apart.
const (
	purposeNoise    = 0x6e6f697365       // "noise"
	purposeGlyphs   = 0x676c79706873     // "glyphs"
	purposeMistaken = 0x6d697374616b656e // "mistaken"
	purposeInstance = 0x696e7374616e6365 // "instance"
	purposeSplit    = 0x73706c6974       // "split"
)

// newStream starts the stream of one sample: a hash of its arguments.
func newStream(seed uint64, purpose, index uint64) random.Stream {
	return random.Stream(random.Mix(random.Mix(random.Mix(seed)^purpose) + index))
}
