package wire

import (
	"os"
	"path/filepath"
	"testing"

	"winnow/onnx"
	"winnow/onnx/onnxpb"
	"winnow/onnx/opset"
)

// FuzzDecode: no input makes the reader, the checker or a conversion panic,
// and what was read can be written and read again.
func FuzzDecode(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*/*.onnx")
	more, _ := filepath.Glob("../opset/testdata/*/*.onnx")
	for _, path := range append(paths, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(encodeProto(f, outside("location", "../w.bin", "offset", "-1")))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, dir)
		if err != nil {
			return
		}
		bytes, err := Encode(m)
		if err != nil {
			return
		}
		if _, err := Decode(bytes, ""); err != nil {
			t.Errorf("written, and not read again: %v", err)
		}
		sound := opset.Check(m) == nil
		if opset.Inline(m) != nil || opset.To18(m) != nil {
			return
		}
		if err := opset.Check(m); sound && err != nil {
			t.Errorf("sound before it was converted, and then: %v", err)
		}
	})
}

// FuzzTensor: a tensor that is accepted holds as many elements as its shape
// says, wherever they came from.
func FuzzTensor(f *testing.F) {
	f.Add(int32(onnx.Float32), []byte{2}, make([]byte, 8), []byte(nil), "", "0", "8")
	f.Add(int32(onnx.Float16), []byte{2, 0}, []byte(nil), []byte(nil), "", "", "")
	f.Add(int32(onnx.Bool), []byte{3}, []byte(nil), []byte{0, 1, 2}, "", "", "")
	f.Add(int32(onnx.Int64), []byte{2}, []byte(nil), []byte(nil), "w.bin", "16", "16")
	f.Add(int32(onnx.Float32), []byte{255, 128}, []byte(nil), []byte(nil), "../w.bin", "-1", "")
	f.Add(int32(onnx.String), []byte{1}, []byte(nil), []byte(nil), "w.bin", "0", "1")
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 64), 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, dtype int32, dims, raw, list []byte, location, offset, length string) {
		pb := &onnxpb.TensorProto{Name: "w", DataType: dtype, RawData: raw}
		for _, d := range dims { // -128 to 127, and beyond 64 in steps of 2^55
			v := int64(int8(d))
			if v > 64 {
				v = (v - 64) << 55
			}
			pb.Dims = append(pb.Dims, v)
		}
		for _, v := range list {
			pb.Int32Data = append(pb.Int32Data, int32(v))
			pb.Int64Data = append(pb.Int64Data, int64(v))
		}
		if onnx.DType(dtype) == onnx.Int64 {
			pb.Int32Data = nil
		} else {
			pb.Int64Data = nil
		}
		if location != "" {
			pb.DataLocation = onnxpb.TensorProto_EXTERNAL
			for key, value := range map[string]string{"location": location, "offset": offset, "length": length} {
				if value != "" {
					pb.ExternalData = append(pb.ExternalData, &onnxpb.StringStringEntryProto{Key: key, Value: value})
				}
			}
		}
		d := decoder{external: newExternal(dir)}
		defer d.external.Close()
		tensor := d.tensor("w", pb)
		if err := tensor.Check(); err != nil && len(d.errs) == 0 {
			t.Errorf("accepted: %v", err)
		}
	})
}
