package datasets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"winnow/internal/guard"
	"winnow/loader"
	"winnow/loader/raster"
)

// Sample names one sample of a data set.
type Sample struct {
	Split string `json:"split"` // train or test
	Index uint32 `json:"index"`
	Where string `json:"where,omitempty"`
	Label int64  `json:"label"`
}

// BadSample is a sample with what is wrong with it.
type BadSample struct {
	Sample
	Reason string `json:"reason"`
}

// Findings are what Check found.
type Findings struct {
	Samples int         `json:"samples"`
	Bad     []BadSample `json:"bad"` // that cannot be read or decoded
	// Outside are samples whose label is no class.
	Outside []Sample `json:"outside"`
	// Duplicates are groups of samples of the same bytes.
	Duplicates [][]Sample `json:"duplicates"`
	// Across counts the groups with samples of both splits, Contrary those whose labels differ.
	Across   int `json:"across_splits"`
	Contrary int `json:"contrary_labels"`
	// Near are groups of samples that look alike and are not all of the same bytes.
	Near [][]Sample `json:"near_duplicates"`
	// NearAcross and NearContrary count them as Across and Contrary do.
	NearAcross   int `json:"near_across_splits"`
	NearContrary int `json:"near_contrary_labels"`
	// NearPartial says that so many looked alike that not all were compared.
	NearPartial bool `json:"near_partial,omitempty"`
	// Turned counts files by EXIF orientation, those of 2 to 8.
	Turned map[int]int `json:"exif_orientations"`
}

// digest is the first half of a SHA-256: two of many billions differ.
type digest [16]byte

// checked is what is kept of one sample until all are seen.
type checked struct {
	digest digest
	hash   hash128
	turned uint8
	bad    bool
}

// Check reads and decodes every sample of both splits, and its masks, with so many workers, 0
// for one a processor. near is how many bits of their hashes near duplicates
// differ in at most, below 0 for not looking for them. progress, which may be
// nil, is told of samples done.
func Check(ctx context.Context, d *Dataset, decoder raster.Decoder, workers, near int, progress func(done, total int)) (*Findings, error) {
	splits := []*checker{{name: "train", r: d.Train}, {name: "test", r: d.Test}}
	total := d.Train.Len() + d.Test.Len()
	f := &Findings{Samples: total, Turned: map[int]int{}, Bad: []BadSample{}, Outside: []Sample{}, Duplicates: [][]Sample{}, Near: [][]Sample{}}
	type place struct {
		split *checker
		i     uint32
	}
	first, group := map[digest]place{}, map[digest]int{} // where bytes were first seen, their group
	done := 0
	for _, c := range splits {
		c.decoder, c.seen, c.reasons = decoder, make([]checked, c.r.Len()), map[uint32]string{}
		if err := c.run(ctx, workers, func(n int) {
			if progress != nil {
				progress(done+n, total)
			}
		}); err != nil {
			return nil, err
		}
		done += c.r.Len()
		for i := range uint32(c.r.Len()) {
			one := &c.seen[i]
			if target := c.r.Target(i); target.Kind() == loader.ClassTarget && (target.Class() < 0 || target.Class() >= int64(len(d.ClassNames))) {
				f.Outside = append(f.Outside, c.sample(i))
			}
			if one.turned > 1 {
				f.Turned[int(one.turned)]++
			}
			if one.bad {
				f.Bad = append(f.Bad, BadSample{c.sample(i), c.reasons[i]})
				continue
			}
			was, seen := first[one.digest]
			if !seen {
				first[one.digest] = place{c, i}
				continue
			}
			k, ok := group[one.digest]
			if !ok {
				k = len(f.Duplicates)
				group[one.digest] = k
				f.Duplicates = append(f.Duplicates, []Sample{was.split.sample(was.i)})
			}
			f.Duplicates[k] = append(f.Duplicates[k], c.sample(i))
		}
	}
	for _, g := range f.Duplicates {
		countGroup(g, &f.Across, &f.Contrary)
	}
	if near >= 0 {
		f.near(splits, min(near, MaxNear))
	}
	return f, nil
}

