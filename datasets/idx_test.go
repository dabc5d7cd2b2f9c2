package datasets

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/loader"
)

func gz(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31)
	}
	return b
}

func labelBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 10)
	}
	return b
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var tenClasses = strings.Split("0123456789", "")

// openTestIDX opens n images of 28x28.
func openTestIDX(t testing.TB, n int) *IDX {
	t.Helper()
	d, err := OpenIDX(write(t, "x", idxBytes(count(n*784), n, 28, 28)), write(t, "y", idxBytes(labelBytes(n), n)), IDXOptions{Classes: tenClasses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestIDXReadsEveryForm(t *testing.T) {
	payload := count(6 * 24)
	for _, dims := range [][]int{{6, 4, 6}, {6, 2, 3, 4}} {
		x, y := idxBytes(payload, dims...), idxBytes(labelBytes(6), 6)
		for _, form := range []struct {
			name string
			x, y []byte
		}{{"plain", x, y}, {"gzip", gz(x), gz(y)}, {"mixed", x, gz(y)}, {"gzip in two members", append(gz(x[:50]), gz(x[50:])...), y}} {
			t.Run(fmt.Sprint(form.name, dims), func(t *testing.T) {
				d, err := OpenIDX(write(t, "x", form.x), write(t, "y", form.y), IDXOptions{Name: "six", Classes: tenClasses})
				if err != nil {
					t.Fatal(err)
				}
				c, h, w := d.Shape()
				want := [3]int{1, 4, 6}
				if len(dims) == 4 {
					want = [3]int{2, 3, 4}
				}
				if [3]int{c, h, w} != want || d.Len() != 6 || loader.NameOf(d) != "six" || len(loader.ClassesOf(d)) != 10 {
					t.Errorf("%d samples of %dx%dx%d, name %q", d.Len(), c, h, w, loader.NameOf(d))
				}
				var r loader.Record
				for i := range uint32(6) {
					if err := d.Read(i, &r); err != nil || d.Target(i).Class() != int64(i) || !bytes.Equal(r.Data, payload[i*24:][:24]) {
						t.Errorf("sample %d: label %d, %v, %v", i, d.Target(i).Class(), r.Data, err)
					}
				}
				if err := d.Read(6, &r); !errors.Is(err, loader.ErrIndex) {
					t.Errorf("past the end: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				if err := d.Read(0, &r); !errors.Is(err, loader.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			})
		}
	}
}

func TestIDXReadsUnmappedFiles(t *testing.T) {
	f, err := os.Open(write(t, "x", idxBytes(count(48), 2, 4, 6)))
	if err != nil {
		t.Fatal(err)
	}
	b := blob{file: f, offset: 16}
	defer b.close()
	dst := make([]byte, 24)
	if err := b.readAt(dst, 24); err != nil || !bytes.Equal(dst, count(48)[24:]) {
		t.Errorf("%v %v", dst, err)
	}
	if err := b.readAt(dst, 30); !errors.Is(err, loader.ErrBadData) {
		t.Errorf("past the end: %v", err)
	}
}

func TestIDXSurvivesAFileCutShort(t *testing.T) {
	n := 1000
	path := write(t, "x", idxBytes(count(n*784), n, 28, 28))
	d, err := OpenIDX(path, write(t, "y", idxBytes(labelBytes(n), n)), IDXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	var r loader.Record
	if err := d.Read(0, &r); err != nil {
		t.Errorf("what is left: %v", err)
	}
	if err := d.Read(uint32(n-1), &r); !errors.Is(err, loader.ErrBadData) || !strings.Contains(err.Error(), "changed while it was in use") {
		t.Errorf("what is gone: %v", err)
	}
}

// badIDX is a pair of files that is refused; in want, %x and %y stand for
// their paths and %d for the size of the images.
type badIDX struct {
	name string
	x, y []byte
	want string
}

func badIDXs() []badIDX {
	good, labels := idxBytes(count(48), 2, 4, 6), idxBytes([]byte{3, 9}, 2)
	float := append([]byte{0, 0, 13, 3}, good[4:]...)
	huge := idxBytes(nil, 1<<32-1, 28, 28)
	return []badIDX{
		{"labels as images", labels, labels, `datasets: images %x: bad data: starts with 0x00000801: want 0x00000803 or 0x00000804 (IDX images of uint8)`},
		{"images as labels", good, good, `datasets: labels %y: bad data: starts with 0x00000803: want 0x00000801 (IDX labels of uint8)`},
		{"floats", float, labels, `datasets: images %x: bad data: starts with 0x00000d03: want 0x00000803 or 0x00000804 (IDX images of uint8)`},
		{"text", []byte("hello, world"), labels, `datasets: images %x: bad data: starts with 0x68656c6c: want 0x00000803 or 0x00000804 (IDX images of uint8)`},
		{"empty", nil, labels, `datasets: images %x: bad data: truncated: 0 bytes of a header of 4`},
		{"half a header", good[:10], labels, `datasets: images %x: bad data: truncated: 10 bytes of a header of 16`},
		{"truncated", good[:60], labels, `datasets: images %x: bad data: truncated: 60 bytes: want 64 for 2x4x6`},
		{"too long", append(bytes.Clone(good), 0), labels, `datasets: images %x: bad data: too long: 65 bytes: want 64 for 2x4x6`},
		{"huge header", huge, labels, `datasets: images %x: bad data: truncated: 16 bytes: want 3367254359296 for 4294967295x28x28`},
		{"huge image", idxBytes(nil, 1, 1<<20, 1<<20), labels, `datasets: images %x: bad data: dimension 2 is 1048576: want images of 1 to 268435456 bytes`},
		{"no width", idxBytes(nil, 1, 4, 0), labels, `datasets: images %x: bad data: dimension 2 is 0: want images of 1 to 268435456 bytes`},
		{"no samples", idxBytes(nil, 0, 4, 6), labels, `datasets: images %x: bad data: no samples`},
		{"gzip, truncated inside", gz(good[:60]), labels, `datasets: images %x: bad data: truncated: 60 bytes: want 64 for 2x4x6`},
		{"gzip, too long", gz(append(bytes.Clone(good), 0)), labels, `datasets: images %x: bad data: more than the 64 bytes of its header (2x4x6)`},
		{"gzip, header too big for it", gz(huge), labels, `datasets: images %x: bad data: the header asks for 3367254359296 bytes (4294967295x28x28), more than a gzip file of %d bytes can hold: truncated or mislabelled`},
		{"gzip, cut", gz(good)[:12], labels, `datasets: images %x: bad data: truncated`},
		{"gzip, damaged checksum", flipLast(gz(good)), labels, `datasets: images %x: bad data: gzip: invalid checksum`},
		{"fewer labels", good, idxBytes([]byte{3}, 1), `datasets: labels %y: bad data: 1 labels for the 2 images of %x`},
		{"label out of range", good, idxBytes([]byte{3, 10}, 2), `datasets: labels %y: bad data: label 10 of sample 1: want 0 to 9`},
	}
}

func TestIDXRefusesBadFiles(t *testing.T) {
	for _, c := range badIDXs() {
		t.Run(c.name, func(t *testing.T) {
			x, y := write(t, "x", c.x), write(t, "y", c.y)
			d, err := OpenIDX(x, y, IDXOptions{Classes: tenClasses})
			if err == nil {
				d.Close()
				t.Fatal("accepted")
			}
			want := strings.NewReplacer("%x", fmt.Sprintf("%q", x), "%y", fmt.Sprintf("%q", y), "%d", fmt.Sprint(len(c.x))).Replace(c.want)
			if !errors.Is(err, loader.ErrBadData) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// flipLast damages the stored checksum (the 8th byte from the end on).
func flipLast(b []byte) []byte {
	b[len(b)-8] ^= 1
	return b
}

func TestIDXWithoutClassesTakesAnyByte(t *testing.T) {
	d, err := OpenIDX(write(t, "x", idxBytes(count(24), 1, 4, 6)), write(t, "y", idxBytes([]byte{255}, 1)), IDXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Target(0).Class() != 255 || d.Classes() != nil {
		t.Errorf("label %d, classes %v", d.Target(0).Class(), d.Classes())
	}
}

func TestIDXNamesWhatIsNoFile(t *testing.T) {
	y := write(t, "y", idxBytes([]byte{1}, 1))
	_, err := OpenIDX(filepath.Join(t.TempDir(), "none"), y, IDXOptions{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), `datasets: images "`) {
		t.Errorf("a missing file: %v", err)
	}
	_, err = OpenIDX(t.TempDir(), y, IDXOptions{})
	if !errors.Is(err, loader.ErrBadData) || !strings.HasSuffix(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

// FuzzIDX: whatever the bytes, parsing ends without a panic in a one-line
// error or in a payload of exactly the size its dimensions say.
func FuzzIDX(f *testing.F) {
	f.Add(idxBytes(count(48), 2, 4, 6))
	f.Add(gz(idxBytes(count(48), 2, 4, 6)))
	for _, c := range badIDXs() {
		f.Add(c.x)
		f.Add(c.y)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, dims := range [][2]int{{1, 1}, {3, 4}} {
			x, err := parseIDX(bytes.NewReader(b), int64(len(b)), dims[0], dims[1])
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %q", err)
				}
				continue
			}
			if len(x.dims) < dims[0] || len(x.dims) > dims[1] {
				t.Errorf("%d dimensions", len(x.dims))
			}
			if x.data != nil && int64(len(x.data)) != x.bytes() || x.data == nil && x.offset+x.bytes() != int64(len(b)) {
				t.Errorf("%v with a payload of %d bytes in %d", x.dims, len(x.data), len(b))
			}
		}
	})
}

func BenchmarkIDX(b *testing.B) {
	const n = 8192
	for _, form := range []string{"plain", "crop and flip"} {
		b.Run(form, func(b *testing.B) {
			var change loader.Transform
			if form != "plain" {
				change, _ = loader.Augment{CropPad: 4, HFlip: true}.Transform(1, 28, 28)
			}
			src, err := loader.NewSource(openTestIDX(b, n), change)
			if err != nil {
				b.Fatal(err)
			}
			l, err := loader.New(src, loader.Options{Shuffle: true})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(n * 784)
			for k := 0; b.Loop(); k++ {
				it, err := l.Epoch(b.Context(), k, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = it.Next()
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func BenchmarkIDXOpen(b *testing.B) {
	const n = 8192
	x, y := idxBytes(count(n*784), n, 28, 28), idxBytes(labelBytes(n), n)
	for _, form := range []string{"plain", "gzip"} {
		b.Run(form, func(b *testing.B) {
			bx, by := x, y
			if form == "gzip" {
				bx, by = gz(x), gz(y)
			}
			px, py := write(b, "x", bx), write(b, "y", by)
			b.SetBytes(int64(len(x)))
			for b.Loop() {
				d, err := OpenIDX(px, py, IDXOptions{})
				if err != nil {
					b.Fatal(err)
				}
				d.Close()
			}
		})
	}
}
