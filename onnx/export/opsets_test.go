package export

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/autodiff/gradtest"
	"winnow/onnx/bundle"
	"winnow/onnx/infer"
	"winnow/onnx/opset"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

func readOpsets(t *testing.T) (map[string]*onnx.Tensor, map[string]string) {
	t.Helper()
	file, err := os.Open("testdata/opsets.safetensors.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	tensors, meta, err := bundle.ReadSafetensors(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return tensors, meta
}

// Whatever opset a model is of, what it is rewritten to computes the same.
// The values are those that ONNX Runtime, or onnx.reference where that has no
// kernel, gives for the model as it is; testdata/gen_opsets.py recorded them.
func TestOpsetsKeepTheirMeaning(t *testing.T) {
	d := gradtest.Device(t)
	all, meta := readOpsets(t)
	var versions map[string][]int64
	if err := json.Unmarshal([]byte(meta["versions"]), &versions); err != nil {
		t.Fatal(err)
	}
	for _, op := range slices.Sorted(maps.Keys(autodiff.Rules)) {
		if versions[op] == nil {
			t.Errorf("%s has a gradient rule and no case here", op)
		}
	}
	for op, list := range versions {
		for _, v := range list {
			prefix, found := fmt.Sprintf("%s-%d-", op, v), false
			for key := range all {
				found = found || strings.HasPrefix(key, prefix)
			}
			if !found {
				t.Errorf("%s of opset %d has no case", op, v)
			}
		}
	}
	var names []string
	for key := range all {
		if name, ok := strings.CutSuffix(key, "/model"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { checkOpset(t, d, name, all) })
	}
}

func checkOpset(t *testing.T, d *ortrun.Device, name string, all map[string]*onnx.Tensor) {
	m, err := wire.Decode(all[name+"/model"].Data, "")
	if err != nil {
		t.Fatal(err)
	}
	err = opset.Check(m)
	if err == nil {
		err = opset.To18(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := opset.Check(m); err != nil {
		t.Fatal(err)
	}
	inf, err := infer.Model(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := infer.Fold(m, infer.FoldOptions{Keep: func(string) bool { return false }, KeepDropout: true}); err != nil {
		t.Fatal(err)
	}
	var slots, outputs []ortrun.Slot
	var in [][]byte
	for _, v := range m.Graph.Inputs {
		given := all[name+"/in/"+v.Name]
		slots = append(slots, ortrun.Slot{Name: v.Name, DType: ortrun.DType(v.DType), Shape: v.Shape.Ints()})
		in = append(in, bytesAs(given, v.DType))
	}
	for k, out := range m.Graph.Outputs {
		want := all[fmt.Sprintf("%s/out/%d", name, k)]
		v, _ := inf.Type(out.Name)
		if !v.Shape.Equal(onnx.ShapeOf(want.Dims...)) {
			t.Errorf("output %d is inferred as %v, it is %v", k, v.Shape, want.Dims)
		}
		outputs = append(outputs, ortrun.Slot{Name: out.Name, DType: ortrun.DType(v.DType), Shape: want.Dims})
	}
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.NewFunction(data, slots, outputs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := f.Run(in...)
	if err != nil {
		t.Fatal(err)
	}
	for k, raw := range got {
		want := all[fmt.Sprintf("%s/out/%d", name, k)].Float32s()
		v := asFloats(raw, onnx.DType(outputs[k].DType))
		if len(v) != len(want) {
			t.Fatalf("output %d: %d values, want %d", k, len(v), len(want))
		}
		for i := range v {
			if !(math.Abs(v[i]-float64(want[i])) <= 1e-5*(1+math.Abs(float64(want[i])))) {
				t.Fatalf("output %d, element %d: %v, want %v", k, i, v[i], want[i])
			}
		}
	}
}

// bytesAs is a recorded input in the element type that the model takes:
// booleans and 32-bit integers are recorded as others.
func bytesAs(x *onnx.Tensor, to onnx.DType) []byte {
	if to != onnx.Int32 {
		return x.Data
	}
	var out []byte
	for _, v := range x.Int64s() {
		out = append(out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return out
}

func asFloats(raw []byte, d onnx.DType) []float64 {
	if d.IsFloat() {
		return gradtest.GetFloats(raw, d)
	}
	x := onnx.Tensor{DType: d, Dims: []int64{int64(len(raw) / d.Size())}, Data: raw}
	out := make([]float64, 0, len(raw))
	for _, v := range x.Int64s() {
		out = append(out, float64(v))
	}
	return out
}
