package datasets

import (
	"fmt"
	"math"

	"winnow/loader"
)

// Description is what a look at a data set's samples tells.
type Description struct {
	TrainCounts, TestCounts []int     // samples of each class
	Mean, Std               []float64 // of the training pixels by channel, in 0..1
	Sampled                 int       // training images that Mean and Std come from
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
	src, err := loader.NewSource(d.Train, nil)
	if err != nil {
		return nil, err
	}
	c, h, w := src.Shape()
	image := make([]byte, c*h*w)
	var scratch loader.Scratch
	sum, squares := make([]uint64, c), make([]uint64, c)
	for j := range k {
		i := uint32(uint64(j) * uint64(n) / uint64(k))
		if err := src.Read(loader.Draw{Index: i}, &scratch, image); err != nil {
			return nil, fmt.Errorf("datasets: describe: %w", err)
		}
		for ch := range c {
			for _, v := range image[ch*h*w:][:h*w] {
				sum[ch] += uint64(v)
				squares[ch] += uint64(v) * uint64(v)
			}
		}
	}
	pixels := float64(k) * float64(h*w)
	for ch := range c {
		mean := float64(sum[ch]) / pixels
		variance := float64(squares[ch])/pixels - mean*mean
		r.Mean = append(r.Mean, mean/255)
		r.Std = append(r.Std, math.Sqrt(max(0, variance))/255)
	}
	return r, nil
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
