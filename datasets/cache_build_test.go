package datasets

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
)

// shardCase is a shard whose cache file is built.
type shardCase struct {
	path   string
	o      shardOptions
	m      cacheMeta
	n      int // samples
	whole  []byte
	folder string
}

func shardCases(t *testing.T) map[string]*shardCase {
	dir := t.TempDir()
	writeTarCase(t, dir)
	copyFile(t, "testdata/train-00000-of-00001.parquet", filepath.Join(dir, "train.parquet"))
	list := map[string]*shardCase{}
	for name, n := range map[string]int{"train-000.tar": 4, "train-001.tar.gz": 5, "train-002.tar.zst": 3, "train.parquet": 13} {
		c := &shardCase{path: filepath.Join(dir, name), n: n, folder: t.TempDir()}
		c.o.unpack = new(tarOptions).unpack
		if strings.HasSuffix(name, "parquet") {
			c.o.unpack = new(parquetOptions).unpack
		}
		c.build(t.Context(), t)
		c.whole = c.file(t)
		list[name] = c
	}
	return list
}

// build opens the shard and returns how many of its samples were unpacked.
func (c *shardCase) build(ctx context.Context, t *testing.T) (unpacked int, err error) {
	t.Helper()
	o := c.o
	o.Context = ctx
	o.unpack = func(f *os.File, size int64, skip int, add func([]byte, string) error) ([]string, error) {
		return c.o.unpack(f, size, skip, func(image []byte, label string) error {
			unpacked++
			return add(image, label)
		})
	}
	s, err := openShard(c.folder, c.path, "kind", &o)
	if err != nil {
		return unpacked, err
	}
	c.m = s.meta
	if s.n != c.n {
		t.Fatalf("%d samples: want %d", s.n, c.n)
	}
	return unpacked, s.close()
}

func (c *shardCase) at() string { return filepath.Join(c.folder, c.m.key()) }

func (c *shardCase) file(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(c.at())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCacheGoesOn: whatever is there of a cache file, it ends up with the bytes
// of one made in one go, and whole images are not unpacked again.
func TestCacheGoesOn(t *testing.T) {
	for name, c := range shardCases(t) {
		t.Run(name, func(t *testing.T) {
			last := c.n
			for cut := len(c.whole); cut >= 0; cut = max(cut-19, min(0, cut-1)) {
				if err := os.Remove(c.at()); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(c.at()+partEnding, c.whole[:cut], 0o666); err != nil {
					t.Fatal(err)
				}
				n, err := c.build(t.Context(), t)
				if err != nil || !bytes.Equal(c.file(t), c.whole) {
					t.Fatalf("cut to %d bytes: %v, or other bytes", cut, err)
				}
				if kept := c.n - n; kept > last || cut == len(c.whole) && kept != c.n || cut == 0 && kept != 0 {
					t.Fatalf("cut to %d bytes: %d of %d samples kept", cut, kept, c.n)
				} else {
					last = kept
				}
				if _, err := os.Stat(c.at() + partEnding); !errors.Is(err, os.ErrNotExist) {
					t.Fatal("the part is left over")
				}
			}
			for at := 0; at < len(c.whole); at += 67 { // damaged anywhere
				damaged := bytes.Clone(c.whole)
				damaged[at] ^= 0x40
				if err := errors.Join(os.Remove(c.at()), os.WriteFile(c.at()+partEnding, damaged, 0o666)); err != nil {
					t.Fatal(err)
				}
				if _, err := c.build(t.Context(), t); err != nil || !bytes.Equal(c.file(t), c.whole) {
					t.Fatalf("byte %d changed: %v, or other bytes", at, err)
				}
			}
		})
	}
}

// TestCacheInterrupted: what was unpacked stays when work is cancelled, is listed
// as unfinished, and goes when it is pruned; after other errors nothing stays.
func TestCacheInterrupted(t *testing.T) {
	c := shardCases(t)["train.parquet"]
	if err := os.Remove(c.at()); err != nil {
		t.Fatal(err)
	}
	whole := c.o.unpack
	stopAt := func(k int, with error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c.o.unpack = func(f *os.File, size int64, skip int, add func([]byte, string) error) ([]string, error) {
			i := skip
			return whole(f, size, skip, func(image []byte, label string) error {
				if i++; i == k && with != nil {
					return with
				} else if i == k {
					cancel()
				}
				return add(image, label)
			})
		}
		_, err := c.build(ctx, t)
		if with == nil {
			with = context.Canceled
		}
		if !errors.Is(err, with) {
			t.Fatalf("stopped at %d: %v", k, err)
		}
		c.o.unpack = whole
	}
	stopAt(4, nil)
	stopAt(9, nil)
	t.Setenv("WINNOW_CACHE", c.folder)
	if list, err := Caches(); err != nil || len(list) != 1 || list[0].State != "unfinished" {
		t.Errorf("listed as %+v: %v", list, err)
	}
	if n, err := c.build(t.Context(), t); err != nil || n != c.n-8 || !bytes.Equal(c.file(t), c.whole) {
		t.Errorf("%d samples unpacked (%v), or other bytes", n, err)
	}
	if err := os.Remove(c.at()); err != nil {
		t.Fatal(err)
	}
	stopAt(4, nil)
	if list, err := PruneCache(false); err != nil || len(list) != 1 {
		t.Errorf("pruned %+v: %v", list, err)
	}
	stopAt(4, loader.ErrBadData)
	if entries, err := os.ReadDir(c.folder); err != nil || len(entries) != 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// TestCacheCutWhileInUse: a cache file cut under its reader gives errors, no fault.
func TestCacheCutWhileInUse(t *testing.T) {
	c := shardCases(t)["train.parquet"]
	t.Setenv("WINNOW_CACHE", c.folder)
	d := open(t, "parquet:"+c.path+",val=0.2")
	files, err := filepath.Glob(filepath.Join(c.folder, "*"+cacheEnding))
	if err != nil || len(files) != 2 { // with that of the case, whose kind has another name
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.Truncate(f, 40); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []loader.Records{d.Train, d.Test} {
		for i := range uint32(r.Len()) {
			r.Target(i)
			if err := r.Read(i, new(loader.Record)); !errors.Is(err, loader.ErrBadData) {
				t.Fatalf("sample %d: %v", i, err)
			}
		}
	}
	if k, err := c.build(t.Context(), t); err != nil || k != c.n {
		t.Errorf("not made anew: %d, %v", k, err)
	}
}
