package datasets

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/option"
)

// spec is a parsed data spec: KIND[:ITEM,ITEM...]. An item of the form
// KEY=VALUE with a key of lower-case letters and hyphens is a setting; the
// others are a path, rejoined by the commas that split it. An item in double
// quotes, where a quote is written twice, is part of the path whatever it holds.
type spec struct {
	text     string
	name     string
	path     string
	settings map[string]string
}

// Where what stands before the colon is none of kinds, the whole is PATH or
// PATH,ITEM... without a name.
func parseSpec(text string, kinds []string) (*spec, error) {
	name, rest, colon := strings.Cut(text, ":")
	s := &spec{text: text, name: name, settings: map[string]string{}}
	switch known := slices.Contains(kinds, name); {
	case text == "" || known && colon && rest == "":
		return nil, s.errorf("want KIND, KIND:SETTINGS or a path")
	case known && !colon:
		return s, nil
	case !known:
		s.name, rest = "", text
	}
	var path []string
	for more := true; more; {
		var item string
		var quoted bool
		var err error
		if item, rest, quoted, more, err = nextItem(rest); err != nil {
			return nil, s.errorf("%w", err)
		}
		key, value, ok := strings.Cut(item, "=")
		if quoted || !ok || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz-") != "" {
			path = append(path, item)
			continue
		}
		if _, twice := s.settings[key]; twice {
			return nil, s.errorf("%s is set twice", key)
		}
		s.settings[key] = value
	}
	s.path = strings.Join(path, ",")
	return s, nil
}

// With is a spec with a setting more.
func With(spec, key, value string) string {
	separator := ","
	if slices.Contains(Kinds(), spec) {
		separator = ":"
	}
	return spec + separator + key + "=" + value
}

// NoiseRate is the rate of a noise setting, such as 0.2 or pairflip:0.4.
func NoiseRate(setting string) (rate float64, ok bool) {
	n, ok := parseNoise(setting)
	return n.Rate, ok
}

// SameNoise reports whether two settings of noise are of the same kind and rate,
// as 0.2 and symmetric:0.20 are.
func SameNoise(a, b string) bool {
	x, okX := parseNoise(a)
	y, okY := parseNoise(b)
	return okX && okY && x.Rate == y.Rate && (x.Kind == y.Kind || x.Rate == 0)
}

// nextItem takes the first item off a list; more is whether another follows.
func nextItem(list string) (item, rest string, quoted, more bool, err error) {
	text, quoted := strings.CutPrefix(list, `"`)
	if !quoted {
		item, rest, more = strings.Cut(list, ",")
		return item, rest, false, more, nil
	}
	for {
		part, after, closed := strings.Cut(text, `"`)
		item += part
		if !closed {
			return "", "", true, false, errors.New("a quote is not closed")
		}
		if text, closed = strings.CutPrefix(after, `"`); closed {
			item += `"`
			continue
		}
		rest, more = strings.CutPrefix(after, ",")
		if !more && rest != "" {
			return "", "", true, false, fmt.Errorf("%q stands behind a quote; a quote within is written twice", rest)
		}
		return item, rest, true, more, nil
	}
}

func (s *spec) errorf(format string, args ...any) error {
	return fmt.Errorf("datasets: spec %q: %w: %w", s.text, ErrSpec, fmt.Errorf(format, args...))
}

// fill sets what rows describe from the settings of the spec, their defaults
// where the spec says nothing. Settings that no row takes are left to others.
func fill[T any](s *spec, rows []option.Row[T], v *T) error {
	for i := range rows {
		row := &rows[i]
		row.Set(v, row.Default)
		text, ok := s.settings[row.Name]
		if !ok {
			continue
		}
		value, err := parseValue(row.Default, text)
		if err == nil && row.Wants(value) == "" {
			row.Set(v, value)
			continue
		}
		want := "one of " + strings.Join(row.OneOf, ", ")
		switch row.Default.(type) {
		case int:
			want = fmt.Sprintf("a whole number from %.0f to %.0f", row.Lo, row.Hi)
		case float64:
			want = fmt.Sprintf("a number from %v to %v", row.Lo, row.Hi)
			if row.Open != "" {
				want = "a number " + row.Wants(math.NaN())
			}
		}
		return s.errorf("%s=%s: want %s", row.Name, text, want)
	}
	return nil
}

// parseValue reads a value of the type of like.
func parseValue(like any, text string) (any, error) {
	switch like.(type) {
	case int:
		return strconv.Atoi(text)
	case float64:
		return strconv.ParseFloat(text, 64)
	}
	return text, nil
}

// seed is the setting seed, def where the spec has none.
func (s *spec) seed(def uint64) (uint64, error) {
	text, ok := s.settings["seed"]
	if !ok {
		return def, nil
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, s.errorf("seed=%s: want a whole number from 0 up", text)
	}
	return v, nil
}