// near fills in the groups of near duplicates.
func (f *Findings) near(splits []*checker, most int) {
	var hashes []hash128
	for _, c := range splits {
		for i := range c.seen {
			hashes = append(hashes, c.seen[i].hash)
		}
	}
	at := func(i int) (*checker, int) {
		if n := len(splits[0].seen); i >= n {
			return splits[1], i - n
		}
		return splits[0], i
	}
	groups, partial := nearGroups(hashes, func(i int) bool { c, k := at(i); return c.seen[k].bad }, most)
	f.NearPartial = partial
	for _, members := range groups {
		var g []Sample
		first, k := at(members[0])
		same := true
		for _, i := range members {
			c, j := at(i)
			g = append(g, c.sample(uint32(j)))
			same = same && c.seen[j].digest == first.seen[k].digest
		}
		if !same {
			f.Near = append(f.Near, g)
			countGroup(g, &f.NearAcross, &f.NearContrary)
		}
	}
}

func (c *checker) sample(i uint32) Sample {
	s := Sample{Split: c.name, Index: i, Label: c.r.Target(i).Class()}
	if l, ok := c.r.(loader.Located); ok {
		s.Where = l.Where(i)
	}
	return s
}

// countGroup counts a group of duplicates.
func countGroup(g []Sample, across, contrary *int) {
	splits, labels := 0, 0
	for _, s := range g[1:] {
		if s.Split != g[0].Split {
			splits = 1
		}
		if s.Label != g[0].Label {
			labels = 1
		}
	}
	*across += splits
	*contrary += labels
}

// checker checks the samples of one split.
type checker struct {
	name    string
	r       loader.Records
	decoder raster.Decoder
	seen    []checked

	mu      sync.Mutex
	reasons map[uint32]string // of the bad ones
}

func (c *checker) run(ctx context.Context, workers int, progress func(done int)) error {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next, done atomic.Int64
	var told sync.Mutex
	tell := func() {
		told.Lock()
		defer told.Unlock()
		progress(int(done.Add(1)))
	}
	return guard.Workers(ctx, min(workers, len(c.seen)), func(ctx context.Context) error {
		var r loader.Record
		var m raster.Image
		var h hasher
		for ctx.Err() == nil {
			i := next.Add(1) - 1
			if i >= int64(len(c.seen)) || i > math.MaxUint32 {
				return nil
			}
			if err := c.look(uint32(i), &r, &m, &h); err != nil {
				return err
			}
			tell()
		}
		return nil
	})
}

// look checks one sample; an error that is none of its data ends all.
func (c *checker) look(i uint32, r *loader.Record, m *raster.Image, h *hasher) error {
	one := &c.seen[i]
	err := c.r.Read(i, r)
	if err == nil && r.C == 0 {
		one.turned = uint8(raster.Orientation(r.Data))
		err = c.decoder.With(r.View).Decode(m, r.Data, 3, 1)
	} else if err != nil && !errors.Is(err, loader.ErrBadData) {
		return err
	}
	if err == nil {
		h, w := r.H, r.W
		if r.C == 0 {
			h, w = m.H, m.W
		}
		if err = c.lookAtMasks(i, h, w, one.turned > 4); err != nil && !errors.Is(err, loader.ErrBadData) {
			return err
		}
	}
	if err != nil {
		one.bad = true
		c.mu.Lock()
		c.reasons[i] = err.Error()
		c.mu.Unlock()
		return nil
	}
	if r.C > 0 {
		one.hash = h.hash(&raster.Image{C: r.C, H: r.H, W: r.W, Pix: r.Data})
	} else {
		one.hash = h.hash(m)
	}
	sum := sha256.Sum256(r.Data)
	copy(one.digest[:], sum[:])
	return nil
}

// lookAtMasks reads each mask of a sample, whose image has a size, or that on
// its side where its file says so.
func (c *checker) lookAtMasks(i uint32, h, w int, turned bool) error {
	t, ok := c.r.(loader.Targeted)
	if !ok {
		return nil
	}
	for k, s := range t.Targets() {
		if s.Kind != loader.MaskTarget {
			continue
		}
		var r loader.Record
		err := t.ReadTarget(i, k, &r)
		if err == nil {
			err = loader.CheckMask(&r, h, w)
			if err != nil && turned && loader.CheckMask(&r, w, h) == nil {
				err = nil
			}
		}
		if err != nil && len(r.From) > 0 {
			return fmt.Errorf("%s %q: %w", s.Name, r.From, err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}
