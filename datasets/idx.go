package datasets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"winnow/internal/files"
	"winnow/internal/spill"
	"winnow/loader"
)

// Bounds on what an IDX header may claim.
const (
	// MaxImageBytes bounds one image.
	MaxImageBytes = 1 << 28
	// MaxInflatedBytes bounds a gzip file, which is inflated into memory.
	MaxInflatedBytes = 2 << 30
	// deflateRatio is the most that DEFLATE can shrink data: 258 bytes from
	// two bits (RFC 1951, 3.2.5).
	deflateRatio = 1032
	maxClasses   = 256 // a label is one byte
)

// IDXOptions say what OpenIDX cannot read from the files.
type IDXOptions struct {
	Name      string   // shown in errors; the path of the images where empty
	Classes   []string // class names; a label past them is refused. nil: 0..largest label
	Transpose bool     // rows and columns are swapped
	First     int      // the file's label of class 0; a label below is refused
}

// IDX is Records of a pair of IDX files, the format of MNIST: images of
// unsigned bytes [N, H, W] or [N, C, H, W] and labels [N]. Each file is plain
// or gzip, told apart by content. A plain file of images is mapped into memory
// where the system can, a gzip one is inflated into it.
type IDX struct {
	name    string
	path    string
	n       int
	c, h, w int
	images  blob
	labels  []byte
	classes []string
	swapped bool // stored by column
}

var (
	_ loader.Records = (*IDX)(nil)
	_ loader.Shaped  = (*IDX)(nil)
	_ loader.Classer = (*IDX)(nil)
	_ loader.Namer   = (*IDX)(nil)
)

// OpenIDX opens and checks a pair of files. Close the result after its last
// reader is done.
func OpenIDX(images, labels string, o IDXOptions) (*IDX, error) {
	y, err := openIDXFile(labels, "labels", 1, 1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = y.close() }() // only read
	x, err := openIDXFile(images, "images", 3, 4)
	if err != nil {
		return nil, err
	}
	d, err := pairIDX(x, y, images, labels, o)
	if err != nil {
		_ = x.close() // the first error counts
		return nil, err
	}
	return d, nil
}

// LargestLabel reads an IDX file of labels, plain or gzip, and returns the
// largest of them.
func LargestLabel(path string) (int, error) {
	y, err := openIDXFile(path, "labels", 1, 1)
	if err != nil {
		return 0, err
	}
	defer func() { _ = y.close() }() // only read
	labels := spill.Make[byte](y.dims[0])
	defer spill.Free(labels)
	if err := y.readAt(labels, 0); err != nil {
		return 0, fmt.Errorf("datasets: labels %q: %w", path, err)
	}
	return int(slices.Max(labels)), nil
}

// pairIDX checks the images against the labels, which it copies.
func pairIDX(x, y *idxFile, images, labels string, o IDXOptions) (*IDX, error) {
	d := &IDX{name: o.Name, path: images, n: x.dims[0], c: 1, images: x.blob, classes: o.Classes}
	if d.name == "" {
		d.name = images
	}
	hw := x.dims[len(x.dims)-2:]
	d.h, d.w = hw[0], hw[1]
	if len(x.dims) == 4 {
		d.c = x.dims[1]
	}
	if y.dims[0] != d.n {
		return nil, fmt.Errorf("datasets: labels %q: %w: %d labels for the %d images of %q", labels, loader.ErrBadData, y.dims[0], d.n, images)
	}
	if d.swapped = o.Transpose; d.swapped {
		d.h, d.w = d.w, d.h
	}
	d.labels = spill.Make[byte](d.n)
	if err := y.readAt(d.labels, 0); err != nil {
		return nil, fmt.Errorf("datasets: labels %q: %w", labels, err)
	}
	classes := maxClasses
	if o.Classes != nil {
		classes = len(o.Classes)
	}
	for i, v := range d.labels {
		class := int(v) - o.First
		if class < 0 || class >= classes {
			return nil, fmt.Errorf("datasets: labels %q: %w: label %d of sample %d: want %d to %d", labels, loader.ErrBadData, v, i, o.First, min(o.First+classes, maxClasses)-1)
		}
		d.labels[i] = byte(class)
	}
	return d, nil
}

// Name is the name from IDXOptions.
func (d *IDX) Name() string { return d.name }

// Len is the number of samples.
func (d *IDX) Len() int { return d.n }

// Shape is the shape of an image.
func (d *IDX) Shape() (c, h, w int) { return d.c, d.h, d.w }

