package option

import (
	"math"
	"testing"
)

type sample struct {
	Share float64
	Count int
	Word  string
	Extra float64
}

var rows = []Row[sample]{
	{Name: "share", Default: 0.5, Field: func(s *sample) any { return &s.Share }, Hi: 1, Open: "lo"},
	{Name: "count", Default: 3, Field: func(s *sample) any { return &s.Count }, Lo: 1, Hi: 9},
	{Name: "word", Default: "a", OneOf: []string{"a", "b"}, Field: func(s *sample) any { return &s.Word }},
	{Name: "extra", Default: 2.0, Field: func(s *sample) any { return &s.Extra }, Hi: math.MaxFloat32, BelowIsNone: true},
}

func TestRows(t *testing.T) {
	var s sample
	for i := range rows {
		rows[i].Resolve(&s)
	}
	if s != (sample{0.5, 3, "a", 2}) {
		t.Errorf("defaults %+v", s)
	}
	for i, v := range []any{1.0, 9, "b", 0.0} {
		if want := rows[i].Wants(v); want != "" {
			t.Errorf("%s %v: want %s", rows[i].Name, v, want)
		}
		rows[i].Set(&s, v)
		rows[i].Resolve(&s)
		if got := rows[i].Get(&s); got != v {
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
	} {
		if got := rows[c.row].Wants(c.v); got != c.want {
			t.Errorf("%s %v: want %q, not %q", rows[c.row].Name, c.v, got, c.want)
		}
	}
}
