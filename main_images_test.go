package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"winnow/datasets"
	"winnow/internal/missing"
	"winnow/loader"
	"winnow/loader/raster"
	runs "winnow/run"
	"winnow/runtime/ortest"
)

// grey is a folder of JPEG files, two classes of n images each.
func grey(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for k, class := range []string{"dark", "light"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			m := image.NewGray(image.Rect(0, 0, 40, 36))
			for p := range m.Pix {
				m.SetGray(p%40, p/40, color.Gray{Y: byte(120*k + (p*(i+3))%90)})
			}
			var b bytes.Buffer
			if err := jpeg.Encode(&b, m, nil); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, class, fmt.Sprintf("%02d.jpg", i)), b.Bytes())
		}
	}
	return dir
}

// TestDecoder: what decodes JPEG is what was asked for, is said, and is recorded.
func TestDecoder(t *testing.T) {
	ortest.CPU(t, 1)
	data, out := "folder:"+grey(t, 6), filepath.Join(t.TempDir(), "run")
	without := func(args ...string) outcome {
		cmd := program(args...)
		cmd.Env = append(cmd.Env, raster.TurboVariable+"="+filepath.Join(t.TempDir(), "none.so"))
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		code := code(started(t, cmd))
		return outcome{code, stdout.String(), stderr.String()}
	}
	train := func(more ...string) []string {
		return append([]string{"train", "--bundle", "mlp", "--data", data, "--epochs", "1", "--device", "cpu", "--threads", "1", "--overwrite", "--out", out}, more...)
	}
	recorded := func(want string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(out, "summary.json"))
		if n := strings.Count(string(text), fmt.Sprintf(`"decoder": %q`, want)); err != nil || n != 2 {
			t.Errorf("%d times %s in summary.json, %v", n, want, err)
		}
	}

	without(train("--decoder", "turbo")...).fails(t, exitRuntime, "--decoder turbo", "none.so", "libturbojpeg0", raster.TurboVariable)
	winnow(t, train("--decoder", "libjpeg")...).fails(t, exitUsage, "--decoder", "auto")
	o := without(train()...).succeeds(t)
	if !strings.Contains(o.stdout+o.stderr, "Go's decoder") {
		t.Errorf("it is not said that Go's decoder is taken: %s", o.stderr)
	}
	recorded("go")
	if o := without("doctor", "--device", "cpu").succeeds(t); !strings.Contains(o.stdout, "Go's decoder") || !strings.Contains(o.stdout, "none.so") {
		t.Errorf("doctor: %s", o.stdout)
	}

	if _, err := raster.NewDecoder(raster.TurboDecoder); err != nil {
		missing.Skip(t, "%v: make setup-jpeg installs it", err)
	}
	winnow(t, train()...).succeeds(t)
	recorded("turbo")
	winnow(t, "eval", out, "--device", "cpu").succeeds(t)
	if o := without("eval", out, "--device", "cpu").succeeds(t); !strings.Contains(o.stderr, "Go's decoder") {
		t.Errorf("it is not said that the run's decoder is missing: %s", o.stderr)
	}
	if o := winnow(t, "doctor", "--device", "cpu").succeeds(t); !strings.Contains(o.stdout, "libturbojpeg, /") {
		t.Errorf("doctor: %s", o.stdout)
	}
}

// TestDataCheck: bad files are named and the exit code says so.
func TestDataCheck(t *testing.T) {
	dir := grey(t, 4)
	if o := winnow(t, "data", "check", "folder:"+dir).succeeds(t); !strings.Contains(o.stdout, "8 samples checked: 0 cannot be read") {
		t.Error(o.stdout)
	}
	write(t, filepath.Join(dir, "dark", "cut.jpg"), []byte("\xff\xd8\xff\xe0\x00\x10JFIF"))
	o := winnow(t, "data", "check", dir)
	o.fails(t, exitInput, "1 samples cannot be read")
	if !strings.Contains(o.stdout, "dark/cut.jpg: bad image") {
		t.Errorf("the file is not named:\n%s", o.stdout)
	}
	winnow(t, "data", "info", dir, "--sample", "-1").fails(t, exitUsage, "--sample")
	winnow(t, "data", "info", "folder:"+dir).fails(t, exitInput, "cut.jpg", "bad image")
}

