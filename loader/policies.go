package loader

import (
	"slices"

	"winnow/internal/random"
	"winnow/loader/raster"
)

// policyBins is the number of strengths of AutoAugment.
const policyBins = 10

// step is an operation of autoOps, done with probability p at strength bin of policyBins.
type step struct {
	op  string
	p   float64
	bin int
}

// policies are those of Cubuk et al. 2018 (arXiv 1805.09501), tables 7 and 9, with
// the strengths that torchvision gives them. Two steps of one row, drawn evenly,
// are done to an image.
var policies = map[string][][2]step{
	AutoCIFAR:    cifarPolicy,
	AutoImageNet: imageNetPolicy,
}

var imageNetPolicy = [][2]step{
	{{"Posterize", 0.4, 8}, {"Rotate", 0.6, 9}},
	{{"Solarize", 0.6, 5}, {"AutoContrast", 0.6, 0}},
	{{"Equalize", 0.8, 0}, {"Equalize", 0.6, 0}},
	{{"Posterize", 0.6, 7}, {"Posterize", 0.6, 6}},
	{{"Equalize", 0.4, 0}, {"Solarize", 0.2, 4}},
	{{"Equalize", 0.4, 0}, {"Rotate", 0.8, 8}},
	{{"Solarize", 0.6, 3}, {"Equalize", 0.6, 0}},
	{{"Posterize", 0.8, 5}, {"Equalize", 1, 0}},
	{{"Rotate", 0.2, 3}, {"Solarize", 0.6, 8}},
	{{"Equalize", 0.6, 0}, {"Posterize", 0.4, 6}},
	{{"Rotate", 0.8, 8}, {"Color", 0.4, 0}},
	{{"Rotate", 0.4, 9}, {"Equalize", 0.6, 0}},
	{{"Equalize", 0, 0}, {"Equalize", 0.8, 0}},
	{{"Invert", 0.6, 0}, {"Equalize", 1, 0}},
	{{"Color", 0.6, 4}, {"Contrast", 1, 8}},
	{{"Rotate", 0.8, 8}, {"Color", 1, 2}},
	{{"Color", 0.8, 8}, {"Solarize", 0.8, 7}},
	{{"Sharpness", 0.4, 7}, {"Invert", 0.6, 0}},
	{{"ShearX", 0.6, 5}, {"Equalize", 1, 0}},
	{{"Color", 0.4, 0}, {"Equalize", 0.6, 0}},
	{{"Equalize", 0.4, 0}, {"Solarize", 0.2, 4}},
	{{"Solarize", 0.6, 5}, {"AutoContrast", 0.6, 0}},
	{{"Invert", 0.6, 0}, {"Equalize", 1, 0}},
	{{"Color", 0.6, 4}, {"Contrast", 1, 8}},
	{{"Equalize", 0.8, 0}, {"Equalize", 0.6, 0}},
}

var cifarPolicy = [][2]step{
	{{"Invert", 0.1, 0}, {"Contrast", 0.2, 6}},
	{{"Rotate", 0.7, 2}, {"TranslateX", 0.3, 9}},
	{{"Sharpness", 0.8, 1}, {"Sharpness", 0.9, 3}},
	{{"ShearY", 0.5, 8}, {"TranslateY", 0.7, 9}},
	{{"AutoContrast", 0.5, 0}, {"Equalize", 0.9, 0}},
	{{"ShearY", 0.2, 7}, {"Posterize", 0.3, 7}},
	{{"Color", 0.4, 3}, {"Brightness", 0.6, 7}},
	{{"Sharpness", 0.3, 9}, {"Brightness", 0.7, 9}},
	{{"Equalize", 0.6, 0}, {"Equalize", 0.5, 0}},
	{{"Contrast", 0.6, 7}, {"Sharpness", 0.6, 5}},
	{{"Color", 0.7, 7}, {"TranslateX", 0.5, 8}},
	{{"Equalize", 0.3, 0}, {"AutoContrast", 0.4, 0}},
	{{"TranslateY", 0.4, 3}, {"Sharpness", 0.2, 6}},
	{{"Brightness", 0.9, 6}, {"Color", 0.2, 8}},
	{{"Solarize", 0.5, 2}, {"Invert", 0, 0}},
	{{"Equalize", 0.2, 0}, {"AutoContrast", 0.6, 0}},
	{{"Equalize", 0.2, 0}, {"Equalize", 0.6, 0}},
	{{"Color", 0.9, 9}, {"Equalize", 0.6, 0}},
	{{"AutoContrast", 0.8, 0}, {"Solarize", 0.2, 8}},
	{{"Brightness", 0.1, 3}, {"Color", 0.7, 0}},
	{{"Solarize", 0.4, 5}, {"AutoContrast", 0.9, 0}},
	{{"TranslateY", 0.9, 9}, {"TranslateY", 0.7, 9}},
	{{"AutoContrast", 0.9, 0}, {"Solarize", 0.8, 3}},
	{{"Equalize", 0.8, 0}, {"Invert", 0.1, 0}},
	{{"TranslateY", 0.7, 9}, {"AutoContrast", 0.9, 0}},
}

// opIndex finds the operations of steps by their names.
var opIndex = func() map[string]int {
	at := map[string]int{}
	for i := range autoOps {
		at[autoOps[i].name] = i
	}
	return at
}()

// policy changes an image by one row of a policy, drawn evenly.
func policy(r random.Stream, rows [][2]step, m *raster.Image, work []byte) []byte {
	for _, s := range rows[r.Below(uint64(len(rows)))] {
		do, sign := r.Float() < s.p, r.Next()>>63 == 1
		if !do {
			continue
		}
		op := &autoOps[opIndex[s.op]]
		work = op.do(m, op.rand, float64(s.bin)/(policyBins-1), sign, work)
	}
	return work
}

// autoNames are the values of Images.Auto.
func autoNames() []string { return []string{RandAugment, TrivialAugment, AutoImageNet, AutoCIFAR} }

func isAuto(name string) bool { return slices.Contains(autoNames(), name) }
