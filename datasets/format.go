package datasets

import (
	"fmt"
	"slices"
	"strings"

	"winnow/internal/option"
)

// format is a row of the table of formats: all that there is to say of one.
type format struct {
	info Info
	path pathUse
	// encoded is whether it holds files of images, which are decoded.
	encoded bool
	// files are those that Fetch lays down, nil where it lays none.
	files *idxSet
	// sniff tells by its content whether a file or folder is of the format; nil
	// where a path alone never stands for it.
	sniff func(path string) bool
	open  func(s *spec, o Options) (*Dataset, error)
}

// pathUse is whether a format takes a path.
type pathUse int

const (
	noPath pathUse = iota
	somePath
	needsPath
)

// Setting is one key=value of a spec, for help and documentation.
type Setting struct {
	Name    string
	Values  string // 10..62, grey|rgb, TEXT
	Default string // "" where it depends on others
	About   string
}

// newFormat completes a row: open is given the format's own settings, checked.
func newFormat[T any](f format, rows []option.Row[T], open func(s *spec, v *T, o Options) (*Dataset, error)) *format {
	var names []string
	for i := range rows {
		r := &rows[i]
		names = append(names, r.Name)
		f.info.Options = append(f.info.Options, settingOf(r))
	}
	if f.encoded {
		for i := range viewRows {
			names = append(names, viewRows[i].Name)
			f.info.Options = append(f.info.Options, settingOf(&viewRows[i]))
		}
	}
	f.info.Options = append(f.info.Options, commonSettings()...)
	for _, s := range commonSettings() {
		names = append(names, s.Name)
	}
	f.info.Settings = settingsText(f.path, f.info.Options)
	f.open = func(s *spec, o Options) (*Dataset, error) {
		if err := s.allow(f.path, names); err != nil {
			return nil, err
		}
		var v T
		if err := fill(s, rows, &v); err != nil {
			return nil, err
		}
		return open(s, &v, o)
	}
	return &f
}

// common are the settings that every format takes.
type common struct{ noise, noiseSeed string }

var commonRows = []option.Row[common]{
	{Name: "noise", Doc: "share `P` of training labels replaced by another class, for experiments: symmetric by any other, pairflip by the next, asymmetric by the one it is mistaken for, instance by one that the image makes likely", Default: "0",
		Field: func(c *common) any { return &c.noise }},
	{Name: "noise-seed", Doc: "seed `N` of the noise alone", Default: "",
		Field: func(c *common) any { return &c.noiseSeed }},
}

func commonSettings() []Setting {
	noise, seed := settingOf(&commonRows[0]), settingOf(&commonRows[1])
	noise.Values, seed.Values = "P|"+strings.Join(NoiseKinds(), ":P|")+":P", "N"
	return []Setting{noise, seed,
		{Name: "seed", Values: "N", Default: "0", About: "seed `N` of what is drawn: noise, splits, generated images"}}
}

func settingOf[T any](r *option.Row[T]) Setting {
	s := Setting{Name: r.Name, Default: fmt.Sprint(r.Default), About: r.Doc}
	switch v := r.Default.(type) {
	case string:
		s.Values = "NAME"
		if r.OneOf != nil {
			s.Values = strings.Join(r.OneOf, "|")
		}
	case int:
		s.Values = fmt.Sprintf("%.0f..%.0f", r.Lo, r.Hi)
		if float64(v) < r.Lo {
			s.Default = ""
		}
	case float64:
		s.Values = fmt.Sprintf("%v..%v", r.Lo, r.Hi)
	}
	return s
}

// settingsText is a line of all settings.
func settingsText(path pathUse, settings []Setting) string {
	var parts []string
	if path != noPath {
		parts = append(parts, "PATH")
	}
	for _, s := range settings {
		parts = append(parts, s.Name+"="+s.Values)
	}
	return strings.Join(parts, ", ")
}

// allow refuses settings that are not among names, a path where none is taken,
// and none where one is needed.
func (s *spec) allow(path pathUse, names []string) error {
	if s.path != "" && path == noPath {
		return s.errorf("%q: want KEY=VALUE with one of %s", s.path, strings.Join(names, ", "))
	}
	if s.path == "" && path == needsPath {
		return s.errorf("no path: want %s:PATH", s.name)
	}
	for _, key := range sortedNames(s.settings) {
		if !slices.Contains(names, key) {
			return s.errorf("unknown setting %q: want one of %s", key, strings.Join(names, ", "))
		}
	}
	return nil
}
