package datasets

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"winnow/loader"
	"winnow/loader/raster"
)

// maxShards bounds what a pattern may stand for.
const maxShards = 100000

// expand lists the files that a pattern names: a file, a folder of files with
// one of the endings, a glob, or braces with a list or a range ({a,b},
// {000..012}).
func expand(pattern string, endings []string) ([]string, error) {
	patterns, err := braces(pattern)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, p := range patterns {
		st, err := os.Stat(p)
		switch {
		case err == nil && st.IsDir():
			entries, err := os.ReadDir(p)
			if err != nil {
				return nil, reason(err)
			}
			for _, e := range entries {
				if slices.ContainsFunc(endings, func(end string) bool { return strings.HasSuffix(strings.ToLower(e.Name()), end) }) {
					files = append(files, filepath.Join(p, e.Name()))
				}
			}
		case err == nil:
			files = append(files, p)
		default:
			found, globErr := filepath.Glob(p)
			if globErr != nil || len(found) == 0 {
				return nil, fmt.Errorf("%q: %w", p, reason(err))
			}
			files = append(files, found...)
		}
		if len(files) > maxShards {
			return nil, fmt.Errorf("%w: over %d files", loader.ErrBadData, maxShards)
		}
	}
	if len(files) == 0 {
		return nil, withHint(fmt.Errorf("%w: no file ends in %s", loader.ErrBadData, strings.Join(endings, ", ")), pattern)
	}
	return files, nil
}

// braces expands the first braces of a pattern and then what follows.
func braces(pattern string) ([]string, error) {
	before, rest, open := strings.Cut(pattern, "{")
	inside, after, closed := strings.Cut(rest, "}")
	if !open || !closed {
		return []string{pattern}, nil
	}
	var middle []string
	if lo, hi, ok := strings.Cut(inside, ".."); ok {
		a, errA := strconv.Atoi(lo)
		b, errB := strconv.Atoi(hi)
		if errA != nil || errB != nil || a < 0 || b < a || b-a >= maxShards {
			return nil, fmt.Errorf("%w: braces {%s}: want {FIRST..LAST}, at most %d", loader.ErrBadData, inside, maxShards)
		}
		for k := a; k <= b; k++ {
			middle = append(middle, fmt.Sprintf("%0*d", len(lo), k))
		}
	} else {
		middle = strings.Split(inside, ",")
	}
	ends, err := braces(after)
	if err != nil {
		return nil, err
	}
	if len(middle)*len(ends) > maxShards {
		return nil, fmt.Errorf("%w: %q stands for over %d files", loader.ErrBadData, pattern, maxShards)
	}
	var all []string
	for _, m := range middle {
		for _, e := range ends {
			all = append(all, before+m+e)
		}
	}
	return all, nil
}

// splitOf is the split that a file's name begins with, "" where with none.
func splitOf(path string, names []string) string {
	base := strings.ToLower(filepath.Base(path))
	for _, name := range names {
		if rest, ok := strings.CutPrefix(base, name); ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z') {
			return name
		}
	}
	return ""
}

// shardedSet is Records of the cache files of a split's shards.
type shardedSet struct {
	name    string
	classes []string
	shards  []*cachedShard
	first   []int // index of each shard's first sample
	n       int
}

var (
	_ loader.Records = (*shardedSet)(nil)
	_ loader.Classer = (*shardedSet)(nil)
	_ loader.Namer   = (*shardedSet)(nil)
	_ loader.Located = (*shardedSet)(nil)
)

func (s *shardedSet) add(shard *cachedShard) {
	s.shards, s.first = append(s.shards, shard), append(s.first, s.n)
	s.n += shard.n
}

// Name is shown in errors.
func (s *shardedSet) Name() string { return s.name }

// Len is the number of samples.
func (s *shardedSet) Len() int { return s.n }

// Classes are the class names.
func (s *shardedSet) Classes() []string { return s.classes }

// at is the shard of sample i and its place in it.
func (s *shardedSet) at(i uint32) (*cachedShard, int) {
	k := sort.Search(len(s.first), func(k int) bool { return s.first[k] > int(i) }) - 1
	return s.shards[k], int(i) - s.first[k]
}

// Target is the class of sample i; -1 where the cache file was cut meanwhile,
// which Read then says.
func (s *shardedSet) Target(i uint32) loader.Target {
	shard, k := s.at(i)
	_, _, label, _, err := shard.entry(k)
	if err != nil || int(label) >= len(shard.classes) {
		return loader.Class(-1)
	}
	return loader.Class(int64(shard.classes[label]))
}

