package datasets

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/missing"
	"winnow/loader"
	"winnow/loader/raster"
)

// idxBytes is an IDX file of unsigned bytes.
func idxBytes(payload []byte, dims ...int) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, payload...)
}

// idxFolder writes a small data set: n training and 5 test images of h x w
// zeros, labels 0..9 in turn.
func idxFolder(t *testing.T, dir string, n, h, w int) string {
	t.Helper()
	labels := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i % 10)
		}
		return b
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		trainImages: idxBytes(make([]byte, n*h*w), n, h, w),
		trainLabels: idxBytes(labels(n), n),
		testImages:  idxBytes(make([]byte, 5*h*w), 5, h, w),
		testLabels:  idxBytes(labels(5), 5),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSpecs(t *testing.T) {
	for text, want := range map[string]struct {
		name, path string
		settings   string
	}{
		"glyphs":                     {"glyphs", "", ""},
		"glyphs:classes=36,color=x":  {"glyphs", "", "classes=36 color=x"},
		"mnist:/a/b":                 {"mnist", "/a/b", ""},
		"mnist:/a,b/c,noise=0.2":     {"mnist", "/a,b/c", "noise=0.2"},
		"mnist:./a=b":                {"mnist", "./a=b", ""},
		`mnist:C:\data`:              {"mnist", `C:\data`, ""},
		"mnist:$(touch x),noise=0.1": {"mnist", "$(touch x)", "noise=0.1"},
	} {
		s, err := parseSpec(text, Kinds())
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var settings []string
		for _, k := range sortedNames(s.settings) {
			settings = append(settings, k+"="+s.settings[k])
		}
		if s.name != want.name || s.path != want.path || strings.Join(settings, " ") != want.settings {
			t.Errorf("%q: name %q, path %q, settings %v", text, s.name, s.path, settings)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "want KIND, KIND:SETTINGS or a path",
		"glyphs:":                    "want KIND, KIND:SETTINGS or a path",
		":a":                         "or a path",
		"imagenet":                   "neither a kind nor a path that can be read: want one of " + strings.Join(Kinds(), ", ") + ", or a path",
		"glyphs:classes=9":           "classes=9: want a whole number from 10 to 62",
		"glyphs:classes=63":          "classes=63: want a whole number from 10 to 62",
		"glyphs:classes=ten":         "classes=ten: want a whole number from 10 to 62",
		"glyphs:color=blue":          "color=blue: want one of grey, rgb",
		"glyphs:train=0":             "train=0: want a whole number from 1 to 1073741824",
		"glyphs:noise=1.5":           "noise=1.5: want a number from 0 to 1, alone or after one of symmetric, asymmetric, pairflip, instance and a colon; of instance from 0.01 to 0.99",
		"glyphs:noise=NaN":           "noise=NaN: want a number from 0 to 1, alone or after one of symmetric, asymmetric, pairflip, instance and a colon; of instance from 0.01 to 0.99",
		"glyphs:seed=-1":             "seed=-1: want a whole number from 0 up",
		"glyphs:shape=4":             `unknown setting "shape": want one of classes, color, size, task, train, test, noise, noise-seed, seed`,
		"glyphs:size=4":              "size=4: want a whole number from 16 to 512",
		"glyphs:noise=pair:0.1":      "noise=pair:0.1: want a number from 0 to 1, alone or after one of symmetric, asymmetric, pairflip, instance and a colon; of instance from 0.01 to 0.99",
		"glyphs:noise-seed=-1":       "noise-seed=-1: want a whole number from 0 up",
		"glyphs:size=33":             "size=33: want an even number",
		"glyphs:train=5,train=6":     "train is set twice",
		"glyphs:/data":               `"/data": want KEY=VALUE with one of classes, color, size, task, train, test, noise, noise-seed, seed`,
		"fashion-mnist:classes=10,a": `unknown setting "classes": want one of noise, noise-seed, seed`,
	} {
		_, err := Open(text, Options{Dir: t.TempDir()})
		if !errors.Is(err, ErrSpec) || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v: want %s", text, err, want)
		}
	}
}

