package train

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"winnow/train/step"
)

func TestParseReference(t *testing.T) {
	for in, want := range map[string]reference{
		"":             {kind: referencePopulation},
		"population":   {kind: referencePopulation},
		"holdout:0.01": {kind: referenceHoldout, share: 0.01},
		"pseudo:0.5":   {kind: referencePseudo, share: 0.5},
		"clean.txt":    {kind: referenceFile, path: "clean.txt"},
	} {
		if got, err := parseReference(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"holdout", "pseudo", "holdout:", "holdout:0", "pseudo:1", "holdout:NaN", "pseudo:-1", "holdout:x"} {
		if _, err := parseReference(in); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestParseIndices(t *testing.T) {
	got, err := parseIndices(strings.NewReader("# a\n9\n 3 \n\n9\r\n0"), 10)
	if err != nil || !reflect.DeepEqual(got, []uint32{0, 3, 9}) {
		t.Errorf("%v, %v", got, err)
	}
	for name, in := range map[string]string{
		"empty": "# none\n", "outside": "10\n", "negative": "-1", "word": "1\ntwo", "fraction": "1.5",
		"long line": strings.Repeat("1", 100), "too many": strings.Repeat("1\n", 11),
	} {
		if _, err := parseIndices(strings.NewReader(in), 10); !errors.Is(err, ErrReference) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSampleIndices(t *testing.T) {
	hits := make([]int, 50)
	for seed := range uint64(2000) {
		s := sampleIndices(50, 10, step.Stream(seed, purposeHoldout, 0, 0))
		if len(s) != 10 || !slices.IsSorted(s) || len(slices.Compact(slices.Clone(s))) != 10 {
			t.Fatalf("seed %d: %v", seed, s)
		}
		for _, i := range s {
			hits[i]++
		}
	}
	for i, h := range hits { // binomial, mean 400, deviation 18
		if math.Abs(float64(h)-400) > 5*18 {
			t.Errorf("index %d was drawn %d times in 2000, want about 400", i, h)
		}
	}
}
