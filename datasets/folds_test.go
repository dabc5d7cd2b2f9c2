package datasets

import (
	"bytes"
	"errors"
	"testing"

	"winnow/loader"
)

// Every sample is in one fold, each class is spread evenly, and what is left out
// of all of them together is everything.
func TestFolds(t *testing.T) {
	const n, folds = 503, 4
	r := open(t, "glyphs:train=503,noise=0.2").Train
	fold, err := Folds(r, folds)
	if err != nil {
		t.Fatal(err)
	}
	count, all := map[[2]int64]int{}, map[int64]int{}
	for i, f := range fold {
		if f < 0 || f >= folds {
			t.Fatalf("sample %d is in fold %d", i, f)
		}
		class := r.Target(uint32(i)).Class()
		count[[2]int64{class, int64(f)}]++
		all[class]++
	}
	for class, total := range all {
		for f := range int64(folds) {
			if k := count[[2]int64{class, f}]; k != total/folds && k != total/folds+1 {
				t.Errorf("class %d: %d of %d samples in fold %d", class, k, total, f)
			}
		}
	}
	for k := 1; k <= folds; k++ {
		rest, err := WithoutFold(r, k, folds)
		if err != nil {
			t.Fatal(err)
		}
		at := uint32(0)
		var a, b loader.Record
		for i, f := range fold {
			if f == k-1 {
				continue
			}
			if err := errors.Join(r.Read(uint32(i), &a), rest.Read(at, &b)); err != nil {
				t.Fatal(err)
			}
			if rest.Target(at) != r.Target(uint32(i)) || loader.TrueLabelOf(rest, at) != loader.TrueLabelOf(r, uint32(i)) || !bytes.Equal(a.Data, b.Data) {
				t.Fatalf("without fold %d: sample %d is not sample %d of all", k, at, i)
			}
			at++
		}
		if rest.Len() != int(at) {
			t.Errorf("without fold %d: %d samples, want %d", k, rest.Len(), at)
		}
		if err := rest.Read(at, &b); !errors.Is(err, loader.ErrIndex) {
			t.Error(err)
		}
	}
	if _, err := Folds(r, 1); !errors.Is(err, ErrSpec) {
		t.Error(err)
	}
	for _, text := range []string{"", "1", "0/3", "4/3", "1/1", "1/101", "a/b", "1/3/5"} {
		if _, _, err := ParseFold(text); !errors.Is(err, ErrSpec) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if k, n, err := ParseFold("2/5"); k != 2 || n != 5 || err != nil {
		t.Error(k, n, err)
	}
}
