package datasets

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"winnow/loader"
	"winnow/loader/raster"
)

// A cache file holds the images of one shard, so that any can be read at once:
//
//	magic, images each behind a header (cache_build.go), an entry of each, a
//	description in JSON, and at the end a footer.
//
// Numbers are little-endian. An entry is the image's offset (uint64), length,
// label and checksum (uint32 each, CRC-32C); the label is a position in the
// description's list. The footer is the offset of the entries, their number and
// the length of the description (uint64 each), the CRC-32C of both, four zeros,
// and the magic of the end.
const (
	cacheMagic  = "winnow-images-1\n"
	cacheEnd    = "winnowE1"
	cacheEnding = ".images"
	entryBytes  = 8 + 4 + 4 + 4
	footerBytes = 3*8 + 4 + 4 + len(cacheEnd)

	maxCacheMeta = 1 << 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cacheMeta describes a cache file and what it was made from.
type cacheMeta struct {
	Source  string    `json:"source"` // path of the shard
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Options string    `json:"options"`
	Labels  []string  `json:"labels"`
	Names   []string  `json:"names,omitempty"` // of classes, where the source has them: label k is Names[k]
}

// key is the name of the cache file of a shard.
func (m *cacheMeta) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d %q %q %q", m.Source, m.Size, m.Time.UnixNano(), m.Kind, m.Options, cacheMagic))
	return hex.EncodeToString(sum[:16]) + cacheEnding
}

// CacheDir is the folder of unpacked images: $WINNOW_CACHE, else winnow/images
// in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("WINNOW_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	root, err := dataDir("")
	if err != nil {
		return "", err
	}
	if os.Getenv("WINNOW_DATA") != "" {
		return filepath.Join(root, "images"), nil
	}
	return filepath.Join(filepath.Dir(root), "images"), nil
}

// cacheWriter fills a cache file.
type cacheWriter struct {
	w      *bufio.Writer
	at     int64
	index  []byte // a table
	labels map[string]uint32
	meta   cacheMeta
	head   []byte // of the image written last
	entry  []byte // the same
	kept   int    // samples that were there before
}

// finish writes what follows the images.
func (c *cacheWriter) finish() error {
	if len(c.index) == 0 {
		return fmt.Errorf("%w: no samples", loader.ErrBadData)
	}
	meta, err := json.Marshal(c.meta)
	if err != nil {
		return err
	}
	sum := crc32.Update(crc32.Checksum(c.index, castagnoli), castagnoli, meta)
	foot := binary.LittleEndian.AppendUint64(nil, uint64(c.at))
	foot = binary.LittleEndian.AppendUint64(foot, uint64(len(c.index)/entryBytes))
	foot = binary.LittleEndian.AppendUint64(foot, uint64(len(meta)))
	foot = binary.LittleEndian.AppendUint32(foot, sum)
	foot = append(append(foot, 0, 0, 0, 0), cacheEnd...)
	for _, part := range [][]byte{c.index, meta, foot} {
		if _, err := c.w.Write(part); err != nil {
			return err
		}
	}
	return c.w.Flush()
}

// cachedShard is an open cache file.
type cachedShard struct {
	blob
	meta    cacheMeta
	n       int
	entries int64   // offset
	classes []int32 // of each label
}

// openCached opens and checks a cache file, but for its images, each of which
// is checked when it is read.
func openCached(path string) (s *cachedShard, err error) {
	b, size, err := openBlob(path)
	if err != nil {
		return nil, err
	}
	s = &cachedShard{blob: b}
	if err := s.check(size); err != nil {
		return nil, errors.Join(fmt.Errorf("cache %q: %w", path, err), b.close())
	}
	return s, nil
}