// Where is the shard of sample i, and its place there.
func (s *shardedSet) Where(i uint32) string {
	if int64(i) >= int64(s.n) {
		return ""
	}
	shard, k := s.at(i)
	return fmt.Sprintf("%s, sample %d", shard.meta.Source, k)
}

// Read copies image i and compares its checksum.
func (s *shardedSet) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(s.n) {
		return loader.ErrIndex
	}
	shard, k := s.at(i)
	off, length, _, sum, err := shard.entry(k)
	if err != nil {
		return err
	}
	if length < 1 || length > raster.MaxFileBytes { // zeros, of a file cut meanwhile
		length, sum = 0, 1
	}
	image := r.Encoded(length)
	if err := shard.readAt(image, off); err != nil {
		return err
	}
	if crc32.Checksum(image, castagnoli) != sum {
		return fmt.Errorf("%w: the cache file is damaged; winnow data cache --prune --all removes it, and it is made anew", loader.ErrBadData)
	}
	return nil
}

// Close closes the cache files.
func (s *shardedSet) Close() error {
	var errs []error
	for _, shard := range s.shards {
		errs = append(errs, shard.close())
	}
	return errors.Join(errs...)
}

// shardOptions are what a format of shards tells openShards.
type shardOptions struct {
	Options
	settings string   // that what is unpacked depends on
	classes  string   // file of the class names, "" for none
	columns  []string // that a data set of the hub may have its classes in
	val      float64
	endings  []string
	unpack   unpacker
}

// openShards unpacks the shards of a pattern, where the cache lacks them, and
// splits them by their names, or by val.
func openShards(s *spec, o shardOptions) (_ *Dataset, err error) {
	d := &Dataset{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("datasets: %s %q: %w", s.name, s.path, err), d.Close())
		}
	}()
	paths, err := expand(s.path, o.endings)
	if err != nil {
		return nil, err
	}
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	evaluated := ""
	for _, name := range evalNames {
		if slices.ContainsFunc(paths, func(p string) bool { return splitOf(p, evalNames) == name }) {
			evaluated = name
			break
		}
	}
	train, test := &shardedSet{name: s.name + " train"}, &shardedSet{name: s.name + " val"}
	d.closers = append(d.closers, train, test)
	for k, path := range paths {
		to := train
		if split := splitOf(path, evalNames); split == evaluated && split != "" {
			to = test
		} else if split != "" {
			continue
		}
		if err := o.context().Err(); err != nil {
			return nil, err
		}
		o.progress(k, len(paths))
		shard, err := openShard(dir, path, s.name, &o)
		if err != nil {
			return nil, err
		}
		to.add(shard)
	}
	o.progress(len(paths), len(paths))
	if err := d.shardClasses(&o, filepath.Dir(paths[0]), train, test); err != nil {
		return nil, err
	}
	return d, d.split(train, test, evaluated != "", o.val, o.Seed)
}

func openShard(dir, path, kind string, o *shardOptions) (*cachedShard, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, reason(err))
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%q: %w: not a regular file", path, loader.ErrBadData)
	}
	m := cacheMeta{Source: abs, Size: st.Size(), Time: st.ModTime(), Kind: kind, Options: o.settings}
	shard, err := cacheShard(dir, m, func(f *os.File, size int64, skip int, add func([]byte, string) error) ([]string, error) {
		return o.unpack(f, size, skip, func(image []byte, label string) error {
			if err := o.context().Err(); err != nil {
				return err
			}
			return add(image, label)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return shard, nil
}

// shardClasses gives the labels of all shards their classes: by the names asked
// for, else those that the sources list, or files beside them in dir, else by
// number, or by the names sorted.
func (d *Dataset) shardClasses(o *shardOptions, dir string, sets ...*shardedSet) error {
	var labels, names []string
	for _, set := range sets {
		for _, shard := range set.shards {
			labels = append(labels, shard.meta.Labels...)
			if names == nil {
				names = shard.meta.Names
			} else if shard.meta.Names != nil && !slices.Equal(names, shard.meta.Names) {
				return fmt.Errorf("%w: %q has other class names than the first", loader.ErrBadData, shard.meta.Source)
			}
		}
	}
	if o.classes != "" || names == nil {
		asked, err := d.classList(o.classes, dir)
		if err != nil {
			return err
		}
		if names = asked; names == nil {
			names = d.hubClasses(dir, o.columns)
		}
	}
	classNames, classOf, err := labelClasses(labels, names)
	if err != nil {
		return err
	}
	d.ClassNames = classNames
	for _, set := range sets {
		set.classes = classNames
		for _, shard := range set.shards {
			for _, label := range shard.meta.Labels {
				shard.classes = append(shard.classes, int32(classOf(label)))
			}
		}
	}
	return nil
}
