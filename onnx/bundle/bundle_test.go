package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"winnow/onnx"
	"winnow/onnx/wire"
)

// tiny returns a bundle whose graphs have the right signature and nearly no content.
func tiny(t testing.TB) *Bundle {
	t.Helper()
	n := onnx.Symbol("N")
	images := onnx.Value{Name: "images", DType: onnx.Uint8, Shape: onnx.Shape{n, onnx.Const(1), onnx.Const(2), onnx.Const(2)}}
	w := onnx.Value{Name: "w", DType: onnx.Float32, Shape: onnx.ShapeOf(4, 3)}
	logits := onnx.Value{Name: "logits", DType: onnx.Float32, Shape: onnx.Shape{n, onnx.Const(3)}}
	train := &onnx.Graph{Name: "train",
		Inputs: []onnx.Value{images, {Name: "labels", DType: onnx.Int64, Shape: onnx.Shape{n}},
			{Name: "lr", DType: onnx.Float32, Shape: onnx.ShapeOf()}, w},
		Outputs: []onnx.Value{{Name: "loss", DType: onnx.Float32, Shape: onnx.ShapeOf()}, logits,
			{Name: "w_next", DType: onnx.Float32, Shape: onnx.ShapeOf(4, 3)}},
	}
	forward := []*onnx.Node{
		{Name: "cast", Op: "Cast", Inputs: []string{"images"}, Outputs: []string{"x"}, Attrs: map[string]onnx.Attr{"to": onnx.IntAttr(int64(onnx.Float32))}},
		{Name: "flat", Op: "Flatten", Inputs: []string{"x"}, Outputs: []string{"f"}},
		{Name: "fc", Op: "MatMul", Inputs: []string{"f", "w"}, Outputs: []string{"logits"}},
	}
	train.Nodes = append(slices.Clone(forward),
		&onnx.Node{Name: "loss", Op: "ReduceMean", Inputs: []string{"logits"}, Outputs: []string{"loss"}, Attrs: map[string]onnx.Attr{"keepdims": onnx.IntAttr(0)}},
		&onnx.Node{Name: "next", Op: "Identity", Inputs: []string{"w"}, Outputs: []string{"w_next"}})
	eval := &onnx.Graph{Name: "eval", Nodes: forward, Inputs: []onnx.Value{images, w}, Outputs: []onnx.Value{logits}}
	return &Bundle{
		Manifest: Manifest{Format: Format, Name: "tiny", ImageShape: [3]int64{1, 2, 2}, Classes: 3,
			Loss: Loss{Name: "cross-entropy"}, Optimizer: Optimizer{Name: "sgd"},
			Train: TrainRoles{
				Images:       Value{"images", "uint8", Dims(images.Shape)},
				Labels:       &Value{"labels", "int64", Dims{n}},
				LearningRate: Value{"lr", "float32", Dims{}},
				Loss:         Value{"loss", "float32", Dims{}},
				Logits:       &Value{"logits", "float32", Dims(logits.Shape)},
			},
			Eval:    EvalRoles{Images: Value{"images", "uint8", Dims(images.Shape)}, Logits: Value{"logits", "float32", Dims(logits.Shape)}},
			State:   []State{{Name: "weight", Kind: KindParameter, Input: "w", Output: "w_next", DType: "float32", Shape: []int64{4, 3}}},
			Weights: WeightsFile,
		},
		Train: encode(t, train), Eval: encode(t, eval),
		Init: map[string]*onnx.Tensor{"weight": onnx.FromFloat32(make([]float32, 12), 4, 3)},
	}
}

