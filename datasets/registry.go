package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"winnow/loader"
)

// Dataset is an opened data set.
type Dataset struct {
	Name        string
	Train, Test loader.Source
	ClassNames  []string

	closers []io.Closer
}

// Close releases the files behind the sources. No reader may run or follow.
func (d *Dataset) Close() error {
	var errs []error
	for _, c := range d.closers {
		errs = append(errs, c.Close())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// Options of Open.
type Options struct {
	// Seed of generated samples and of label noise, unless the spec has a
	// seed= of its own.
	Seed uint64
	// Dir is the data folder; "" stands for $WINNOW_DATA, else
	// $XDG_CACHE_HOME/winnow/data, else ~/.cache/winnow/data.
	Dir string
}

// Info describes a data set of the registry.
type Info struct {
	Name        string
	About       string // one line
	Train, Test int    // samples; the default where the spec can change them
	Classes     int
	Shape       [3]int // C, H, W
	Installed   bool   // Open(Name) needs no Fetch
	Fetchable   bool   // Fetch knows where to get it
	Where       string // folder; "" for generated data
	Settings    string // the spec's settings, for help texts
}

// entry is one data set of the registry.
type entry struct {
	info  Info
	files *idxSet // nil for generated data
	open  func(s *spec, o Options) (*Dataset, error)
}

func registry() []*entry {
	return []*entry{glyphsEntry(), idxEntry(&fashionMNIST), idxEntry(&mnist)}
}

func find(name string) (*entry, error) {
	var names []string
	for _, e := range registry() {
		if e.info.Name == name {
			return e, nil
		}
		names = append(names, e.info.Name)
	}
	return nil, fmt.Errorf("datasets: spec %q: %w: no such data set: want one of %s", name, ErrSpec, strings.Join(names, ", "))
}

// List describes every data set, as found in the default data folder.
func List() []Info {
	var infos []Info
	for _, e := range registry() {
		info := e.info
		if e.files == nil {
			info.Installed = true
		} else if root, err := dataDir(""); err == nil {
			info.Where = filepath.Join(root, info.Name)
			if dir, ok := e.files.locate(root); ok {
				info.Installed, info.Where = true, dir
			}
		}
		infos = append(infos, info)
	}
	return infos
}

// Open opens the data set that spec names: "glyphs",
// "glyphs:classes=36,color=rgb,train=60000,test=10000", "fashion-mnist",
// "fashion-mnist:PATH", "mnist:PATH". Every one takes noise=P: the share of
// training labels replaced by another class.
func Open(spec string, o Options) (*Dataset, error) {
	s, err := parseSpec(spec)
	if err != nil {
		return nil, err
	}
	e, err := find(s.name)
	if err != nil {
		return nil, err
	}
	if o.Seed, err = s.uint64("seed", o.Seed); err != nil {
		return nil, err
	}
	noise, err := s.fraction("noise", 0)
	if err != nil {
		return nil, err
	}
	d, err := e.open(s, o)
	if err != nil {
		return nil, err
	}
	d.Name = s.name
	if noise > 0 {
		if d.Train, err = WithLabelNoise(d.Train, noise, len(d.ClassNames), o.Seed); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// Fetch makes the named data set available under dir, the data folder ("" as
// in Options.Dir). Data already there is checked and left alone. Files appear
// whole or not at all. progress, which may be nil, is told of bytes laid down
// so far and in all.
func Fetch(ctx context.Context, name, dir string, progress func(done, total int64)) error {
	e, err := find(name)
	if err != nil {
		return err
	}
	if e.files == nil {
		return nil
	}
	if !e.info.Fetchable {
		return fmt.Errorf("datasets: fetch %q: %w: give a folder that holds it: %s:PATH", name, ErrUnavailable, name)
	}
	root, err := dataDir(dir)
	if err != nil {
		return err
	}
	return newFetcher(e.files, progress).fetch(ctx, filepath.Join(root, name))
}

// dataDir is the data folder.
func dataDir(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv("WINNOW_DATA")
	}
	if dir == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("datasets: data folder: %w: set WINNOW_DATA", err)
			}
			cache = filepath.Join(home, ".cache")
		}
		dir = filepath.Join(cache, "winnow", "data")
	}
	return filepath.Abs(dir)
}