// TestDataSheet: the cells of a contact sheet are the samples, and with
// --augmented those that training sees.
func TestDataSheet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sheet.png")
	cells := func(more ...string) image.Image {
		t.Helper()
		os.Remove(path)
		winnow(t, append([]string{"data", "show", "glyphs", "--count", "4", "--out", path, "--augmented", "--input-size", "28"}, more...)...).succeeds(t)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, err := png.Decode(f)
		if err != nil || m.Bounds() != image.Rect(0, 0, 60, 60) {
			t.Fatal(m.Bounds(), err)
		}
		return m
	}
	d, err := datasets.Open("glyphs", datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, moved := cells("--aug", "none"), cells("--aug", "cifar")
	same, other := 0, 0
	var r loader.Record
	for k := range 4 {
		if err := d.Train.Read(uint32(k), &r); err != nil {
			t.Fatal(err)
		}
		for i, want := range r.Data {
			x, y := k%2*30+i%28, k/2*30+i/28
			if got, _, _, _ := plain.At(x, y).RGBA(); byte(got>>8) == want {
				same++
			}
			if got, _, _, _ := moved.At(x, y).RGBA(); byte(got>>8) != want {
				other++
			}
		}
	}
	if same != 4*28*28 || other == 0 {
		t.Errorf("%d pixels are the samples', %d are moved", same, other)
	}
	mixed, cut := cells("--aug", "none", "--mixup", "0.8"), cells("--aug", "none", "--cutmix", "1")
	for k := range 2 * 28 * 28 { // samples 0 and 3 are a pair, and 1 and 2
		x, y := k%56+k%56/28*2, k/56
		a, b := grey8(plain, x, y), grey8(plain, (x+30)%60, 30+y)
		if m := grey8(mixed, x, y); m < min(a, b)-1 || m > max(a, b)+1 {
			t.Fatalf("pixel %d, %d is %d, of %d and %d", x, y, m, a, b)
		}
		if m := grey8(cut, x, y); m != a && m != b {
			t.Fatalf("pixel %d, %d is %d, not %d or %d", x, y, m, a, b)
		}
	}
	if equalImages(mixed, plain) || equalImages(cut, plain) {
		t.Error("nothing was mixed")
	}
	for _, size := range []string{"28x28", "1x28x28"} {
		if !equalImages(plain, cells("--aug", "none", "--input-size", size)) {
			t.Errorf("--input-size %s: another sheet", size)
		}
	}
	for size, why := range map[string]string{"3x28x28": "taken as they are", "28x30": "taken as they are", "2x28x28": "channels", "0": "CxHxW", "1x2x3x4": "CxHxW", "5000": "4096"} {
		winnow(t, "data", "show", "glyphs", "--out", path+"2", "--augmented", "--aug", "none", "--input-size", size).fails(t, exitUsage, "--input-size "+size, why)
	}
	for name, near := range map[string]string{"rand-m9-mstd0.5-inc1": "randaug:27:2", "original": "imagenet", "augmix-m3-w3": "randaug"} {
		winnow(t, "data", "show", "glyphs", "--out", path+"2", "--augmented", "--aa", name).fails(t, exitUsage, "--aa "+name, near)
	}
	before := unchanged(t, filepath.Dir(path))
	winnow(t, "data", "show", "glyphs", "--out", path).fails(t, exitUsage, "--out", "there already")
	before("an earlier sheet")
	winnow(t, "data", "show", "glyphs", "--augmented").fails(t, exitUsage, "--augmented", "--out")
}

