package tune

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"winnow/internal/atomicfile"
	"winnow/internal/files"
	"winnow/onnx/bundle"
)

const (
	cacheFormat = "winnow.tune/1"
	maxCache    = 16 << 20
)

// cache is the file of times, read whole and written whole.
type cache struct {
	path    string
	changed bool
	Format  string                      `json:"format"`
	Places  map[string]map[string]timed `json:"places"` // by place and key
}

// timed are the times of a case's forms, and a sum over the graphs they are of.
type timed struct {
	Graphs       string             `json:"graphs"`
	Milliseconds map[string]float64 `json:"ms"`
}

// CachePath is the file of times of this user.
func CachePath() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("tune: cache: %w", err)
	}
	return filepath.Join(dir, "winnow", "tune.json"), nil
}

// openCache reads the times at path. A file that cannot be used stays as it is,
// with a notice: it may be none of ours.
func openCache(path string, notice func(string)) *cache {
	c := &cache{}
	if path != "" {
		if err := c.read(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			notice(fmt.Sprintf("tune: cache %q is not used, nor written: %v; remove it or name another with --tune-cache", path, err))
			*c, path = cache{}, ""
		}
	}
	c.path, c.Format = path, cacheFormat
	if c.Places == nil {
		c.Places = map[string]map[string]timed{}
	}
	return c
}

func (c *cache) read(path string) error {
	data, err := files.Read(path, maxCache)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, c); err != nil {
		return err
	}
	if c.Format != cacheFormat {
		return fmt.Errorf("format %q, want %q", c.Format, cacheFormat)
	}
	return nil
}

// at is the part of the cache for a place; what is written to it is kept.
func (c *cache) at(t *bundle.Tuned) map[string]timed {
	place := fmt.Sprintf("%s, %s, %d threads, batches of %d, ONNX Runtime %s, %s",
		t.Provider, t.Hardware, t.Threads, t.BatchSize, t.ONNXRuntime, t.Layout)
	if c.Places[place] == nil {
		c.Places[place] = map[string]timed{}
	}
	return c.Places[place]
}

// complete is whether every form, and no other, has a time that can be one.
func complete(ms map[string]float64, forms []string) bool {
	for _, form := range forms {
		if t, ok := ms[form]; !ok || !(t >= 0) || math.IsInf(t, 0) {
			return false
		}
	}
	return len(ms) == len(forms)
}

// save writes the cache beside its place and renames it, if there is anything new.
func (c *cache) save() error {
	if c.path == "" || !c.changed {
		return nil
	}
	if err := c.write(); err != nil {
		return fmt.Errorf("tune: cache %q is not written: %w", c.path, err)
	}
	c.changed = false
	return nil
}

func (c *cache) write() error {
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteBytes(c.path, append(data, '\n'))
}