func (s *cachedShard) check(size int64) error {
	bad := func(what string) error {
		return fmt.Errorf("%w: %s; winnow data cache --prune removes it", loader.ErrBadData, what)
	}
	head, foot := make([]byte, len(cacheMagic)), make([]byte, footerBytes)
	if size < int64(len(head)+len(foot)) {
		return bad("cut short")
	}
	if err := errors.Join(s.readAt(head, 0), s.readAt(foot, size-int64(len(foot)))); err != nil {
		return err
	}
	if string(head) != cacheMagic || string(foot[footerBytes-len(cacheEnd):]) != cacheEnd {
		return bad("no cache of images, or cut short")
	}
	entries, n, meta := binary.LittleEndian.Uint64(foot), binary.LittleEndian.Uint64(foot[8:]), binary.LittleEndian.Uint64(foot[16:])
	rest := uint64(size) - uint64(len(foot))
	if n == 0 || n > maxSamples || meta > maxCacheMeta || entries > rest || rest-entries != n*entryBytes+meta {
		return bad("damaged footer")
	}
	sum, labels, whole := uint32(0), uint32(0), true // labels that the entries need
	if err := s.blocks(int64(entries), int64(n*entryBytes), func(block []byte) {
		sum = crc32.Update(sum, castagnoli, block)
		for ; len(block) > 0; block = block[entryBytes:] {
			off, length := binary.LittleEndian.Uint64(block), binary.LittleEndian.Uint32(block[8:])
			whole = whole && off <= entries && uint64(length) <= entries-off && length > 0 && length <= raster.MaxFileBytes
			labels = max(labels, binary.LittleEndian.Uint32(block[12:]))
		}
	}); err != nil {
		return err
	}
	text := make([]byte, meta)
	if err := s.readAt(text, int64(entries+n*entryBytes)); err != nil {
		return err
	}
	if crc32.Update(sum, castagnoli, text) != binary.LittleEndian.Uint32(foot[24:]) {
		return bad("damaged index")
	}
	if err := json.Unmarshal(text, &s.meta); err != nil {
		return bad("damaged description")
	}
	if !whole || int64(labels) >= int64(len(s.meta.Labels)) {
		return bad("damaged entry")
	}
	s.n, s.entries = int(n), int64(entries)
	return nil
}

// blocks calls f with the entries from an offset on, some at a time.
func (s *cachedShard) blocks(at, size int64, f func(block []byte)) error {
	buffer := make([]byte, min(size, entryBytes<<12))
	for end := at + size; at < end; at += int64(len(buffer)) {
		buffer = buffer[:min(int64(len(buffer)), end-at)]
		if err := s.readAt(buffer, at); err != nil {
			return err
		}
		f(buffer)
	}
	return nil
}

// entry reads where sample i is, its label and its checksum.
func (s *cachedShard) entry(i int) (off int64, length int, label, sum uint32, err error) {
	var e [entryBytes]byte
	if err := s.readAt(e[:], s.entries+int64(i)*entryBytes); err != nil {
		return 0, 0, 0, 0, err
	}
	return int64(binary.LittleEndian.Uint64(e[:])), int(binary.LittleEndian.Uint32(e[8:])),
		binary.LittleEndian.Uint32(e[12:]), binary.LittleEndian.Uint32(e[16:]), nil
}

// CacheFile is a file of the cache, for people.
type CacheFile struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Samples int    `json:"samples"`
	Kind    string `json:"kind"`
	Source  string `json:"source"`
	State   string `json:"state"` // current, source changed, source gone, damaged, unfinished
}

// Caches lists the files of the cache folder.
func Caches() ([]CacheFile, error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("datasets: cache: %w", err)
	}
	var list []CacheFile
	for _, e := range entries {
		if !e.Type().IsRegular() || !ownCacheName(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		c := CacheFile{Path: path, State: "damaged"}
		if info, err := e.Info(); err == nil {
			c.Bytes = info.Size()
		}
		if strings.HasSuffix(path, partEnding) {
			c.State = "unfinished"
		} else if s, err := openCached(path); err == nil {
			c.Samples, c.Kind, c.Source, c.State = s.n, s.meta.Kind, s.meta.Source, "current"
			switch st, err := os.Stat(s.meta.Source); {
			case err != nil:
				c.State = "source gone"
			case st.Size() != s.meta.Size || !st.ModTime().Equal(s.meta.Time):
				c.State = "source changed"
			}
			if err := s.close(); err != nil {
				return nil, fmt.Errorf("datasets: cache: %w", err)
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// ownCacheName tells names that key gives.
func ownCacheName(name string) bool {
	id, ok := strings.CutSuffix(strings.TrimSuffix(name, partEnding), cacheEnding)
	_, err := hex.DecodeString(id)
	return ok && err == nil && len(id) == 32
}

// inUse is whether a process writes a part.
func inUse(path string) bool {
	lock := flock.New(path, flock.SetFlag(os.O_RDWR))
	defer func() { _ = lock.Close() }()
	ok, err := lock.TryLock()
	return err == nil && !ok
}

// PruneCache removes the files of the cache that no data needs any more, or
// with all every one, and returns them.
func PruneCache(all bool) ([]CacheFile, error) {
	list, err := Caches()
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c CacheFile) bool {
		return !all && c.State == "current" || strings.HasSuffix(c.Path, partEnding) && inUse(c.Path)
	})
	for _, c := range list {
		if err := os.Remove(c.Path); err != nil {
			return nil, fmt.Errorf("datasets: cache: %w", err)
		}
	}
	return list, nil
}
