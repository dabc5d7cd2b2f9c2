package datasets

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

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
	// Turned counts files by EXIF orientation, those of 2 to 8.
	Turned map[int]int `json:"exif_orientations"`
}

// digest is the first half of a SHA-256: two of many billions differ.
type digest [16]byte

// checked is what is kept of one sample until all are seen.
type checked struct {
	digest digest
	turned uint8
	bad    bool
}

// Check reads and decodes every sample of both splits with so many workers, 0
// for one a processor. progress, which may be nil, is told of samples done.
func Check(ctx context.Context, d *Dataset, decoder raster.Decoder, workers int, progress func(done, total int)) (*Findings, error) {
	splits := []*checker{{name: "train", r: d.Train}, {name: "test", r: d.Test}}
	total := d.Train.Len() + d.Test.Len()
	f := &Findings{Samples: total, Turned: map[int]int{}, Bad: []BadSample{}, Outside: []Sample{}, Duplicates: [][]Sample{}}
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
			if label := c.r.Target(i).Class(); label < 0 || label >= int64(len(d.ClassNames)) {
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
		f.count(g)
	}
	return f, nil
}

func (c *checker) sample(i uint32) Sample {
	s := Sample{Split: c.name, Index: i, Label: c.r.Target(i).Class()}
	if l, ok := c.r.(loader.Located); ok {
		s.Where = l.Where(i)
	}
	return s
}

// count counts a group of duplicates.
func (f *Findings) count(g []Sample) {
	across, contrary := false, false
	for _, s := range g[1:] {
		across = across || s.Split != g[0].Split
		contrary = contrary || s.Label != g[0].Label
	}
	if across {
		f.Across++
	}
	if contrary {
		f.Contrary++
	}
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(c.seen)) {
		wg.Go(func() {
			var r loader.Record
			var m raster.Image
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(c.seen)) || i > math.MaxUint32 {
					return
				}
				if err := c.look(uint32(i), &r, &m); err != nil {
					cancel(err)
					return
				}
				n := done.Add(1)
				c.mu.Lock()
				progress(int(n))
				c.mu.Unlock()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// look checks one sample; an error that is none of its data ends all.
func (c *checker) look(i uint32, r *loader.Record, m *raster.Image) error {
	one := &c.seen[i]
	err := c.r.Read(i, r)
	if err == nil && r.C == 0 {
		one.turned = uint8(raster.Orientation(r.Data))
		err = c.decoder.With(r.View).Decode(m, r.Data, 3, 1)
	} else if err != nil && !errors.Is(err, loader.ErrBadData) {
		return err
	}
	if err != nil {
		one.bad = true
		c.mu.Lock()
		c.reasons[i] = err.Error()
		c.mu.Unlock()
		return nil
	}
	sum := sha256.Sum256(r.Data)
	copy(one.digest[:], sum[:])
	return nil
}
