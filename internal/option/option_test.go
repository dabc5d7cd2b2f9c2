package option

import (
	"math"
	"reflect"
	"testing"
)

type sample struct {
	Share float64
	Count int
	Word  string
	Extra float64
	On    bool
	Pair  []float64
	Eps   float64
}

var rows = []Row[sample]{
	{Name: "share", Default: 0.5, Field: func(s *sample) any { return &s.Share }, Hi: 1, Open: "lo"},
	{Name: "count", Default: 3, Field: func(s *sample) any { return &s.Count }, Lo: 1, Hi: 9},
	{Name: "word", Default: "a", OneOf: []string{"a", "b"}, Field: func(s *sample) any { return &s.Word }},
	{Name: "extra", Default: 2.0, Field: func(s *sample) any { return &s.Extra }, Hi: math.MaxFloat32, BelowIsNone: true},
	{Name: "on", Default: false, Field: func(s *sample) any { return &s.On }},
	{Name: "pair", Default: []float64{0.5, 0.25}, Field: func(s *sample) any { return &s.Pair }, Hi: 1, Open: "hi"},
	{Name: "eps", Default: 1e-8, Field: func(s *sample) any { return &s.Eps }, Hi: math.MaxFloat32, Open: "lo"},
}

func TestRows(t *testing.T) {
	var s sample
	for i := range rows {
		if rows[i].IsSet(&s) {
			t.Errorf("%s of an empty struct is set", rows[i].Name)
		}
		rows[i].Resolve(&s)
		if set := rows[i].Name != "on"; rows[i].IsSet(&s) != set {
			t.Errorf("default of %s: set is %v", rows[i].Name, !set)
		}
	}
	s.Pair[0] = 0.75
	if rows[5].Default.([]float64)[0] != 0.5 {
		t.Error("a change of one struct's slice changes the default")
	}
	s.Pair[0] = 0.5
	if !reflect.DeepEqual(s, sample{0.5, 3, "a", 2, false, []float64{0.5, 0.25}, 1e-8}) {
		t.Errorf("defaults %+v", s)
	}
	for i, v := range []any{1.0, 9, "b", 0.0, true, []float64{0, 0.9}, 1.0} {
		if want := rows[i].Wants(v); want != "" {
			t.Errorf("%s %v: want %s", rows[i].Name, v, want)
		}
		rows[i].Set(&s, v)
		rows[i].Resolve(&s)
		if got := rows[i].Get(&s); !reflect.DeepEqual(got, v) {
			t.Errorf("%s: set to %v, is %v", rows[i].Name, v, got)
		}
	}
	for _, c := range []struct {
		row  int
		v    any
		want string
	}{
		{0, 0.0, "above 0 and up to 1"}, {0, 1.5, "above 0 and up to 1"}, {0, math.NaN(), "above 0 and up to 1"},
		{1, 0, "1 to 9"}, {1, 10, "1 to 9"}, {2, "c", "one of a, b"}, {2, "", "one of a, b"}, {3, math.Inf(1), "0 or more"},
		{5, []float64{0.5}, "2 numbers"}, {5, []float64{0.5, 1}, "each 0 to below 1"}, {6, 0.0, "above 0"},
	} {
		if got := rows[c.row].Wants(c.v); got != c.want {
			t.Errorf("%s %v: want %q, not %q", rows[c.row].Name, c.v, got, c.want)
		}
	}
}
