package datasets

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"winnow/internal/atomicfile"
	"winnow/internal/spill"
	"winnow/loader"
	"winnow/loader/raster"
)

// partEnding is that of a cache file that is being built. It is the file's
// beginning, each image behind a header from which the entries are made anew,
// so that building goes on behind the last whole image after a crash.
const partEnding = ".part"

// A header stands before each image: its length and the label's (uint32 each),
// the CRC-32C of label and image, and the label.
const partHeader = 4 + 4 + 4

// maxLabelText bounds the label of a sample in bytes.
const maxLabelText = 1 << 20

// unpacker gives the samples of a shard to add, without the first skip; names
// are the classes' where the shard has them.
type unpacker func(f *os.File, size int64, skip int, add func(image []byte, label string) error) (names []string, err error)

// cacheShard is the cache file of a shard, made where it is not there.
func cacheShard(dir string, m cacheMeta, unpack unpacker) (*cachedShard, error) {
	path := filepath.Join(dir, m.key())
	if s, err := openCached(path); err == nil {
		return s, nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, loader.ErrBadData) {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("cache folder: %w; WINNOW_CACHE names another", err)
	}
	err := buildPart(path, m, unpack)
	if errors.Is(err, errPartTaken) { // by another process: whoever is last wins, with the same bytes
		err = atomicfile.Write(path, func(w io.Writer) error {
			c := newCacheWriter(w, m)
			defer c.free()
			return c.fill(unpack)
		})
	}
	if err != nil {
		return nil, err
	}
	return openCached(path)
}

var errPartTaken = errors.New("the part is being written")

// buildPart builds a cache file from what is there of it.
func buildPart(path string, m cacheMeta, unpack unpacker) (err error) {
	part := path + partEnding
	if info, err := os.Lstat(part); err == nil && !info.Mode().IsRegular() {
		return errPartTaken // by what is none of ours, and a pipe has no end
	}
	lock := flock.New(part, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o666))
	defer func() { _ = lock.Close() }()
	if ok, err := lock.TryLock(); err != nil || !ok {
		return errPartTaken // or a file system without locks
	}
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return errPartTaken // it was finished meanwhile
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	mine, err := lock.Stat()
	if err != nil {
		return err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(mine, now) {
		return errPartTaken
	}
	c := newCacheWriter(f, m)
	defer c.free()
	err = c.resume(f)
	if err == nil {
		err = c.fill(unpack)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		return os.Rename(part, path)
	}
	if !errors.Is(err, context.Canceled) { // else it goes on from here
		return errors.Join(err, os.Remove(part))
	}
	return errors.Join(err, c.w.Flush())
}

func newCacheWriter(w io.Writer, m cacheMeta) *cacheWriter {
	return &cacheWriter{w: bufio.NewWriterSize(w, 1<<20), labels: map[string]uint32{}, meta: m}
}

func (c *cacheWriter) free() {
	spill.Free(c.index)
	c.index = nil
}

// resume takes the whole images of a part and cuts off what follows them.
func (c *cacheWriter) resume(f *os.File) error {
	r := bufio.NewReaderSize(f, 1<<20)
	head := make([]byte, len(cacheMagic))
	if _, err := io.ReadFull(r, head); err == nil && string(head) == cacheMagic {
		c.at = int64(len(cacheMagic))
		var image bytes.Buffer
		for {
			label, ok := readPart(r, &image)
			if !ok {
				break
			}
			if _, err := c.note(image.Bytes(), label); err != nil {
				break
			}
		}
	}
	c.kept = len(c.index) / entryBytes
	if err := f.Truncate(c.at); err != nil {
		return err
	}
	_, err := f.Seek(c.at, io.SeekStart)
	return err
}

// readPart reads a header and its image; not ok is the end, or damage.
func readPart(r io.Reader, image *bytes.Buffer) (label string, ok bool) {
	var h [partHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return "", false
	}
	size, labelSize, sum := int64(binary.LittleEndian.Uint32(h[:])), int64(binary.LittleEndian.Uint32(h[4:])), binary.LittleEndian.Uint32(h[8:])
	if size > raster.MaxFileBytes || labelSize > maxLabelText {
		return "", false
	}
	image.Reset()
	if n, err := io.CopyN(image, r, labelSize+size); err != nil || n < labelSize+size { // grows with what there is
		return "", false
	}
	if crc32.Checksum(image.Bytes(), castagnoli) != sum {
		return "", false
	}
	return string(image.Next(int(labelSize))), true
}

// fill unpacks what is not there yet and finishes the file.
func (c *cacheWriter) fill(unpack unpacker) error {
	m := &c.meta
	if c.at == 0 {
		if _, err := c.w.WriteString(cacheMagic); err != nil {
			return err
		}
		c.at = int64(len(cacheMagic))
	}
	f, err := os.Open(m.Source)
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	if m.Names, err = unpack(f, m.Size, c.kept, c.add); err != nil {
		return err
	}
	if st, err := f.Stat(); err != nil || st.Size() != m.Size || !st.ModTime().Equal(m.Time) {
		return fmt.Errorf("%w: the file changed while it was unpacked", loader.ErrBadData)
	}
	return c.finish()
}

// add appends a sample.
func (c *cacheWriter) add(image []byte, label string) error {
	if raster.Sniff(image) == "" {
		return fmt.Errorf("%w: %s", loader.ErrBadData, raster.Unread(image))
	}
	if len(label) > maxLabelText || len(image) > raster.MaxFileBytes {
		return fmt.Errorf("%w: an image of %d bytes and a label of %d: want at most %d and %d", loader.ErrBadData, len(image), len(label), raster.MaxFileBytes, maxLabelText)
	}
	head, err := c.note(image, label)
	if err != nil {
		return err
	}
	if _, err := c.w.Write(head); err != nil {
		return err
	}
	_, err = c.w.Write(image)
	return err
}

// note makes the entry of a sample at the end of the file, and gives what
// stands before its image.
func (c *cacheWriter) note(image []byte, label string) (head []byte, err error) {
	if len(c.index)/entryBytes >= maxSamples {
		return nil, fmt.Errorf("%w: over %d images", loader.ErrBadData, maxSamples)
	}
	k, ok := c.labels[label]
	if !ok {
		k = uint32(len(c.labels))
		if k >= maxManifestClasses {
			return nil, fmt.Errorf("%w: over %d classes", loader.ErrBadData, maxManifestClasses)
		}
		c.labels[label] = k
		c.meta.Labels = append(c.meta.Labels, label)
	}
	c.head = binary.LittleEndian.AppendUint32(c.head[:0], uint32(len(image)))
	c.head = binary.LittleEndian.AppendUint32(c.head, uint32(len(label)))
	c.head = binary.LittleEndian.AppendUint32(c.head, 0)
	c.head = append(c.head, label...)
	sum := crc32.Update(crc32.Checksum(c.head[partHeader:], castagnoli), castagnoli, image)
	binary.LittleEndian.PutUint32(c.head[8:], sum)
	c.at += int64(len(c.head))
	e := binary.LittleEndian.AppendUint64(c.entry[:0], uint64(c.at))
	e = binary.LittleEndian.AppendUint32(e, uint32(len(image)))
	e = binary.LittleEndian.AppendUint32(e, k)
	e = binary.LittleEndian.AppendUint32(e, crc32.Checksum(image, castagnoli))
	c.index, c.entry = spill.Append(c.index, e...), e
	c.at += int64(len(image))
	return c.head, nil
}
