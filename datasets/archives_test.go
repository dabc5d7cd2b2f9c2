package datasets

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"winnow/loader"
	"winnow/loader/loadertest"
)

// archived is image i of testdata/archives.py.
func archived(i int) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	for k := range 40 + i {
		b = append(b, byte(i*7+k))
	}
	return b
}

func archiveWant(n int) func(testing.TB) loadertest.Want {
	return func(testing.TB) (w loadertest.Want) {
		for i := range n {
			w.Labels = append(w.Labels, int64(i%3))
			w.Images = append(w.Images, archived(i))
		}
		return w
	}
}

// ownCache gives a test a cache folder of its own.
func ownCache(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv("WINNOW_CACHE", dir)
	return dir
}

func writeParquetCase(t *testing.T, dir string) string {
	ownCache(t)
	for _, name := range []string{"train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"} {
		copyFile(t, "testdata/"+name, filepath.Join(dir, name))
	}
	return ":" + dir
}

// member is a file of a tar archive.
type member struct {
	name string
	data []byte
}

func tarBytes(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shard is a WebDataset shard of n samples from first on.
func shard(t testing.TB, first, n int) []byte {
	var members []member
	for i := first; i < first+n; i++ {
		key := fmt.Sprintf("part/%04d", i)
		switch i % 3 { // the class in each of its forms, before or after the image
		case 0:
			members = append(members, member{key + ".cls", []byte("0\n")}, member{key + ".png", archived(i)})
		case 1:
			members = append(members, member{key + ".JPG", archived(i)}, member{key + ".json", []byte(`{"label": 1, "caption": "x"}`)})
		default:
			members = append(members, member{key + ".webp", archived(i)}, member{key + ".seg.bin", []byte("mask")}, member{key + ".txt", []byte("2")})
		}
	}
	return tarBytes(t, members...)
}

func writeTarCase(t *testing.T, dir string) string {
	ownCache(t)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"train-000.tar": shard(t, 0, 4), "train-001.tar.gz": gz(shard(t, 4, 5)), "train-002.tar.zst": z.EncodeAll(shard(t, 9, 3), nil), "val-000.tar": shard(t, 50, 2),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return ":" + dir
}

func TestShardPatterns(t *testing.T) {
	dir := t.TempDir()
	writeTarCase(t, dir)
	for pattern, samples := range map[string]int{
		"train-000.tar,val=0.3": 4, "train-00{0..1}.tar*,val=0.3": 9, "train-{000.tar,002.tar.zst},val=0.5": 7, "*.tar": 6, "": 14,
	} {
		d := open(t, "tar:"+filepath.Join(dir, pattern))
		if got := d.Train.Len() + d.Test.Len(); got != samples {
			t.Errorf("%q: %d samples, want %d", pattern, got, samples)
		}
	}
	refused(t, "tar:"+dir+"/x-{0..3}.tar", os.ErrNotExist, "x-0.tar")
	refused(t, "tar:"+dir+"/x-{3..1}.tar", loader.ErrBadData, "FIRST..LAST")
	refused(t, "tar:"+dir+"/{0..99999}{0..99999}", loader.ErrBadData, "stands for over")
	refused(t, "tar:"+t.TempDir(), loader.ErrBadData, "no file ends in .tar")
}

func TestBadTars(t *testing.T) {
	ownCache(t)
	good := shard(t, 0, 4)
	png, label := member{"a.png", archived(1)}, member{"a.cls", []byte("1")}
	bomb := make([]byte, 90<<20)
	for name, c := range map[string]struct {
		data []byte
		text string
	}{
		"cut":          {good[:1000], "cut short"},
		"no tar":       {bytes.Repeat([]byte("hello "), 200), "bad data"},
		"empty":        {tarBytes(t), "no samples"},
		"no class":     {tarBytes(t, png), `sample "a" has no class`},
		"no image":     {tarBytes(t, label), `sample "a" has no image`},
		"no picture":   {tarBytes(t, member{"a.png", []byte("hello")}, label), "begins with 68 65"},
		"empty class":  {tarBytes(t, png, member{"a.cls", []byte(" \n")}), "empty or not UTF-8"},
		"bad json":     {tarBytes(t, png, member{"a.json", []byte("{")}), "no JSON object"},
		"no field":     {tarBytes(t, png, member{"a.json", []byte(`{"label": [1]}`)}), "field=NAME"},
		"climbs":       {tarBytes(t, member{"../a.png", archived(1)}), "leads out of the archive"},
		"two images":   {tarBytes(t, png, member{"a.jpg", archived(2)}, label), "a second image"},
		"gzip cut":     {gz(good)[:60], "bad data"},
		"gzip damaged": {flipLast(gz(good)), "checksum"},
		"bomb":         {gz(tarBytes(t, member{"bomb.bin", bomb}, png, label)), "unpacks to over 50 times"},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		refused(t, "tar:"+path, loader.ErrBadData, c.text)
	}
	if list, err := Caches(); err != nil || len(list) != 0 {
		t.Errorf("what was refused left %v, %v in the cache", list, err)
	}
}

func TestParquetForms(t *testing.T) {
	ownCache(t)
	d := open(t, "parquet:testdata/plain.parquet,val=0.3")
	if d.Train.Len() != 4 || strings.Join(d.ClassNames, "") != "xy" {
		t.Errorf("%d training samples, classes %q", d.Train.Len(), d.ClassNames)
	}
	d = open(t, "parquet:testdata/{train,validation}-00000-of-00001.parquet")
	if d.Train.Len() != 13 || d.Test.Len() != 4 || strings.Join(d.ClassNames, " ") != "ant bee cow" || d.Test.Target(0).Class() != 1 {
		t.Errorf("%d and %d samples, classes %q", d.Train.Len(), d.Test.Len(), d.ClassNames)
	}
	for spec, text := range map[string]string{
		"nolabel.parquet":             "no column label, labels",
		"plain.parquet,image=picture": `no column "picture"`,
		"lists.parquet":               "holds lists",
		"nulls.parquet":               "row 1: no image",
		"numbers.parquet":             "want bytes of image files",
		"arrays.py":                   "bad data",
	} {
		refused(t, "parquet:testdata/"+spec, loader.ErrBadData, text)
	}
	data, err := os.ReadFile("testdata/plain.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 10, len(data) / 2, len(data) - 1} {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, "parquet:"+path, loader.ErrBadData, "")
	}
}

// TestCacheIsKept: a shard is unpacked once, anew when it changes, and a cache
// file that is cut or damaged is noticed.
func TestCacheIsKept(t *testing.T) {
	cache := ownCache(t)
	path := filepath.Join(t.TempDir(), "x.tar")
	write := func(n int) {
		t.Helper()
		if err := os.WriteFile(path, shard(t, 0, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	samples := func() int {
		t.Helper()
		d := open(t, "tar:"+path)
		n := d.Train.Len() + d.Test.Len()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	write(9)
	if samples() != 9 {
		t.Fatal("not nine samples")
	}
	list, err := Caches()
	if err != nil || len(list) != 1 || list[0].State != "current" || list[0].Samples != 9 || list[0].Source != path {
		t.Fatalf("cache %+v, %v", list, err)
	}
	stamp := func() os.FileInfo {
		info, err := os.Stat(list[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := stamp()
	if samples() != 9 || !os.SameFile(before, stamp()) {
		t.Error("unpacked twice")
	}
	if err := os.Truncate(list[0].Path, before.Size()-1); err != nil {
		t.Fatal(err)
	}
	if cut, _ := Caches(); cut[0].State != "damaged" || samples() != 9 || stamp().Size() != before.Size() {
		t.Errorf("a cache cut short: %+v", cut)
	}
	d := open(t, "tar:"+path)
	f, err := os.OpenFile(list[0].Path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{1}, int64(len(cacheMagic))+20) // in the first image
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, r := range []loader.Records{d.Train, d.Test} {
		for i := range uint32(r.Len()) {
			if err := r.Read(i, new(loader.Record)); errors.Is(err, loader.ErrBadData) && strings.Contains(err.Error(), "winnow data cache") {
				bad++
			}
		}
	}
	if bad != 1 {
		t.Errorf("%d images of a damaged cache are refused, want 1", bad)
	}
	write(8)
	if samples() != 8 {
		t.Error("a changed source was not noticed")
	}
	if err := os.WriteFile(filepath.Join(cache, "other.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if gone, err := PruneCache(false); err != nil || len(gone) != 1 || gone[0].State != "source changed" {
		t.Errorf("pruned %+v, %v", gone, err)
	}
	if gone, err := PruneCache(true); err != nil || len(gone) != 1 {
		t.Errorf("pruned %+v, %v", gone, err)
	}
	if _, err := os.Stat(filepath.Join(cache, "other.txt")); err != nil {
		t.Error("a file that is not the cache's went")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open("tar:"+path, Options{Context: ctx}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzTar(f *testing.F) {
	f.Add(shard(f, 0, 4))
	f.Add(gz(shard(f, 0, 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, done, err := unpacked(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		defer done()
		err = new(tarOptions).readTar(r, 0, func(image []byte, label string) error {
			if len(image) == 0 || label == "" {
				t.Error("an empty sample")
			}
			return nil
		})
		if err != nil && (!errors.Is(err, loader.ErrBadData) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q", err)
		}
	})
}

func FuzzParquet(f *testing.F) {
	for _, name := range []string{"plain", "lists", "train-00000-of-00001", "validation-00000-of-00001"} {
		data, err := os.ReadFile("testdata/" + name + ".parquet")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows := 0
		_, err := new(parquetOptions).rows(bytes.NewReader(data), int64(len(data)), 0, func([]byte, string) error {
			if rows++; rows > 1000 {
				return loader.ErrBadData // a column of nothing may say that it has many rows
			}
			return nil
		})
		if err != nil && !errors.Is(err, loader.ErrBadData) {
			t.Errorf("%q", err)
		}
	})
}

// FuzzCache: a damaged cache file is refused, or gives images of its size.
func FuzzCache(f *testing.F) {
	dir := f.TempDir()
	source := filepath.Join(dir, "x.tar")
	if err := os.WriteFile(source, shard(f, 0, 4), 0o644); err != nil {
		f.Fatal(err)
	}
	s, err := openShard(dir, source, "tar", &shardOptions{unpack: new(tarOptions).unpack})
	if err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, s.meta.key()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &cachedShard{blob: blob{data: data}}
		if err := s.check(int64(len(data))); err != nil {
			if !errors.Is(err, loader.ErrBadData) {
				t.Errorf("%q", err)
			}
			return
		}
		set := &shardedSet{name: "x"}
		s.classes = make([]int32, len(s.meta.Labels))
		set.add(s)
		for i := range uint32(set.Len()) {
			set.Target(i)
			if err := set.Read(i, new(loader.Record)); err != nil && !errors.Is(err, loader.ErrBadData) {
				t.Error(err)
			}
		}
	})
}

// TestParquetFooter: a footer longer than the file is refused before it is allocated.
func TestParquetFooter(t *testing.T) {
	data := append([]byte("PAR1    "), 0xff, 0xff, 0xff, 0x7f)
	data = append(data, "PAR1"...)
	_, err := new(parquetOptions).rows(bytes.NewReader(data), int64(len(data)), 0, nil)
	if !errors.Is(err, loader.ErrBadData) || !strings.Contains(err.Error(), "a footer of 2147483647 bytes in a file of 16") {
		t.Error(err)
	}
}
