package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
)

// sampleOf is the image of a sample, raw pixels where it is raw or PNG made of
// such, and its class by name.
func sampleOf(t *testing.T, d *Dataset, r loader.Records, i uint32, raw bool) string {
	t.Helper()
	var record loader.Record
	if err := r.Read(i, &record); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%q %d %d %d ", d.ClassNames[r.Target(i).Class()], record.C, record.H, record.W)
	if !raw || record.C > 0 {
		return text + string(record.Data)
	}
	m, _, err := image.Decode(bytes.NewReader(record.Data))
	if err != nil {
		t.Fatal(err)
	}
	b := m.Bounds()
	var planes [3][]byte
	for y := range b.Dy() {
		for x := range b.Dx() {
			r, g, b, _ := m.At(x, y).RGBA()
			planes[0], planes[1], planes[2] = append(planes[0], byte(r)), append(planes[1], byte(g)), append(planes[2], byte(b))
		}
	}
	c, pixels := 3, slices.Concat(planes[0], planes[1], planes[2])
	if _, grey := m.(*image.Gray); grey {
		c, pixels = 1, planes[0]
	}
	return fmt.Sprintf("%q %d %d %d ", d.ClassNames[r.Target(i).Class()], c, b.Dy(), b.Dx()) + string(pixels)
}

// TestConvert: every kind converted to every other has the same images, classes
// and splits, in the same order but in folders, which go by class.
func TestConvert(t *testing.T) {
	for _, kind := range Kinds() {
		if classless[kind] {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			rest := formatCases[kind].write(t, t.TempDir())
			ownCache(t)
			from := open(t, kind+rest)
			c, _, _ := loader.ShapeOf(from.Train)
			for _, to := range ConvertKinds() {
				dir := filepath.Join(t.TempDir(), "new")
				done := 0
				got, err := Convert(context.Background(), from, to+":"+dir, ConvertOptions{ShardBytes: 500, Progress: func(n, _ int) { done = n }})
				if err != nil {
					t.Fatal(err)
				}
				total := from.Train.Len() + from.Test.Len()
				if got.Train != from.Train.Len() || got.Test != from.Test.Len() || done != total || (c > 0) != (got.AsPNG == total) {
					t.Errorf("%s: %+v, %d told", to, got, done)
				}
				d := open(t, got.Spec)
				if !slices.Equal(d.ClassNames, from.ClassNames) {
					t.Errorf("%s: classes %q, want %q", to, d.ClassNames, from.ClassNames)
				}
				for _, r := range [][2]loader.Records{{from.Train, d.Train}, {from.Test, d.Test}} {
					var was, is []string
					for i := range uint32(r[0].Len()) {
						was = append(was, sampleOf(t, from, r[0], i, false))
					}
					for i := range uint32(r[1].Len()) {
						is = append(is, sampleOf(t, d, r[1], i, c > 0))
					}
					if to == "folder" {
						slices.Sort(was)
						slices.Sort(is)
					}
					if !slices.Equal(was, is) {
						t.Fatalf("%s: the samples are others", to)
					}
				}
			}
		})
	}
}

// TestConvertNames: classes that folders cannot be called, and in an order that is not theirs.
func TestConvertNames(t *testing.T) {
	names := []string{"b/c", "a", ".hidden", "100%", "a%2Fb", "with space"}
	var labels []int64
	for i := range 12 {
		labels = append(labels, int64(i%5)) // the last class has no sample
	}
	m, err := loader.NewMemory("m", 1, 1, 1, make([]byte, 12), labels, names)
	if err != nil {
		t.Fatal(err)
	}
	ownCache(t)
	for _, to := range ConvertKinds() {
		dir := filepath.Join(t.TempDir(), "deep", "new")
		if _, err := Convert(context.Background(), &Dataset{Train: m, Test: m, ClassNames: names}, to+":"+dir, ConvertOptions{}); err != nil {
			t.Fatal(err)
		}
		d := open(t, to+":"+dir)
		if !slices.Equal(d.ClassNames, names) || d.Train.Len() != 12 || d.Test.Len() != 12 {
			t.Errorf("%s: %q", to, d.ClassNames)
		}
	}
}

// broken are records whose third sample cannot be read.
type broken struct{ loader.Records }

func (b broken) Read(i uint32, r *loader.Record) error {
	if i == 2 {
		return fmt.Errorf("%w: torn", loader.ErrBadData)
	}
	return b.Records.Read(i, r)
}