// Classes are the names from IDXOptions.
func (d *IDX) Classes() []string { return d.classes }

// Target returns the label of sample i.
func (d *IDX) Target(i uint32) loader.Target { return loader.Class(int64(d.labels[i])) }

// Read copies sample i.
func (d *IDX) Read(i uint32, r *loader.Record) error {
	if int64(i) >= int64(d.n) {
		return loader.ErrIndex
	}
	dst := r.Raw(d.c, d.h, d.w)
	if !d.swapped {
		return d.images.readAt(dst, int64(i)*int64(len(dst)))
	}
	stored := r.Spare(len(dst))
	if err := d.images.readAt(stored, int64(i)*int64(len(dst))); err != nil {
		return err
	}
	n := d.h * d.w
	for k := range d.c {
		for y := range d.h {
			for x := range d.w {
				dst[k*n+y*d.w+x] = stored[k*n+x*d.h+y]
			}
		}
	}
	return nil
}

// Close releases the mapping or the file. No Read may run or follow.
func (d *IDX) Close() error {
	spill.Free(d.labels)
	d.labels = nil
	return d.images.close()
}

// blob is the payload of an IDX file: bytes in memory (mapped or inflated), or
// a file read at an offset where mapping is not to be had.
type blob struct {
	data   []byte
	file   *os.File
	offset int64        // of the payload, in file
	unmap  func() error // nil: data is ordinary memory
}

func (b *blob) readAt(dst []byte, off int64) (err error) {
	switch {
	case b.unmap != nil:
		// A mapped file cut short by another process faults on access.
		defer func(old bool) {
			debug.SetPanicOnFault(old)
			if r := recover(); r != nil {
				err = fmt.Errorf("%w: the file changed while it was in use (%v)", loader.ErrBadData, r)
			}
		}(debug.SetPanicOnFault(true))
		copy(dst, b.data[off:])
	case b.data != nil:
		copy(dst, b.data[off:])
	case b.file != nil:
		if _, err := b.file.ReadAt(dst, b.offset+off); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: the file changed while it was in use", loader.ErrBadData)
			}
			return err
		}
	default:
		return loader.ErrClosed
	}
	return nil
}

func (b *blob) close() (err error) {
	if b.unmap != nil {
		err = b.unmap()
	} else {
		spill.Free(b.data) // where it was unpacked or made
	}
	if b.file != nil {
		err = errors.Join(err, b.file.Close())
	}
	*b = blob{}
	return err
}

// idxFile is one checked IDX file.
type idxFile struct {
	blob
	dims []int
}

// openIDXFile opens a file of unsigned bytes with lo to hi dimensions.
func openIDXFile(path, what string, lo, hi int) (*idxFile, error) {
	f, size, err := files.Open(path)
	if errors.Is(err, files.ErrNotRegular) {
		return nil, fmt.Errorf("datasets: %s %q: %w: %w", what, path, loader.ErrBadData, err)
	}
	if err != nil {
		return nil, fmt.Errorf("datasets: %s %q: %w", what, path, errors.Unwrap(err))
	}
	x, err := parseIDX(f, size, lo, hi)
	if err != nil {
		_ = f.Close() // the first error counts
		return nil, fmt.Errorf("datasets: %s %q: %w", what, path, err)
	}
	if x.data != nil { // inflated
		return x, f.Close()
	}
	x.file = f
	if data, unmap, err := mapFile(f, x.offset+x.bytes()); err == nil {
		x.blob = blob{data: data[x.offset:], unmap: unmap}
		return x, f.Close() // the mapping outlives the descriptor
	}
	return x, nil
}

// bytes is the size of the payload.
func (x *idxFile) bytes() int64 {
	n := int64(1)
	for _, d := range x.dims {
		n *= int64(d)
	}
	return n
}

// parseIDX checks the header of an IDX file of size bytes, and its size
// against it. The payload of a gzip file is inflated into the result's data;
// that of a plain one is left in place, at offset.
func parseIDX(r io.ReaderAt, size int64, lo, hi int) (*idxFile, error) {
	var magic [2]byte
	if _, err := r.ReadAt(magic[:], 0); err == nil && magic == [2]byte{0x1f, 0x8b} {
		return parseGzip(io.NewSectionReader(r, 0, size), size, lo, hi)
	}
	dims, head, err := parseHeader(io.NewSectionReader(r, 0, size), lo, hi)
	if err != nil {
		return nil, err
	}
	x := &idxFile{dims: dims, blob: blob{offset: head}}
	if want := head + x.bytes(); size != want {
		return nil, sizeError(size, want, dims)
	}
	return x, nil
}