func TestMissingDataNamesTheWayOut(t *testing.T) {
	dir := t.TempDir()
	_, err := Open("fashion-mnist", Options{Dir: dir})
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "run `winnow data fetch fashion-mnist`") || !strings.Contains(err.Error(), dir) {
		t.Errorf("fashion-mnist: %v", err)
	}
	_, err = Open("mnist", Options{Dir: dir})
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "mnist:PATH") || strings.Contains(err.Error(), "fetch") {
		t.Errorf("mnist: %v", err)
	}
	if err := Fetch(t.Context(), "mnist", dir, nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "mnist:PATH") {
		t.Errorf("fetch mnist: %v", err)
	}
	if err := Fetch(t.Context(), "glyphs", dir, nil); err != nil {
		t.Errorf("fetch glyphs: %v", err)
	}
	if err := Fetch(t.Context(), "cifar", dir, nil); !errors.Is(err, ErrSpec) {
		t.Errorf("fetch cifar: %v", err)
	}
	_, err = Open("mnist:"+filepath.Join(dir, "none"), Options{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
	_, err = Open("mnist:"+dir, Options{})
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), trainImages) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestOpenFromFolders(t *testing.T) {
	root := t.TempDir()
	idxFolder(t, filepath.Join(root, "fashion-mnist"), 20, 4, 6)
	check := func(d *Dataset, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_, h, w := loader.ShapeOf(d.Train)
		if d.Train.Len() != 20 || d.Test.Len() != 5 || h != 4 || w != 6 || len(d.ClassNames) != 10 {
			t.Errorf("%d and %d samples of %dx%d", d.Train.Len(), d.Test.Len(), h, w)
		}
	}
	check(Open("fashion-mnist", Options{Dir: root}))
	check(Open("fashion-mnist", Options{Dir: filepath.Join(root, "fashion-mnist")}))
	check(Open("mnist:"+filepath.Join(root, "fashion-mnist"), Options{}))
	t.Setenv("WINNOW_DATA", root)
	check(Open("fashion-mnist", Options{}))
	for _, info := range List() {
		if f, _ := find(info.Name); f.path == needsPath {
			continue
		}
		if want := info.Name != "mnist"; info.Installed != want {
			t.Errorf("%s: installed %v", info.Name, info.Installed)
		}
	}
	t.Setenv("WINNOW_DATA", "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
	if _, err := Open("fashion-mnist", Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty cache: %v", err)
	}
	idxFolder(t, filepath.Join(root, "cache", "winnow", "data", "fashion-mnist"), 20, 4, 6)
	check(Open("fashion-mnist", Options{}))
}

func TestSplitsOfOneShape(t *testing.T) {
	dir := idxFolder(t, t.TempDir(), 20, 4, 6)
	if err := os.WriteFile(filepath.Join(dir, testImages), idxBytes(make([]byte, 5*5*6), 5, 5, 6), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("mnist:"+dir, Options{}); !errors.Is(err, loader.ErrBadData) {
		t.Errorf("got %v", err)
	}
}

func TestLabelNoise(t *testing.T) {
	clean, noisy := open(t, "glyphs:train=20000"), open(t, "glyphs:train=20000,noise=0.2")
	truth := noisy.Train.(loader.TrueLabeler)
	labels := noisy.Train
	flipped := 0
	to := map[int64]int{}
	for i := range uint32(20000) {
		want := clean.Train.Target(i).Class()
		got := labels.Target(i).Class()
		if truth.TrueLabel(i) != want || got < 0 || got > 9 {
			t.Fatalf("sample %d: label %d, true label %d: want %d", i, got, truth.TrueLabel(i), want)
		}
		if got != want {
			flipped++
			to[(got-want+10)%10]++
		}
	}
	// Four standard deviations of the binomial, and each of the nine others
	// equally often.
	if d := math.Abs(float64(flipped) - 4000); d > 4*math.Sqrt(20000*0.2*0.8) {
		t.Errorf("%d of 20000 labels changed: want about 4000", flipped)
	}
	for k, n := range to {
		if d := math.Abs(float64(n) - float64(flipped)/9); d > 4*math.Sqrt(float64(flipped)/9) {
			t.Errorf("%d labels moved by %d: want about %d", n, k, flipped/9)
		}
	}
	if _, ok := noisy.Test.(loader.TrueLabeler); ok {
		t.Error("the test split has noise")
	}
	again := open(t, "glyphs:train=20000,noise=0.2").Train
	other := open(t, "glyphs:train=20000,noise=0.2,seed=1").Train.(loader.TrueLabeler)
	same := 0
	for i := range uint32(20000) {
		if again.Target(i).Class() != labels.Target(i).Class() {
			t.Fatal("noise is not repeatable")
		}
		if (other.(loader.Records).Target(i).Class() != other.TrueLabel(i)) == (labels.Target(i).Class() != truth.TrueLabel(i)) {
			same++
		}
	}
	if same > 15000 { // independent draws agree on 0.68
		t.Error("another seed changes the same labels")
	}
	if loader.NameOf(noisy.Train) != "glyphs train" || len(loader.ClassesOf(noisy.Train)) != 10 {
		t.Error("noise hides the name or the classes")
	}
	all := open(t, "glyphs:noise=1").Train
	for i := range uint32(100) {
		if all.Target(i).Class() == loader.TrueLabelOf(all, i) {
			t.Fatal("noise=1 leaves a label")
		}
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := WithLabelNoise(clean.Train, Noise{Kind: SymmetricNoise, Rate: bad}, 10, Options{}); err == nil {
			t.Errorf("noise %v accepted", bad)
		}
	}
	if _, err := WithLabelNoise(clean.Train, Noise{Kind: SymmetricNoise, Rate: 0.1}, 1, Options{}); err == nil {
		t.Error("noise on one class accepted")
	}
}

func TestSubset(t *testing.T) {
	d := open(t, "glyphs:noise=0.5")
	s := Subset(d.Train, 100)
	if s.Len() != 100 || Subset(d.Train, 0) != d.Train || Subset(d.Train, 1<<30) != d.Train {
		t.Error("wrong length")
	}
	images, labels := readAll(t, s, 100)
	wantImages, wantLabels := readAll(t, d.Train, 100)
	if !slices.Equal(images, wantImages) || !slices.Equal(labels, wantLabels) {
		t.Error("other samples than the first")
	}
	if err := s.Read(100, new(loader.Record)); !errors.Is(err, loader.ErrIndex) {
		t.Errorf("past the end: %v", err)
	}
	for i := range uint32(100) {
		if s.Target(i).Class() != labels[i] || loader.TrueLabelOf(s, i) != loader.TrueLabelOf(d.Train, i) {
			t.Fatal("other labels than the source's")
		}
	}
}

func TestDescribe(t *testing.T) {
	images := []byte{0, 255, 0, 0, 51, 51, 51, 51, 9, 9, 9, 9} // the third image is not sampled
	train, err := loader.NewMemory("m", 2, 1, 2, images, []int64{1, 1, 0}, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	d := &Dataset{Train: Subset(train, 2), Test: train, ClassNames: train.Classes()}
	r, err := Describe(t.Context(), d, raster.Decoder{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.TrainCounts, []int{0, 2}) || !slices.Equal(r.TestCounts, []int{1, 2}) || r.Sampled != 2 {
		t.Errorf("%+v", r)
	}
	// Channel 0: 0, 1, 0.2, 0.2; channel 1: 0, 0, 0.2, 0.2.
	for k, want := range []float64{0.35, 0.1} {
		if math.Abs(r.Mean[k]-want) > 1e-12 {
			t.Errorf("mean of channel %d is %v: want %v", k, r.Mean[k], want)
		}
	}
	for k, want := range []float64{math.Sqrt(1.08/4 - 0.35*0.35), 0.1} {
		if math.Abs(r.Std[k]-want) > 1e-12 {
			t.Errorf("deviation of channel %d is %v: want %v", k, r.Std[k], want)
		}
	}
	d.ClassNames = []string{"a"}
	if _, err := Describe(t.Context(), d, raster.Decoder{}, 2); !errors.Is(err, loader.ErrBadData) {
		t.Errorf("a label past the classes: %v", err)
	}
}

// TestFashionMNIST checks the real files: the class counts of the paper, the
// first labels, and the mean and deviation that PyTorch recipes normalize with.
func TestFashionMNIST(t *testing.T) {
	d, err := Open("fashion-mnist", Options{})
	if errors.Is(err, ErrMissing) {
		missing.Skip(t, "Fashion-MNIST is not fetched: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := Describe(t.Context(), d, raster.Decoder{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for class := range 10 {
		if r.TrainCounts[class] != 6000 || r.TestCounts[class] != 1000 {
			t.Errorf("class %d has %d and %d samples: want 6000 and 1000", class, r.TrainCounts[class], r.TestCounts[class])
		}
	}
	if math.Abs(r.Mean[0]-0.2860) > 1e-4 || math.Abs(r.Std[0]-0.3530) > 1e-4 {
		t.Errorf("mean %.4f, deviation %.4f: want 0.2860, 0.3530", r.Mean[0], r.Std[0])
	}
	for i, want := range []int64{9, 0, 0, 3, 0} {
		if got := d.Train.Target(uint32(i)).Class(); got != want {
			t.Errorf("label of training sample %d is %d: want %d", i, got, want)
		}
	}
}
