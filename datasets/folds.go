package datasets

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/random"
	"winnow/loader"
)

// MaxFolds is the most parts that a set is divided into.
const MaxFolds = 100

// Folds divides records into so many folds, class by class, so that each has
// the same share of every class, give or take a sample: the fold of every
// sample, 0 to folds-1. It is a function of the labels alone.
func Folds(r loader.Records, folds int) ([]int, error) {
	if folds < 2 || folds > MaxFolds || folds > r.Len() {
		return nil, fmt.Errorf("datasets: %w: %d folds of %d samples: want 2 to %d, and no more than samples", ErrSpec, folds, r.Len(), MaxFolds)
	}
	order := make([]uint32, r.Len())
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(random.Mix(uint64(a)), random.Mix(uint64(b))) })
	fold, next, began := make([]int, r.Len()), map[int64]int{}, 0
	for _, i := range order {
		class := r.Target(i).Class()
		at, ok := next[class]
		if !ok { // classes begin at different folds, so that small ones do not fill the first
			at, began = began, began+1
		}
		fold[i] = at % folds
		next[class] = at + 1
	}
	return fold, nil
}

// ParseFold reads K/N: fold K, from 1, of N.
func ParseFold(text string) (fold, folds int, err error) {
	k, n, _ := strings.Cut(text, "/")
	fold, errK := strconv.Atoi(k)
	folds, errN := strconv.Atoi(n)
	if errK != nil || errN != nil || folds < 2 || folds > MaxFolds || fold < 1 || fold > folds {
		return 0, 0, fmt.Errorf("datasets: %w: fold %.40q: want K/N, such as 1/5, of 2 to %d", ErrSpec, text, MaxFolds)
	}
	return fold, folds, nil
}

// WithoutFold is the records that are not in a fold, 1 to folds, of Folds.
func WithoutFold(r loader.Records, fold, folds int) (loader.Records, error) {
	all, err := Folds(r, folds)
	if err != nil {
		return nil, err
	}
	p := &picked{wrapper: wrapper{r}, name: loader.NameOf(r)}
	for i, of := range all {
		if of != fold-1 {
			p.index = append(p.index, uint32(i))
		}
	}
	return p, nil
}
