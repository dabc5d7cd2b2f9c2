package datasets

import (
	"cmp"
	"math/bits"
	"slices"

	"winnow/loader/raster"
)

// DefaultNear is how many of the 128 bits of two hashes differ at most where
// Check takes their images for near duplicates.
const DefaultNear = 4

// MaxNear bounds it: bands of fewer bits hold too much in common.
const MaxNear = 12

// maxBucket bounds how many hashes with a band in common are compared with each
// one, so that data of nearly one image takes no quadratic time.
const maxBucket = 1000

// hash128 is a difference hash: a bit for each of 8x8 pixels of the image made
// 9x9 and grey, set where the next one to the right is lighter, and as many for
// the next one below.
//
// Source: N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013.
type hash128 struct{ rows, columns uint64 }

func (h hash128) distance(o hash128) int {
	return bits.OnesCount64(h.rows^o.rows) + bits.OnesCount64(h.columns^o.columns)
}

func (h hash128) compare(o hash128) int {
	return cmp.Or(cmp.Compare(h.rows, o.rows), cmp.Compare(h.columns, o.columns))
}

// band is bits lo to hi of both halves taken as one number of 128.
func (h hash128) band(lo, hi int) uint64 {
	mask := uint64(1)<<(hi-lo) - 1
	if lo >= 64 {
		return h.rows >> (lo - 64) & mask
	}
	return (h.columns>>lo | h.rows<<(64-lo)) & mask
}

// hasher computes hashes; its memory serves one image after the other.
type hasher struct {
	resizer raster.Resizer
	small   raster.Image
}

const hashSide = 8

// hash is that of an image of planes, of three channels or of one.
func (s *hasher) hash(m *raster.Image) (h hash128) {
	const side = hashSide + 1
	s.small.Reset(m.C, side, side)
	s.resizer.Resize(&s.small, m, m.Whole(), side, side, 0, 0, raster.Bilinear)
	if s.small.C == 3 {
		_ = s.small.SetChannels(1) // three become one
	}
	grey := s.small.Plane(0)
	for y := range hashSide {
		for x := range hashSide {
			at, bit := y*side+x, uint64(1)<<(y*hashSide+x)
			if grey[at] < grey[at+1] {
				h.rows |= bit
			}
			if grey[at] < grey[at+side] {
				h.columns |= bit
			}
		}
	}
	return h
}

// nearGroups are the samples that a chain of pairs at most so far apart joins,
// each group and the list of them in order; skip are left out. Where two hashes
// differ in at most k bits, one of k+1 bands of them is the same, so only hashes
// with a band in common are compared. partial says that some band was shared by
// more than maxBucket hashes, of which each was compared with those next to it.
func nearGroups(hashes []hash128, skip func(i int) bool, most int) (groups [][]int, partial bool) {
	order := make([]uint32, 0, len(hashes))
	for i := range hashes {
		if !skip(i) {
			order = append(order, uint32(i))
		}
	}
	sets := newSets(len(hashes))
	for b := range most + 1 {
		lo, hi := 128*b/(most+1), 128*(b+1)/(most+1)
		hi = min(hi, lo+63)
		slices.SortFunc(order, func(i, j uint32) int {
			return cmp.Or(cmp.Compare(hashes[i].band(lo, hi), hashes[j].band(lo, hi)), hashes[i].compare(hashes[j]), cmp.Compare(i, j))
		})
		for k, i := range order {
			band := hashes[i].band(lo, hi)
			for n, j := range order[k+1:] {
				if hashes[j].band(lo, hi) != band {
					break
				}
				if n == maxBucket {
					partial = true
					break
				}
				if hashes[i].distance(hashes[j]) <= most {
					sets.join(i, j)
				}
			}
		}
	}
	return sets.groups(), partial
}

// sets are disjoint sets of numbers, each with its least member for a name.
type sets []uint32

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = uint32(i)
	}
	return s
}

func (s sets) find(i uint32) uint32 {
	for s[i] != i {
		s[i] = s[s[i]]
		i = s[i]
	}
	return i
}

func (s sets) join(i, j uint32) {
	a, b := s.find(i), s.find(j)
	s[max(a, b)] = min(a, b)
}

// groups are the sets of more than one.
func (s sets) groups() (groups [][]int) {
	at := map[uint32]int{}
	for i := range s {
		name := s.find(uint32(i))
		if int(name) == i {
			continue
		}
		k, ok := at[name]
		if !ok {
			k = len(groups)
			at[name] = k
			groups = append(groups, []int{int(name)})
		}
		groups[k] = append(groups[k], i)
	}
	slices.SortFunc(groups, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	return groups
}
