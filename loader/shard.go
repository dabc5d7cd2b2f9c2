package loader

// Shard is a part of each batch, by number from 0. Shards are as even as they
// go, one after the other. The zero value is all of a batch.
type Shard struct {
	Index, Of int
	// Pairs keeps neighbours together, of samples in the order of Pair.
	Pairs bool
}

// Bounds is the part of samples lo to hi. Where fewer than least samples a shard
// would come of it, the last shards get none.
func (s Shard) Bounds(lo, hi, least int) (from, to int) {
	n, size := hi-lo, 1
	if s.Pairs {
		n, size, least = n/2, 2, (least+1)/2
	}
	of := max(1, min(s.Of, n/max(least, 1)))
	if s.Index >= of {
		return hi, hi
	}
	at := func(i int) int { return lo + size*int(int64(n)*int64(i)/int64(of)) }
	if s.Index == of-1 {
		return at(s.Index), hi // with one that has no pair
	}
	return at(s.Index), at(s.Index + 1)
}

// Largest is the most samples that a part of a batch of at most n can have.
func (s Shard) Largest(n, least int) int {
	if s.Pairs {
		return min(n, 2*Shard{Of: s.Of}.Largest(n/2, (least+1)/2)+1)
	}
	of := max(1, s.Of)
	return min(n, max((n+of-1)/of, 2*max(least, 1)-1))
}

// Pair brings the samples of a batch that Mix joins, i and N-1-i, next to each
// other, so that a shard has both; one without another comes last.
func Pair[T any](batch []T) {
	n := len(batch)
	paired := make([]T, 0, n)
	for i := range n / 2 {
		paired = append(paired, batch[i], batch[n-1-i])
	}
	copy(batch, append(paired, batch[n/2:][:n%2]...))
}

// Places says where in a batch of n its samples were before Pair.
func Places(n int) []int {
	places := make([]int, n)
	for i := range places {
		places[i] = i
	}
	Pair(places)
	return places
}