func parseGzip(r io.Reader, size int64, lo, hi int) (*idxFile, error) {
	z, err := newGzipReader(r)
	if err != nil {
		return nil, gzipError(err)
	}
	dims, head, err := parseHeader(z, lo, hi)
	if err != nil {
		return nil, err
	}
	x := &idxFile{dims: dims}
	n := x.bytes()
	switch {
	case n > size*deflateRatio:
		return nil, fmt.Errorf("%w: the header asks for %d bytes (%s), more than a gzip file of %d bytes can hold: truncated or mislabelled",
			loader.ErrBadData, head+n, shapeText(dims), size)
	case n > MaxInflatedBytes:
		return nil, fmt.Errorf("%d bytes inflated (%s): want at most %d; unpack it with gunzip", n, shapeText(dims), int64(MaxInflatedBytes))
	}
	x.data = spill.Make[byte](int(n))
	got, err := io.ReadFull(z, x.data)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, sizeError(head+int64(got), head+n, dims)
	case err != nil:
		return nil, gzipError(err)
	}
	var more [1]byte
	switch got, err := io.ReadFull(z, more[:]); {
	case got > 0:
		return nil, fmt.Errorf("%w: more than the %d bytes of its header (%s)", loader.ErrBadData, head+n, shapeText(dims))
	case err != io.EOF:
		return nil, gzipError(err)
	}
	return x, nil
}

// parseHeader reads the header: two zero bytes, the element type, the number
// of dimensions, then each as a big-endian uint32.
func parseHeader(r io.Reader, lo, hi int) (dims []int, head int64, err error) {
	var b [4]byte
	if n, err := io.ReadFull(r, b[:]); err != nil {
		return nil, 0, headError(err, n, 4)
	}
	const ubyte = 0x08
	if nd := int(b[3]); b[0] != 0 || b[1] != 0 || b[2] != ubyte || nd < lo || nd > hi {
		want := fmt.Sprintf("0x%08x", ubyte<<8|lo)
		if hi != lo {
			want += fmt.Sprintf(" or 0x%08x", ubyte<<8|hi)
		}
		return nil, 0, fmt.Errorf("%w: starts with 0x%08x: want %s (%s)", loader.ErrBadData, binary.BigEndian.Uint32(b[:]), want, kindText(lo))
	}
	dims = make([]int, b[3])
	image := int64(1)
	for i := range dims {
		if n, err := io.ReadFull(r, b[:]); err != nil {
			return nil, 0, headError(err, 4+4*i+n, 4+4*len(dims))
		}
		d := int64(binary.BigEndian.Uint32(b[:]))
		if i > 0 {
			if d == 0 || d > MaxImageBytes || image*d > MaxImageBytes {
				return nil, 0, fmt.Errorf("%w: dimension %d is %d: want images of 1 to %d bytes", loader.ErrBadData, i, d, MaxImageBytes)
			}
			image *= d
		} else if d == 0 {
			return nil, 0, fmt.Errorf("%w: no samples", loader.ErrBadData)
		}
		if d > math.MaxInt {
			return nil, 0, fmt.Errorf("%w: dimension %d is %d", loader.ErrBadData, i, d)
		}
		dims[i] = int(d)
	}
	return dims, int64(4 + 4*len(dims)), nil
}

func kindText(lo int) string {
	if lo == 1 {
		return "IDX labels of uint8"
	}
	return "IDX images of uint8"
}

func shapeText(dims []int) string {
	s := make([]string, len(dims))
	for i, d := range dims {
		s[i] = fmt.Sprint(d)
	}
	return strings.Join(s, "x")
}

func sizeError(got, want int64, dims []int) error {
	what := "truncated"
	if got > want {
		what = "too long"
	}
	return fmt.Errorf("%w: %s: %d bytes: want %d for %s", loader.ErrBadData, what, got, want, shapeText(dims))
}

func headError(err error, got, want int) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: truncated: %d bytes of a header of %d", loader.ErrBadData, got, want)
	}
	return gzipError(err)
}

// gzipError says that a file is damaged where err says so, and passes errors
// of the system on.
func gzipError(err error) error {
	var system *fs.PathError
	if errors.As(err, &system) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: truncated gzip", loader.ErrBadData)
	}
	return fmt.Errorf("%w: %w", loader.ErrBadData, err)
}
