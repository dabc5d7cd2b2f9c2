package models

import (
	"reflect"
	"testing"
)

// A bundle with other first weights is the one that the builder makes of them.
func TestDrawIsTheBuildersBundle(t *testing.T) {
	for _, a := range architectures {
		for _, seed := range []uint64{0, Seed, 7} {
			want, err := build(a.name, seed)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Draw(a.name, seed); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s of seed %d is another bundle: %v", a.name, seed, err)
			}
		}
	}
	a, err := Draw("mlp", 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Draw("mlp", 3)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(a.Init, b.Init) {
		t.Error("two seeds draw the same weights")
	}
}
