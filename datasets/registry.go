package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"winnow/loader"
	"winnow/loader/raster"
)

// Dataset is an opened data set.
type Dataset struct {
	Name        string
	Train, Test loader.Records
	ClassNames  []string
	// Guess is the kind that was taken for a path without one, else "".
	Guess string
	// Noise is what was done to the training labels, nil for nothing.
	Noise *Noise
	// Notes are what was decided about the data that a user may want to know.
	Notes []string
	// View is how files of images are seen.
	View raster.View

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

func (d *Dataset) notef(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// Options of Open.
type Options struct {
	// Seed of generated samples and of label noise, unless the spec has a
	// seed= of its own.
	Seed uint64
	// Dir is the data folder; "" stands for $WINNOW_DATA, else
	// $XDG_CACHE_HOME/winnow/data, else ~/.cache/winnow/data.
	Dir string
	// Context ends long work, nil never does; Progress is told of it, nil or not.
	Context  context.Context
	Progress func(done, total int)
}

func (o *Options) context() context.Context {
	if o.Context == nil {
		return context.Background()
	}
	return o.Context
}

func (o *Options) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// Info describes a data set of the registry.
type Info struct {
	Name        string
	About       string // one line
	Example     string // of a spec
	Train, Test int    // samples; the default where the spec can change them
	Classes     int
	Shape       [3]int // C, H, W
	Installed   bool   // Open(Name) needs no Fetch
	Fetchable   bool   // Fetch knows where to get it
	Where       string // folder; "" for generated data
	Settings    string // the spec's settings in a line
	Options     []Setting
}

// formats is the table: --data, `winnow data list`, help and the documentation
// come from it. A path without a kind is of the first that knows its content.
func formats() []*format {
	return []*format{
		glyphsFormat(),
		idxFormat(&fashionMNIST),
		idxFormat(&mnist),
		idxFormat(&idxOwn),
		folderFormat(),
		pairsFormat(),
		csvFormat(),
		jsonlFormat(),
		cifarFormat(&cifar10),
		cifarFormat(&cifar100),
		npzFormat(),
		npyFormat(),
		safetensorsFormat(),
		tarFormat(),
		parquetFormat(),
	}
}

// Kinds are the names that a spec can begin with.
func Kinds() []string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.info.Name)
	}
	return names
}

func find(name string) (*format, error) {
	for _, f := range formats() {
		if f.info.Name == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("datasets: spec %q: %w: no such data set: want one of %s", name, ErrSpec, strings.Join(Kinds(), ", "))
}

// guess is the format of a path by its content.
func guess(s *spec) (*format, error) {
	if _, err := os.Stat(s.path); err != nil {
		return nil, fmt.Errorf("datasets: spec %q: %w: neither a kind nor a path that can be read: want one of %s, or a path",
			s.text, ErrSpec, strings.Join(Kinds(), ", "))
	}
	for _, f := range formats() {
		if f.sniff != nil && f.sniff(s.path) {
			return f, nil
		}
	}
	if what := hint(s.path); what != "" {
		return nil, fmt.Errorf("datasets: spec %q: %w: %s", s.text, ErrSpec, what)
	}
	return nil, fmt.Errorf("datasets: spec %q: %w: the kind of its files is not known: say it with KIND:PATH, one of %s",
		s.text, ErrSpec, strings.Join(Kinds(), ", "))
}

// List describes every data set, as found in the default data folder.
func List() []Info {
	var infos []Info
	for _, e := range formats() {
		info := e.info
		if e.path == noPath {
			info.Installed = true
		} else if root, err := dataDir(""); e.files != nil && err == nil {
			info.Where = filepath.Join(root, info.Name)
			if dir, ok := e.files.locate(root); ok {
				info.Installed, info.Where = true, dir
			}
		}
		infos = append(infos, info)
	}
	return infos
}

// Open opens the data that spec names: a kind of List with its settings, such
// as "glyphs:classes=36,color=rgb", "fashion-mnist" or "mnist:PATH", or a path
// alone, whose kind its content tells.
func Open(spec string, o Options) (*Dataset, error) {
	s, err := parseSpec(spec, Kinds())
	if err != nil {
		return nil, err
	}
	guessed := s.name == ""
	var f *format
	if guessed {
		f, err = guess(s)
	} else {
		f, err = find(s.name)
	}
	if err != nil {
		return nil, err
	}
	s.name = f.info.Name
	if o.Seed, err = s.seed(o.Seed); err != nil {
		return nil, err
	}
	var c common
	if err := fill(s, commonRows, &c); err != nil {
		return nil, err
	}
	noise, err := s.noise(&c, o.Seed)
	if err != nil {
		return nil, err
	}
	view, err := s.view()
	if err != nil {
		return nil, err
	}
	d, err := f.open(s, o)
	if err != nil {
		return nil, err
	}
	d.Name = s.name
	d.see(view)
	if guessed {
		d.Guess = s.name
	}
	if noise.Rate > 0 {
		noise.classes(s.name, len(d.ClassNames))
		if d.Train, err = WithLabelNoise(d.Train, noise, len(d.ClassNames), o); err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.Noise = &noise
	}
	if d.Train.Len() > manySamples {
		debug.FreeOSMemory() // what only listing them took, several times what stays
	}
	return d, nil
}

// manySamples is where what a list of samples leaves behind is worth a collection.
const manySamples = 1 << 16

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
