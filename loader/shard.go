package loader

// Shard is a part of each batch, by number from 0. Shards are as even as they
// go, one after the other. The zero value is all of a batch.
type Shard struct{ Index, Of int }

// Bounds is the part of samples lo to hi. Where fewer than least samples a shard
// would come of it, the last shards get none.
func (s Shard) Bounds(lo, hi, least int) (from, to int) {
	n := hi - lo
	of := max(1, min(s.Of, n/max(least, 1)))
	if s.Index >= of {
		return hi, hi
	}
	at := func(i int) int { return lo + int(int64(n)*int64(i)/int64(of)) }
	return at(s.Index), at(s.Index + 1)
}

// Largest is the most samples that a part of a batch of at most n can have.
func (s Shard) Largest(n, least int) int {
	of := max(1, s.Of)
	return min(n, max((n+of-1)/of, 2*max(least, 1)-1))
}
