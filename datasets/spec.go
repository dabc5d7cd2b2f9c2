package datasets

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// spec is a parsed data spec: NAME[:ITEM,ITEM...]. An item of the form
// KEY=VALUE with a key of lower-case letters and hyphens is a setting; the
// others are a path, rejoined by the commas that split it. An item in double
// quotes, where a quote is written twice, is part of the path whatever it holds.
type spec struct {
	text     string
	name     string
	path     string
	settings map[string]string
}

func parseSpec(text string) (*spec, error) {
	name, rest, colon := strings.Cut(text, ":")
	s := &spec{text: text, name: name, settings: map[string]string{}}
	if name == "" || colon && rest == "" {
		return nil, s.errorf("want NAME or NAME:SETTINGS")
	}
	if !colon {
		return s, nil
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

// allow refuses settings other than keys, seed and noise, and a path where
// none is taken.
func (s *spec) allow(path bool, keys ...string) error {
	if s.path != "" && !path {
		return s.errorf("%q: want KEY=VALUE with one of %s", s.path, strings.Join(append(keys, "seed", "noise"), ", "))
	}
	for _, key := range sortedKeys(s.settings) {
		if key != "seed" && key != "noise" && !slices.Contains(keys, key) {
			return s.errorf("unknown setting %q: want one of %s", key, strings.Join(append(keys, "seed", "noise"), ", "))
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// int reads a setting between lo and hi.
func (s *spec) int(key string, def, lo, hi int) (int, error) {
	text, ok := s.settings[key]
	if !ok {
		return def, nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < lo || v > hi {
		return 0, s.errorf("%s=%s: want a whole number from %d to %d", key, text, lo, hi)
	}
	return v, nil
}

func (s *spec) uint64(key string, def uint64) (uint64, error) {
	text, ok := s.settings[key]
	if !ok {
		return def, nil
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, s.errorf("%s=%s: want a whole number from 0 up", key, text)
	}
	return v, nil
}

// fraction reads a setting in [0, 1].
func (s *spec) fraction(key string, def float64) (float64, error) {
	text, ok := s.settings[key]
	if !ok {
		return def, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, s.errorf("%s=%s: want a number from 0 to 1", key, text)
	}
	return v, nil
}

// choice reads a setting with a fixed set of values, the first the default.
func (s *spec) choice(key string, values ...string) (string, error) {
	text, ok := s.settings[key]
	if !ok {
		return values[0], nil
	}
	if !slices.Contains(values, text) {
		return "", s.errorf("%s=%s: want one of %s", key, text, strings.Join(values, ", "))
	}
	return text, nil
}
