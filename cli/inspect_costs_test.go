package cli

import (
	"reflect"
	"testing"

	"winnow/train/costs"
)

// The dearest are shown, the rest in one line that adds up; a rest of one is shown itself.
func TestDearest(t *testing.T) {
	cost := func(name string, n int, time float64) costs.Cost {
		return costs.Cost{Name: name, Count: n, Time: time, Parts: map[costs.Part]float64{costs.PartForward: time / 4, costs.PartBackward: time * 3 / 4}}
	}
	list := []costs.Cost{cost("a", 1, 16), cost("b", 2, 8), cost("c", 3, 4)}
	if got := dearest(list, 2, "things"); !reflect.DeepEqual(got, list) {
		t.Errorf("two of three: %+v", got)
	}
	want := []costs.Cost{list[0], cost("2 more things", 5, 12)}
	if got := dearest(list, 1, "things"); !reflect.DeepEqual(got, want) {
		t.Errorf("one of three: %+v, want %+v", got, want)
	}
}
