package datasets

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"codeberg.org/sbinet/npyio/npy"

	"winnow/internal/spill"
	"winnow/loader"
)

// maxNpyHeader bounds the header of an array; NumPy writes 128 bytes.
const maxNpyHeader = 1 << 16

var errLonger = errors.New("it goes on")

// array is the header of an array and its content.
type array struct {
	dtype   string // of NumPy: |u1, <f4
	fortran bool
	shape   []int
	blob
	start int64 // of the content, in blob
}

// bytes are the pixels of an array of floats: times 255 where none is over 1,
// rounded.
func (a *array) bytes() ([]byte, error) {
	n := a.count()
	most := 0.0
	if err := a.each(func(_ int, x float64) error {
		if !(x >= 0 && x <= 255) {
			return fmt.Errorf("%w: a pixel is %v: want 0 to 1, or 0 to 255: save the images as they were before they were normalised, --mean and --std do that", loader.ErrBadData, x)
		}
		most = max(most, x)
		return nil
	}); err != nil {
		return nil, err
	}
	scale := 1.0
	if most <= 1 && a.dtype[1] == 'f' {
		scale = 255
	}
	out := spill.Make[byte](n)
	return out, a.each(func(i int, x float64) error {
		out[i] = byte(math.RoundToEven(x * scale))
		return nil
	})
}

// classes are the numbers of an array [N] or [N, 1].
func (a *array) classes() ([]int32, error) {
	if len(a.shape) != 1 && (len(a.shape) != 2 || a.shape[1] != 1) {
		return nil, fmt.Errorf("%w: shape %v: want a class for each image, [N] or [N, 1]; of one-hot rows argmax(1), or targets=NAME for vectors", loader.ErrBadData, a.shape)
	}
	labels := spill.Make[int32](a.count())
	err := a.each(func(i int, x float64) error {
		if x != math.Trunc(x) || x < 0 || x >= maxManifestClasses {
			return fmt.Errorf("%w: label %v of sample %d: want a whole number from 0 to %d", loader.ErrBadData, x, i, maxManifestClasses-1)
		}
		labels[i] = int32(x)
		return nil
	})
	return labels, err
}

func (a *array) count() int {
	n := 1
	for _, d := range a.shape {
		n *= d
	}
	return n
}

// each calls f with the elements in order.
func (a *array) each(f func(i int, x float64) error) error {
	order := binary.ByteOrder(binary.LittleEndian)
	if a.dtype[0] == '>' {
		order = binary.BigEndian
	}
	size := int(a.dtype[2] - '0')
	decode := decoders(order)[a.dtype[1:]]
	const chunk = 1 << 16
	buffer := make([]byte, chunk*size)
	for n, i := a.count(), 0; i < n; {
		k := min(chunk, n-i)
		if err := a.readAt(buffer[:k*size], a.start+int64(i)*int64(size)); err != nil {
			return err
		}
		for j := range k {
			if err := f(i+j, decode(buffer[j*size:])); err != nil {
				return err
			}
		}
		i += k
	}
	return nil
}

// decoders read a number by the type's letter and size.
func decoders(order binary.ByteOrder) map[string]func([]byte) float64 {
	return map[string]func([]byte) float64{
		"b1": func(b []byte) float64 { return float64(b[0]) }, "u1": func(b []byte) float64 { return float64(b[0]) },
		"i1": func(b []byte) float64 { return float64(int8(b[0])) },
		"u2": func(b []byte) float64 { return float64(order.Uint16(b)) }, "i2": func(b []byte) float64 { return float64(int16(order.Uint16(b))) },
		"u4": func(b []byte) float64 { return float64(order.Uint32(b)) }, "i4": func(b []byte) float64 { return float64(int32(order.Uint32(b))) },
		"u8": func(b []byte) float64 { return float64(order.Uint64(b)) }, "i8": func(b []byte) float64 { return float64(int64(order.Uint64(b))) },
		"f4": func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) },
		"f8": func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) },
	}
}