func TestConvertRefuses(t *testing.T) {
	d := open(t, "glyphs:train=8,test=4")
	dir := t.TempDir()
	full, file, fresh := filepath.Join(dir, "full"), filepath.Join(dir, "file"), filepath.Join(dir, "fresh")
	if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "x"), nil, 0o644), os.WriteFile(file, nil, 0o644), os.Symlink(fresh, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	two, err := loader.NewMemory("two", 2, 1, 1, make([]byte, 2), []int64{0}, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	noise := Noise{Kind: SymmetricNoise, Rate: 0.1}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	for _, c := range []struct {
		d    *Dataset
		ctx  context.Context
		to   string
		want error
		text string
	}{
		{d, nil, "folder:" + full, ErrOccupied, "not an empty folder"},
		{d, nil, "tar:" + file, ErrOccupied, "not an empty folder"},
		{d, nil, "tar:" + dir + "/link", ErrOccupied, "not an empty folder"},
		{d, nil, fresh, ErrSpec, "KIND:DIR"},
		{d, nil, "folder:", ErrSpec, "spec"},
		{d, nil, "folder:" + fresh + ",val=0.1", ErrSpec, "KIND:DIR"},
		{&Dataset{Train: d.Train, Test: d.Test, ClassNames: d.ClassNames, Noise: &noise}, nil, "folder:" + fresh, ErrSpec, "noise"},
		{&Dataset{Train: broken{d.Train}, Test: d.Test, ClassNames: d.ClassNames}, nil, "parquet:" + fresh, loader.ErrBadData, "train sample 2: bad data: torn"},
		{&Dataset{Train: two, Test: two, ClassNames: []string{"a"}}, nil, "tar:" + fresh, loader.ErrBadData, "2 channels"},
		{&Dataset{Train: d.Train, Test: d.Test, ClassNames: d.ClassNames[:1]}, nil, "tar:" + fresh, loader.ErrBadData, "want 0 to 0"},
		{&Dataset{Train: d.Train, Test: d.Test, ClassNames: make([]string, len(d.ClassNames))}, nil, "folder:" + fresh, loader.ErrBadData, "two classes are named"},
		{d, stopped, "folder:" + fresh, context.Canceled, "canceled"},
	} {
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		_, err := Convert(c.ctx, c.d, c.to, ConvertOptions{})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %q", c.to, err, c.text)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("what was refused left something behind: %v, %v", entries, err)
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(context.Background(), d, "folder:"+fresh, ConvertOptions{}); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
}

// TestClassLists: the setting classes gives the order and the names.
func TestClassLists(t *testing.T) {
	ownCache(t)
	dir := t.TempDir()
	copyFile(t, "testdata/plain.parquet", filepath.Join(dir, "plain.parquet"))
	for text, want := range map[string]string{"y\nx\nz\n": "y x z", "\ufeffx\r\ny": "x y", ` ["y", "x"]`: "y x"} {
		list := filepath.Join(dir, "list")
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		d := open(t, "parquet:"+dir+",val=0.4,classes="+list)
		if got := strings.Join(d.ClassNames, " "); got != want {
			t.Errorf("%q: %q", text, got)
		}
		for i := range uint32(d.Train.Len()) { // rows are x, y, x, y ...
			if name := d.ClassNames[d.Train.Target(i).Class()]; !strings.Contains(sampleOf(t, d, d.Train, i, false), fmt.Sprintf("%q", name)) || len(name) != 1 {
				t.Error(name)
			}
		}
	}
	for text, want := range map[string]string{"x\n": `label "y" is none of the 1 classes`, "": "0 names", "x\n\ny": "the name of class 1 is empty", "[1]": "no JSON list", "\xff": "not UTF-8", "x\nx\ny": "two classes are named"} {
		list := filepath.Join(dir, "list")
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, "parquet:"+dir+",val=0.4,classes="+list, loader.ErrBadData, want)
	}
	refused(t, "parquet:"+dir+",classes="+dir+"/none", os.ErrNotExist, "classes")
}

// masked are records with a mask beside the class.
type masked struct{ loader.Records }

func (m masked) Targets() []loader.TargetSpec {
	return []loader.TargetSpec{{Name: loader.ClassName, Kind: loader.ClassTarget, Type: loader.Int64}, {Name: "seg", Kind: loader.MaskTarget, Type: loader.Int64}}
}

func (m masked) ReadTarget(uint32, int, *loader.Record) error { return nil }

// TestConvertKeepsAllOrRefuses: nothing that the new data cannot hold is left away unsaid.
func TestConvertKeepsAllOrRefuses(t *testing.T) {
	d := open(t, "glyphs:train=8,test=4")
	to := "folder:" + filepath.Join(t.TempDir(), "x")
	_, err := Convert(context.Background(), &Dataset{Train: masked{d.Train}, Test: masked{d.Test}, ClassNames: d.ClassNames}, to, ConvertOptions{})
	if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), `"seg"`) {
		t.Errorf("masks: %v", err)
	}
	dir := tree(t, "a/1.png", "a/2.png", "a/3.png")
	list := filepath.Join(dir, "list.csv")
	if err := os.WriteFile(list, []byte("path,label,weight\na/1.png,0,2\na/2.png,0,2\na/3.png,0,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(context.Background(), open(t, "csv:"+list+",val=0.3"), to, ConvertOptions{}); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "weight=off") {
		t.Errorf("weights: %v", err)
	}
}
