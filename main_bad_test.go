package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// onePNG is a picture of one pixel.
func onePNG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hugePNG says that it has 50,000 x 50,000 pixels.
func hugePNG() []byte {
	head := []byte("IHDR")
	head = binary.BigEndian.AppendUint32(head, 50000)
	head = binary.BigEndian.AppendUint32(head, 50000)
	head = append(head, 8, 2, 0, 0, 0)
	b := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), uint32(len(head)-4))
	return binary.BigEndian.AppendUint32(append(b, head...), crc32.ChecksumIEEE(head))
}

func tarOf(t *testing.T, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		data := members[i+1].([]byte)
		if err := w.WriteHeader(&tar.Header{Name: members[i].(string), Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdOf(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// parquetOf has no rows.
func parquetOf(t *testing.T, schema parquet.Group) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, parquet.NewSchema("s", schema))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBadInput: whatever is wrong with data, the program says what and where in
// one line, ends with exit code 3, and allocates no more than the data is worth.
func TestBadInput(t *testing.T) {
	t.Setenv("WINNOW_CACHE", t.TempDir())
	pixel := onePNG(t)
	good := tarOf(t, "a.png", pixel, "a.cls", []byte("0"), "b.png", pixel, "b.cls", []byte("0"), "c.png", pixel, "c.cls", []byte("1"), "d.png", pixel, "d.cls", []byte("1"))
	bomb := tarOf(t, "zeros.bin", make([]byte, 80<<20), "a.png", pixel, "a.cls", []byte("0"))
	bytesNode, list := parquet.Leaf(parquet.ByteArrayType), parquet.Repeated(parquet.Leaf(parquet.ByteArrayType))
	label := parquet.Leaf(parquet.Int64Type)
	var many strings.Builder
	many.WriteString("path,label\n")
	for k := range 65536 {
		fmt.Fprintf(&many, "a/1.png,class %d\n", k)
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		spec  string // behind which the folder's name goes for a %
		text  []string
	}{
		"gzip cut":                {map[string][]byte{"x.tar": gzipOf(t, good)[:80]}, "tar:%/x.tar", []string{"x.tar", "cut short"}},
		"IDX gzip cut":            {map[string][]byte{"train-images-idx3-ubyte.gz": gzipOf(t, make([]byte, 800))[:20], "train-labels-idx1-ubyte.gz": gzipOf(t, make([]byte, 8)), "t10k-images-idx3-ubyte.gz": gzipOf(t, nil), "t10k-labels-idx1-ubyte.gz": gzipOf(t, nil)}, "idx:%", []string{"idx"}},
		"tar cut in the middle":   {map[string][]byte{"x.tar": good[:len(good)/2+100]}, "tar:%/x.tar", []string{"x.tar", "cut short"}},
		"tar that climbs":         {map[string][]byte{"x.tar": tarOf(t, "../../a.png", pixel)}, "tar:%/x.tar", []string{"../../a.png", "leads out of the archive"}},
		"gzip bomb":               {map[string][]byte{"x.tar": gzipOf(t, bomb)}, "tar:%/x.tar", []string{"unpacks to over 50 times"}},
		"zstd bomb":               {map[string][]byte{"x.tar": zstdOf(t, bomb)}, "tar:%/x.tar", []string{"unpacks to over 50 times"}},
		"parquet without images":  {map[string][]byte{"x.parquet": parquetOf(t, parquet.Group{"picture": bytesNode, "label": label})}, "parquet:%", []string{"no column image, img, png", "image=NAME"}},
		"parquet without labels":  {map[string][]byte{"x.parquet": parquetOf(t, parquet.Group{"image": bytesNode, "name": label})}, "parquet:%", []string{"no column label", "label=NAME"}},
		"parquet of lists":        {map[string][]byte{"x.parquet": parquetOf(t, parquet.Group{"image": list, "label": label})}, "parquet:%", []string{"holds lists"}},
		"parquet of nested lists": {map[string][]byte{"x.parquet": parquetOf(t, parquet.Group{"image": parquet.Group{"list": parquet.Repeated(parquet.Group{"element": bytesNode})}, "label": label})}, "parquet:%", []string{"holds lists or other fields"}},
		"parquet without rows":    {map[string][]byte{"x.parquet": parquetOf(t, parquet.Group{"image": bytesNode, "label": label})}, "parquet:%", []string{"no samples"}},
		"manifest, missing path":  {map[string][]byte{"x.csv": []byte("path,label\nnone.png,0\n")}, "csv:%/x.csv", []string{"line 2", "none.png", "no such file"}},
		"manifest, absolute path": {map[string][]byte{"x.csv": []byte("path,label\n/etc/passwd,0\n")}, "csv:%/x.csv", []string{"line 2", "/etc/passwd", "leads out of the root"}},
		"manifest that climbs":    {map[string][]byte{"x.jsonl": []byte(`{"path": "a/../../b.png", "label": 0}`)}, "jsonl:%/x.jsonl", []string{"line 1", "a/../../b.png", "leads out of the root"}},
		"folder without images":   {map[string][]byte{"a/1.png": pixel, "b/text.md": []byte("x")}, "folder:%", []string{`class folder "b" holds no image`}},
		"empty split":             {map[string][]byte{"train/a/1.png": pixel, "val/x.md": []byte("x")}, "folder:%", []string{`below "val"`}},
		"huge PNG":                {map[string][]byte{"a/1.png": hugePNG(), "a/2.png": hugePNG()}, "folder:%", []string{"a/", "50000x50000", "at most"}},
		"name that is not UTF-8":  {map[string][]byte{"a\xff/1.png": pixel, "a\xff/2.png": pixel}, "folder:%", []string{`a\xff`, "not UTF-8"}},
		"label that is not UTF-8": {map[string][]byte{"x.tar": tarOf(t, "a.png", pixel, "a.cls", []byte("\xff"))}, "tar:%/x.tar", []string{"not UTF-8"}},
		"65,536 classes of one":   {map[string][]byte{"a/1.png": pixel, "x.csv": []byte(many.String())}, "csv:%/x.csv", []string{"no class has two images"}},
		"numpy header":            {map[string][]byte{"x.npy": []byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f{}")}, "npy:%,images=x,labels=x", []string{"a header of"}},
		"CIFAR cut":               {map[string][]byte{"train.bin": make([]byte, 5000), "test.bin": make([]byte, 3074)}, "cifar100:%", []string{"train.bin", "records of 3074"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, data := range c.files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, path, data)
			}
			spec := strings.ReplaceAll(c.spec, "%", dir)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			o := winnow(t, "data", "info", spec)
			runtime.ReadMemStats(&after)
			o.fails(t, exitInput, c.text...)
			if lines := strings.Count(strings.TrimSpace(o.stderr), "\n"); lines > 0 && !strings.Contains(o.stderr, "note:") {
				t.Errorf("%d lines: %s", lines+1, o.stderr)
			}
			most := uint64(48 << 20)
			if strings.HasPrefix(name, "65,536") { // some kilobytes a line, most of them garbage at once
				most *= 5
			}
			if after.TotalAlloc-before.TotalAlloc > most {
				t.Errorf("%d MB allocated in all", (after.TotalAlloc-before.TotalAlloc)>>20)
			}
		})
	}
}
