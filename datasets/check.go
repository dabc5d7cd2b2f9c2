package datasets

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"

	"winnow/loader"
	"winnow/loader/raster"
)

// maxFound bounds how many of each finding a Findings spells out.
const maxFound = 1000

// Findings are what a look at every sample of a data set found.
type Findings struct {
	Samples        int                `json:"samples"`
	BadCount       int                `json:"bad_samples_count"`
	Bad            []loader.BadSample `json:"bad_samples"`
	DuplicateCount int                `json:"duplicates_count"` // samples whose bytes another before them has
	AcrossCount    int                `json:"duplicates_across_splits_count"`
	Duplicates     []Duplicate        `json:"duplicates"`
	LabelsOutside  int                `json:"labels_outside_the_classes"`
}

// Duplicate is two samples of the same bytes.
type Duplicate struct {
	First      string `json:"first"`
	Second     string `json:"second"`
	OtherClass bool   `json:"other_class,omitempty"` // their classes differ
	Across     bool   `json:"across_splits,omitempty"`
}

// spot is a sample of a split.
type spot struct {
	split int
	index uint32
}

// checker looks at samples.
type checker struct {
	splits  []loader.Records
	classes int

	mu    sync.Mutex
	seen  map[[16]byte]spot
	found Findings
}

// Check decodes every sample of both splits with so many workers, and finds
// those that cannot be read, exact duplicates and labels outside the classes.
// progress, which may be nil, is told of samples done. Which of two duplicates
// counts as the first may change from run to run.
func Check(ctx context.Context, d *Dataset, workers int, progress func(done, total int)) (*Findings, error) {
	c := &checker{splits: []loader.Records{d.Train, d.Test}, classes: len(d.ClassNames), seen: map[[16]byte]spot{}}
	total := d.Train.Len() + d.Test.Len()
	c.found.Samples = total
	var next, done atomic.Int64
	var group sync.WaitGroup
	var reported sync.Mutex
	for range max(1, workers) {
		group.Go(func() {
			var record loader.Record
			var image raster.Image
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= total {
					return
				}
				at := spot{0, uint32(i)}
				if i >= d.Train.Len() {
					at = spot{1, uint32(i - d.Train.Len())}
				}
				c.look(at, &record, &image)
				if n := done.Add(1); progress != nil {
					reported.Lock()
					progress(int(n), total)
					reported.Unlock()
				}
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("datasets: check: %w", err)
	}
	return &c.found, nil
}

// look reads one sample and notes what is wrong with it.
func (c *checker) look(at spot, record *loader.Record, image *raster.Image) {
	r := c.splits[at.split]
	err := decodeRecord(r, at.index, record, image)
	label := r.Target(at.index).Class()
	var key [16]byte
	if err == nil {
		sum := sha256.Sum256(record.Data)
		copy(key[:], sum[:])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.found
	if label < 0 || label >= int64(c.classes) {
		f.LabelsOutside++
	}
	if err != nil {
		if f.BadCount++; len(f.Bad) < maxFound {
			f.Bad = append(f.Bad, loader.BadSample{Index: at.index, Split: loader.NameOf(r), Where: whereOf(r, at.index), Reason: err.Error()})
		}
		return
	}
	first, twice := c.seen[key]
	if !twice {
		c.seen[key] = at
		return
	}
	f.DuplicateCount++
	across := first.split != at.split
	if across {
		f.AcrossCount++
	}
	if len(f.Duplicates) < maxFound {
		f.Duplicates = append(f.Duplicates, Duplicate{First: c.name(first), Second: c.name(at), Across: across,
			OtherClass: c.splits[first.split].Target(first.index).Class() != label})
	}
}

func (c *checker) name(at spot) string {
	r := c.splits[at.split]
	if where := whereOf(r, at.index); where != "" {
		return where
	}
	return fmt.Sprintf("%s, sample %d", loader.NameOf(r), at.index)
}

func whereOf(r loader.Records, i uint32) string {
	if l, ok := r.(loader.Located); ok {
		return l.Where(i)
	}
	return ""
}