func encode(t testing.TB, g *onnx.Graph) []byte {
	t.Helper()
	data, err := wire.Encode(&onnx.Model{IRVersion: 8, Opset: 18, Producer: onnx.Producer, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSaveOpen(t *testing.T) {
	b := tiny(t)
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "deep", "tiny")
	for range 2 { // the second replaces the first
		if err := b.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := OpenPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Path != dir || got.Where() != dir || b.Where() != "tiny" {
		t.Errorf("bundle of %q is at %q, one of no folder at %q", dir, got.Where(), b.Where())
	}
	got.Path = ""
	if !reflect.DeepEqual(got, b) {
		t.Errorf("opened %+v, want %+v", got, b)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	for _, top := range []string{"", "tiny/"} {
		got, err := OpenPath(zipped(t, dir, top))
		if err != nil {
			t.Fatal(err)
		}
		if got.Path = ""; !reflect.DeepEqual(got, b) {
			t.Errorf("zip with top folder %q: %+v", top, got)
		}
	}
}

func zipped(t *testing.T, dir, top string) string {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	if top != "" {
		if _, err := z.Create(top); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{ManifestFile, TrainFile, EvalFile, WeightsFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(top + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.zip")
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSaveRefusesOtherFolders(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(keep, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := tiny(t).Save(dir); !errors.Is(err, ErrExists) {
		t.Errorf("error %v, want ErrExists", err)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Error(err)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	b := tiny(t)
	dir := filepath.Join(t.TempDir(), "b")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	tree["made_by"] = "a tool"
	tree["source"].(map[string]any)["epoch"] = 12
	tree["state"].([]any)[0].(map[string]any)["group"] = []any{"head"}
	text, _ = json.Marshal(tree)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err = OpenPath(dir); err != nil {
		t.Fatal(err)
	}
	b.Manifest.Name = "renamed"
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"made_by": "a tool"`, `"epoch": 12`, `"head"`, `"name": "renamed"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("bundle.json lost %s:\n%s", want, text)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(dir string)
		want error
		text string
	}{
		"unknown format":                {func(dir string) { replaceIn(t, dir, Format, "winnow.bundle/9") }, ErrUnknownFormat, `"winnow.bundle/9"`},
		"no manifest":                   {func(dir string) { os.Remove(filepath.Join(dir, ManifestFile)) }, ErrNotBundle, "bundle.json"},
		"not JSON":                      {func(dir string) { replaceIn(t, dir, "{", "[") }, ErrNotBundle, "bundle.json"},
		"outside":                       {func(dir string) { replaceIn(t, dir, WeightsFile, "../init.safetensors") }, ErrInvalid, "leaves the bundle's folder"},
		"absolute":                      {func(dir string) { replaceIn(t, dir, WeightsFile, "/etc/passwd") }, ErrInvalid, "leaves the bundle's folder"},
		"wrong type":                    {func(dir string) { replaceIn(t, dir, `"classes": 3`, `"classes": "x"`) }, ErrInvalid, "classes"},
		"weights in place of the model": {func(dir string) { replaceIn(t, dir, WeightsFile, ForwardFile) }, ErrInvalid, "another file of the bundle"},
		"bad dimension":                 {func(dir string) { replaceIn(t, dir, `"N",`, `-1,`) }, ErrInvalid, "dimension"},
		"a link that leaves": {func(dir string) {
			out := filepath.Join(filepath.Dir(dir), "out.safetensors")
			os.Rename(filepath.Join(dir, WeightsFile), out)
			os.Symlink(out, filepath.Join(dir, WeightsFile))
		}, nil, WeightsFile},
		"truncated weights": {func(dir string) { os.Truncate(filepath.Join(dir, WeightsFile), 100) }, ErrSafetensors, WeightsFile},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "b")
			if err := tiny(t).Save(dir); err != nil {
				t.Fatal(err)
			}
			c.edit(dir)
			_, err := OpenPath(dir)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %v naming %s", err, c.want, c.text)
			}
		})
	}
}

func replaceIn(t *testing.T, dir, old, new string) {
	t.Helper()
	path := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("bundle.json does not hold %q", old)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(new), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	b := tiny(t)
	m := &b.Manifest
	m.ImageShape[1] = 3
	m.Train.Labels = nil
	m.Train.PerSampleLoss = &Value{"losses", "float32", Dims{onnx.Symbol("N")}}
	m.Train.LearningRate.DType = "float64"
	m.State[0].Output = "w_new"
	m.State = append(m.State, State{Name: "bias", Kind: "weights", Input: "b", Output: "b_next", DType: "float32", Shape: []int64{3}})
	b.Init["weight"] = onnx.FromFloat32(make([]float32, 12), 3, 4)
	b.Init["stray"] = onnx.FromFloat32(nil, 0)
	err := b.Validate()
	if !errors.Is(err, ErrInvalid) {
		t.Fatalf("error %v, want ErrInvalid", err)
	}
	for _, want := range []string{
		`images "images": shape [N, 1, 2, 2], want [N, 1, 3, 2]`,
		`train.onnx: input "labels" [N] has no role and is no state`,
		`per_sample_loss "losses" is no output of the graph`,
		`learning_rate "lr": element type "float64", want float32`,
		`learning_rate "lr": bundle.json says float64, the graph float32`,
		`state "weight": output "w_new" is no free output of the graph`,
		`state "bias": unknown kind "weights"`,
		`state "bias": init.safetensors has no tensor of that name`,
		`state "bias": input "b" is no free input`,
		`state "weight": float32[4 3], but init.safetensors holds float32[3 4]`,
		`tensor "stray" is no state`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %s in\n%v", want, err)
		}
	}
}

func TestValidateRefusesOtherGraphs(t *testing.T) {
	b := tiny(t)
	b.Train, b.Eval = b.Train[:len(b.Train)/2], nil
	err := b.Validate()
	if err == nil || !strings.Contains(err.Error(), TrainFile) {
		t.Errorf("truncated %s: %v", TrainFile, err)
	}
	if err := (&Bundle{}).Validate(); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty bundle: %v", err)
	}
}

// tuned is a record of forms that were timed.
func tuned() *Tuned {
	return &Tuned{Provider: "CPUExecutionProvider", Hardware: "some CPU", Threads: 2, BatchSize: 8, ONNXRuntime: "1.29.0", Layout: "portable",
		Choices: []Choice{{Key: "a", Form: "x", Milliseconds: map[string]float64{"x": 1, "y": 0}}}}
}

func TestTunedRoundTrip(t *testing.T) {
	b := tiny(t)
	b.Manifest.Tuned, b.Forward = tuned(), b.Eval
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "b")
	for range 2 {
		if err := b.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := OpenPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Path = ""; !reflect.DeepEqual(got, b) {
		t.Errorf("opened %+v, want %+v", got, b)
	}
	if forms := got.Manifest.Tuned.Forms(); !reflect.DeepEqual(forms, map[string]string{"a": "x"}) {
		t.Errorf("forms %v", forms)
	}
}

func TestValidateTunedAndForward(t *testing.T) {
	for want, edit := range map[string]func(b *Bundle){
		"provider, onnxruntime and layout":  func(b *Bundle) { b.Manifest.Tuned.Layout = "" },
		"0 threads":                         func(b *Bundle) { b.Manifest.Tuned.Threads = 0 },
		"batches of -1":                     func(b *Bundle) { b.Manifest.Tuned.BatchSize = -1 },
		`form "z" was not timed`:            func(b *Bundle) { b.Manifest.Tuned.Choices[0].Form = "z" },
		`key "" is empty`:                   func(b *Bundle) { b.Manifest.Tuned.Choices[0].Key = "" },
		`key "a" is empty or appears twice`: func(b *Bundle) { m := b.Manifest.Tuned; m.Choices = append(m.Choices, m.Choices[0]) },
		"-1 ms of form":                     func(b *Bundle) { b.Manifest.Tuned.Choices[0].Milliseconds["y"] = -1 },
		"forward.onnx: state \"weight\"":    func(b *Bundle) { b.Forward = encode(t, &onnx.Graph{Name: "g"}) },
		"forward.onnx: wire":                func(b *Bundle) { b.Forward = []byte("x") },
	} {
		b := tiny(t)
		b.Manifest.Tuned = tuned()
		edit(b)
		if err := b.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrInvalid with %s", err, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	b := tiny(f)
	text, err := json.Marshal(b.Manifest)
	if err != nil {
		f.Fatal(err)
	}
	var weights bytes.Buffer
	if err := WriteSafetensors(&weights, b.Init, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"winnow.bundle/1","weights":"init.safetensors","train":{"images":{"shape":["3*N",2]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Open(fstest.MapFS{ManifestFile: {Data: text}, TrainFile: {Data: b.Train}, EvalFile: {Data: b.Eval}, WeightsFile: {Data: weights.Bytes()}})
		if err != nil {
			return
		}
		_ = b.Validate() // must not panic
		again, err := json.Marshal(b.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		var m Manifest
		if err := json.Unmarshal(again, &m); err != nil {
			t.Fatalf("%v: %s", err, again)
		}
	})
}