// parseNpy reads and checks the header of an array whose content lies in size
// bytes of r; the content begins at the array's start.
func parseNpy(r io.ReaderAt, size int64) (a *array, err error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", loader.ErrBadData, fmt.Errorf(format, args...))
	}
	var lead [12]byte
	if n, err := r.ReadAt(lead[:], 0); n < 10 {
		return nil, bad("no NumPy array: %d bytes (%w)", n, err)
	}
	if string(lead[:6]) != "\x93NUMPY" {
		return nil, bad("no NumPy array: begins with % x", lead[:6])
	}
	head := 10 + int64(binary.LittleEndian.Uint16(lead[8:]))
	if lead[6] >= 2 {
		head = 12 + int64(binary.LittleEndian.Uint32(lead[8:]))
	}
	if head > size || head > maxNpyHeader {
		return nil, bad("a header of %d bytes in %d", head, size)
	}
	text := make([]byte, head)
	if _, err := r.ReadAt(text, 0); err != nil {
		return nil, bad("header: %w", err)
	}
	defer func() { // the library takes the header's form for granted
		if p := recover(); p != nil {
			a, err = nil, bad("header: %v", p)
		}
	}()
	n, err := npy.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, bad("header: %w", err)
	}
	d := n.Header.Descr
	a = &array{fortran: d.Fortran, shape: d.Shape, start: head}
	if a.dtype, err = strconv.Unquote(strings.ReplaceAll(d.Type, "'", `"`)); err != nil || len(a.dtype) != 3 ||
		!strings.Contains("<>|=", a.dtype[:1]) || decoders(binary.LittleEndian)[a.dtype[1:]] == nil {
		return nil, bad("elements of type %s: want whole numbers or floats; numpy.stack makes one array of several", d.Type)
	}
	elements := int64(1)
	for _, k := range a.shape {
		if k < 0 || k > 0 && elements > math.MaxInt64/16/int64(k) {
			return nil, bad("shape %v", a.shape)
		}
		elements *= int64(k)
	}
	if want := elements * int64(a.dtype[2]-'0'); len(a.shape) == 0 || elements == 0 || want != size-head {
		return nil, bad("shape %v of %s is %d bytes, the file has %d", a.shape, a.dtype, want, size-head)
	}
	return a, nil
}

// npyFolder is a folder of files NAME.npy.
type npyFolder string

func (dir npyFolder) Close() error { return nil }

func (dir npyFolder) names() (names []string) {
	found, err := filepath.Glob(filepath.Join(string(dir), "*.npy"))
	if err != nil {
		return nil
	}
	for _, f := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".npy"))
	}
	return names
}

func (dir npyFolder) load(name string) (*array, error) {
	path := filepath.Join(string(dir), name+".npy")
	b, size, err := openBlob(path)
	if err != nil {
		return nil, err
	}
	a, err := parseNpy(&blobReader{&b, size}, size)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	a.blob = b
	return a, nil
}

// blobReader reads a blob of a known size.
type blobReader struct {
	b    *blob
	size int64
}

// ReadAt reads what there is.
func (r *blobReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), r.size-off))
	if err := r.b.readAt(p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// npz is a zip file of NAME.npy.
type npz struct {
	*zip.ReadCloser
}

func sniffZip(path string) bool {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return false
	}
	defer z.Close()
	return slices.ContainsFunc(z.File, func(f *zip.File) bool { return strings.HasSuffix(f.Name, ".npy") })
}

func openNpz(path string) (*npz, error) {
	if st, err := os.Stat(path); err != nil {
		return nil, reason(err)
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", loader.ErrBadData)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	return &npz{z}, nil
}

func (z *npz) names() (names []string) {
	for _, f := range z.File {
		if name, ok := strings.CutSuffix(f.Name, ".npy"); ok {
			names = append(names, name)
		}
	}
	return names
}

func (z *npz) load(name string) (*array, error) {
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == name+".npy" })
	if i < 0 {
		return nil, fmt.Errorf("%w: there is none; there are %s", loader.ErrBadData, nameList(z.names()))
	}
	f := z.File[i]
	size, packed := f.UncompressedSize64, f.CompressedSize64
	if size > MaxInflatedBytes || size > packed*deflateRatio+deflateRatio {
		return nil, fmt.Errorf("%w: %d bytes unpacked from %d: want at most %d; save it as an .npy file, which is read in place",
			loader.ErrBadData, size, packed, int64(MaxInflatedBytes))
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	defer r.Close()
	data := spill.Make[byte](int(size))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF { // the checksum is compared at the end
		return nil, fmt.Errorf("%w: not as long as its entry says, or damaged: %w", loader.ErrBadData, cmp.Or(err, errLonger))
	}
	a, err := parseNpy(bytes.NewReader(data), int64(size))
	if err != nil {
		return nil, err
	}
	a.blob = blob{data: data}
	return a, nil
}
