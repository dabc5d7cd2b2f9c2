package datasets

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"winnow/loader"
	"winnow/loader/raster"
)

// Description is what a look at a data set's samples tells.
type Description struct {
	TrainCounts []int `json:"train_counts"` // samples of each class
	TestCounts  []int `json:"test_counts"`
	// Imbalance is the largest class over the smallest that has samples, in training.
	Imbalance float64   `json:"imbalance"`
	Sampled   int       `json:"sampled"` // training images that what follows comes from
	Mean      []float64 `json:"mean"`    // of the pixels by channel, in 0..1
	Std       []float64 `json:"std"`
	// Images by their number of pixels; files are decoded to three channels.
	Smallest Size `json:"smallest"`
	Median   Size `json:"median"`
	Largest  Size `json:"largest"`
}

// Size is that of an image in pixels.
type Size struct {
	Height int `json:"height"`
	Width  int `json:"width"`
}

// Describe counts the labels of both splits and looks at the pixels of k
// training images, evenly spaced (all for k <= 0 or k > their number).
func Describe(ctx context.Context, d *Dataset, decoder raster.Decoder, k int) (*Description, error) {
	r := &Description{}
	var err error
	if r.TrainCounts, err = countLabels(d.Train, len(d.ClassNames)); err != nil {
		return nil, err
	}
	if r.TestCounts, err = countLabels(d.Test, len(d.ClassNames)); err != nil {
		return nil, err
	}
	r.Imbalance = imbalance(r.TrainCounts)
	n := d.Train.Len()
	if k <= 0 || k > n {
		k = n
	}
	r.Sampled = k
	var p pixelSums
	for j := range k {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		i := uint32(uint64(j) * uint64(n) / uint64(k))
		if err := p.add(d.Train, decoder, i); err != nil {
			where := ""
			if l, ok := d.Train.(loader.Located); ok && l.Where(i) != "" {
				where = fmt.Sprintf(" (%q)", l.Where(i))
			}
			return nil, fmt.Errorf("datasets: describe: sample %d of %q%s: %w", i, loader.NameOf(d.Train), where, err)
		}
	}
	p.describe(r)
	return r, nil
}

func imbalance(counts []int) float64 {
	least, most := 0, 0
	for _, n := range counts {
		if most = max(most, n); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if least == 0 {
		return 0
	}
	return float64(most) / float64(least)
}

// pixelSums adds up pixels by channel.
type pixelSums struct {
	sum, squares []uint64
	pixels       uint64
	sizes        []Size
	record       loader.Record
	image        raster.Image
}

func (p *pixelSums) add(records loader.Records, decoder raster.Decoder, i uint32) error {
	r, m := &p.record, &p.image
	if err := records.Read(i, r); err != nil {
		return err
	}
	if r.C > 0 {
		*m = raster.Image{C: r.C, H: r.H, W: r.W, Pix: r.Data}
	} else if err := decoder.With(r.View).Decode(m, r.Data, 3, 1); err != nil {
		return fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	if p.sum == nil {
		p.sum, p.squares = make([]uint64, m.C), make([]uint64, m.C)
	}
	for c := range m.C {
		for _, v := range m.Plane(c) {
			p.sum[c] += uint64(v)
			p.squares[c] += uint64(v) * uint64(v)
		}
	}
	p.pixels += uint64(m.H) * uint64(m.W)
	p.sizes = append(p.sizes, Size{m.H, m.W})
	return nil
}

func (p *pixelSums) describe(r *Description) {
	n := float64(p.pixels)
	for c := range p.sum {
		mean := float64(p.sum[c]) / n
		variance := float64(p.squares[c])/n - mean*mean
		r.Mean = append(r.Mean, mean/255)
		r.Std = append(r.Std, math.Sqrt(max(0, variance))/255)
	}
	slices.SortFunc(p.sizes, func(a, b Size) int {
		return cmp.Or(cmp.Compare(a.Height*a.Width, b.Height*b.Width), cmp.Compare(a.Height, b.Height))
	})
	r.Smallest, r.Median, r.Largest = p.sizes[0], p.sizes[len(p.sizes)/2], p.sizes[len(p.sizes)-1]
}

func countLabels(r loader.Records, classes int) ([]int, error) {
	counts := make([]int, classes)
	for i := range uint32(r.Len()) {
		label := r.Target(i).Class()
		if label < 0 && r.Target(i).Kind() != loader.ClassTarget {
			continue // it has other targets
		}
		if label < 0 || label >= int64(classes) {
			return nil, fmt.Errorf("datasets: describe %q: %w: label %d of sample %d: want 0 to %d",
				loader.NameOf(r), loader.ErrBadData, label, i, classes-1)
		}
		counts[label]++
	}
	return counts, nil
}
