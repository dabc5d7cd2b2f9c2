package datasets

import (
	"fmt"
	"math"

	"winnow/loader"
	"winnow/loader/raster"
)

// Description is what a look at a data set's samples tells.
type Description struct {
	TrainCounts, TestCounts []int     // samples of each class
	Mean, Std               []float64 // of the training pixels by channel, in 0..1
	Sampled                 int       // training images that Mean, Std and the sizes come from
	Smallest, Largest       [2]int    // height and width of the image of the fewest and of the most pixels
}

// Describe counts the labels of both splits and takes the mean and standard
// deviation of the pixels of k training images, evenly spaced (all for k <= 0
// or k > their number).
func Describe(d *Dataset, k int) (*Description, error) {
	r := &Description{}
	var err error
	if r.TrainCounts, err = countLabels(d.Train, len(d.ClassNames)); err != nil {
		return nil, err
	}
	if r.TestCounts, err = countLabels(d.Test, len(d.ClassNames)); err != nil {
		return nil, err
	}
	n := d.Train.Len()
	if k <= 0 || k > n {
		k = n
	}
	r.Sampled = k
	var c int
	var sum, squares [3]uint64
	pixels := 0.0
	var record loader.Record
	var image raster.Image
	for j := range k {
		i := uint32(uint64(j) * uint64(n) / uint64(k))
		if err := decodeRecord(d.Train, i, &record, &image); err != nil {
			return nil, fmt.Errorf("datasets: describe %q: sample %d: %w", loader.NameOf(d.Train), i, err)
		}
		if j == 0 {
			c, r.Smallest = min(image.C, len(sum)), [2]int{image.H, image.W}
		}
		if image.H*image.W < r.Smallest[0]*r.Smallest[1] {
			r.Smallest = [2]int{image.H, image.W}
		}
		if image.H*image.W > r.Largest[0]*r.Largest[1] {
			r.Largest = [2]int{image.H, image.W}
		}
		pixels += float64(image.H * image.W)
		for ch := range c {
			for _, v := range image.Plane(ch) {
				sum[ch] += uint64(v)
				squares[ch] += uint64(v) * uint64(v)
			}
		}
	}
	for ch := range c {
		mean := float64(sum[ch]) / pixels
		variance := float64(squares[ch])/pixels - mean*mean
		r.Mean = append(r.Mean, mean/255)
		r.Std = append(r.Std, math.Sqrt(max(0, variance))/255)
	}
	return r, nil
}

// decodeRecord reads a sample and its pixels, of a file in three channels.
func decodeRecord(r loader.Records, i uint32, record *loader.Record, image *raster.Image) error {
	if err := r.Read(i, record); err != nil {
		return err
	}
	if record.C > 0 {
		*image = raster.Image{C: record.C, H: record.H, W: record.W, Pix: record.Data}
		return nil
	}
	if err := raster.Decode(image, record.Data, 3); err != nil {
		return fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	return nil
}

func countLabels(r loader.Records, classes int) ([]int, error) {
	counts := make([]int, classes)
	for i := range uint32(r.Len()) {
		label := r.Target(i).Class()
		if label < 0 || label >= int64(classes) {
			return nil, fmt.Errorf("datasets: describe %q: %w: label %d of sample %d: want 0 to %d",
				loader.NameOf(r), loader.ErrBadData, label, i, classes-1)
		}
		counts[label]++
	}
	return counts, nil
}