func grey8(m image.Image, x, y int) int {
	v, _, _, _ := m.At(x, y).RGBA()
	return int(v >> 8)
}

func equalImages(a, b image.Image) bool {
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if a.At(x, y) != b.At(x, y) {
				return false
			}
		}
	}
	return true
}

// TestMixedTraining: a shipped bundle and a finished one are trained on shares of
// classes, with the smoothing that they were made with, and evaluation repeats
// what training reported.
func TestMixedTraining(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	data, at := "glyphs:train=96,test=64", func(name string) string { return filepath.Join(dir, name) }
	train := func(out, from string, more ...string) *runs.Summary {
		t.Helper()
		winnow(t, append([]string{"train", "--bundle", from, "--data", data, "--epochs", "2", "--batch-size", "20", "--device", "cpu", "--threads", "1",
			"--out", at(out), "--mixup", "0.4", "--cutmix", "1"}, more...)...).succeeds(t)
		r, err := runs.Read(at(out))
		if err != nil {
			t.Fatal(err)
		}
		return &r.Summary
	}
	write(t, at("lenet.onnx"), lenet(t))
	winnow(t, "export", at("lenet.onnx"), "--smoothing", "0.1", "-o", at("hard")).succeeds(t)
	first := train("a", at("lenet.onnx"), "--smoothing", "0.1", "--workers", "1")
	second := train("b", at("hard"), "--workers", "3")
	if first.TestLoss != second.TestLoss || first.Config.Loss.Smoothing != 0.1 || !reflect.DeepEqual(first.Config.Loss, second.Config.Loss) || !first.Config.Loss.SoftTargets {
		t.Errorf("of a model %v, %+v; of a bundle %v, %+v", first.TestLoss, first.Config.Loss, second.TestLoss, second.Config.Loss)
	}
	if first.Scorer != "bls" || first.Config.Mix == nil || *first.Config.Mix != (loader.Mix{Mixup: 0.4, Cutmix: 1, Prob: 1, Switch: 0.5}) {
		t.Errorf("scorer %s, recorded %+v", first.Scorer, first.Config.Mix)
	}
	if other := train("c", at("hard"), "--mixup-prob", "0", "--prune", "none"); other.TestLoss == second.TestLoss {
		t.Error("mixing changes nothing")
	}
	var r struct{ Top1, Loss float64 }
	if err := json.Unmarshal([]byte(winnow(t, "eval", at("b"), "--data", data, "--device", "cpu", "--json").succeeds(t).stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Top1 != second.TestAccuracy || math.Abs(r.Loss-second.TestLoss) > 1e-6*r.Loss {
		t.Errorf("eval says %v, %v, training %v, %v", r.Top1, r.Loss, second.TestAccuracy, second.TestLoss)
	}
	if err := os.Remove(at("hard/forward.onnx")); err != nil {
		t.Fatal(err)
	}
	refused := func(words ...string) func(more ...string) {
		return func(more ...string) {
			t.Helper()
			winnow(t, append([]string{"train", "--bundle", at("hard"), "--data", data, "--device", "cpu", "--out", at("d")}, more...)...).fails(t, exitUsage, words...)
		}
	}
	refused("winnow export MODEL.onnx --vector-targets")("--mixup", "0.2")
	refused("--mixup-prob", "only with")("--mixup-prob", "0.5")
	refused("mixup")("--mixup", "-1")
	winnow(t, "train", "--bundle", "mlp", "--data", data, "--device", "cpu", "--out", at("d"), "--mixup", "1", "--prune", "das-infobatch").fails(t, exitUsage, "two of them", "bls-infobatch")
}

// TestChangesOfRawImages: images of the model's size are changed without being
// resized, the run records how, and evaluation repeats what training reported.
func TestChangesOfRawImages(t *testing.T) {
	ortest.CPU(t, 1)
	data, out := "glyphs:train=128,test=128", filepath.Join(t.TempDir(), "run")
	train := func(more ...string) []string {
		return append([]string{"train", "--bundle", "mlp", "--data", data, "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--threads", "1", "--overwrite", "--out", out}, more...)
	}
	winnow(t, train("--aug", "cifar", "--crop-pad-mode", "reflect", "--aa", "cifar10", "--hflip", "0.2", "--affine-shear", "9,0")...).succeeds(t)
	record, err := runs.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	s := record.Summary
	got := s.Config.Images.Train
	want := loader.Images{Channels: 1, Height: 28, Width: 28, Interpolation: "bilinear", CropPct: 1, CropPad: 4, PadMode: loader.Reflect, HFlip: 0.2,
		Auto: loader.AutoCIFAR, Affine: loader.Affine{Shear: [2]float64{9, 0}}}
	if got != want {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
	var r struct{ Top1, Loss float64 }
	if err := json.Unmarshal([]byte(winnow(t, "eval", out, "--data", data, "--device", "cpu", "--json").succeeds(t).stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Top1 != s.TestAccuracy || math.Abs(r.Loss-s.TestLoss) > 1e-6*s.TestLoss {
		t.Errorf("eval says %v, %v, training %v, %v", r.Top1, r.Loss, s.TestAccuracy, s.TestLoss)
	}
	for _, c := range [][]string{
		{"--crop-pct", "0.9"}, {"--hflip", "1.5"}, {"--aa", "svhn"}, {"--crop-pad-mode", "reflect"}, {"--gaussian-blur-sigma", "1,2"}, {"--affine-scale", "0,0"},
		{"--interpolation", "random", "--aug", "imagenet"}, {"--train-interpolation", "nearest", "--aug", "imagenet"},
	} {
		winnow(t, train(c...)...).fails(t, exitUsage, c[0][2:])
	}
	winnow(t, append(train("--vflip", "0.5"), "--bundle", "resnet20")...).fails(t, exitUsage, "1x28x28", "3x32x32", "--aug imagenet")
}

// An image that cannot be read ends a command, which says how to go on without
// it; classes that no sample has are no rows of a table.
func TestOnBad(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	for _, class := range []string{"train/a", "train/b", "test/a", "test/b"} {
		if err := os.MkdirAll(filepath.Join(dir, "data", class), 0o777); err != nil {
			t.Fatal(err)
		}
		for k := range 4 {
			write(t, filepath.Join(dir, "data", class, fmt.Sprintf("%d.png", k)), onePNG(t))
		}
	}
	write(t, filepath.Join(dir, "data", "train", "b", "5.png"), []byte("none"))
	out := filepath.Join(dir, "run")
	args := trainMLP(out, "--data", "folder:"+filepath.Join(dir, "data"), "-q")
	winnow(t, args...).fails(t, exitInput, "b/5.png", "--on-bad skip")
	if said := winnow(t, append(args, "--on-bad", "skip", "--overwrite")...).succeeds(t).stderr; !strings.Contains(said, "left out 1 image that") {
		t.Error(said)
	}
	for _, command := range [][]string{{"audit", out}, {"report", out}, {"eval", out, "--split", "train"}} { // as the run was trained
		command = append(command, "--device", "cpu")
		if said := winnow(t, command...).succeeds(t).stderr; !strings.Contains(said, "--on-bad error") || strings.Contains(said, "left out 1 image that") != (command[0] != "report") {
			t.Errorf("%s: %s", command[0], said)
		}
		if command[0] != "report" { // which reads the test samples alone
			winnow(t, append(command, "--on-bad", "error")...).fails(t, exitInput, "b/5.png", "--on-bad skip")
		}
	}
	said := winnow(t, "eval", out, "--device", "cpu").succeeds(t).stdout
	if !strings.Contains(said, "without samples: 8 of 10") || strings.Contains(said, "0 of 0") {
		t.Error(said)
	}
}
