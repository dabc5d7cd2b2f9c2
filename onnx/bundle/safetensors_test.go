package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"winnow/onnx"
)

func TestSafetensorsRoundTrip(t *testing.T) {
	in := map[string]*onnx.Tensor{
		"a": onnx.FromFloat32([]float32{1, -2, 3}, 3), "scalar": onnx.FromInt64([]int64{-5}),
		"empty": onnx.NewTensor(onnx.Float32, 0, 4), "flag": {DType: onnx.Bool, Dims: []int64{1}, Data: []byte{1}},
	}
	meta := map[string]string{"epoch": "3"}
	var buf, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&buf, &again} {
		if err := WriteSafetensors(w, in, meta); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(buf.Bytes(), again.Bytes()) {
		t.Error("two writes differ")
	}
	out, gotMeta, err := ReadSafetensors(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(out, in) || !reflect.DeepEqual(gotMeta, meta) {
		t.Errorf("read %v %v, want %v %v", out, gotMeta, in, meta)
	}
}

func safe(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestReadSafetensorsReference(t *testing.T) {
	// Bytes as the format's description gives them, spaces after the header included.
	file := safe(`{"__metadata__":{"k":"v"},"t":{"dtype":"I16","shape":[1,2],"data_offsets":[0,4]}}   `, 0)
	file = append(file, 1, 0, 0xff, 0xff)
	got, meta, err := ReadSafetensors(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if v := got["t"].Int64s(); !reflect.DeepEqual(v, []int64{1, -1}) || meta["k"] != "v" {
		t.Errorf("read %v %v", v, meta)
	}
}

func TestReadSafetensorsRefuses(t *testing.T) {
	one := `{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}`
	for name, file := range map[string][]byte{
		"empty":           {},
		"huge header":     binary.LittleEndian.AppendUint64(nil, 1<<62),
		"header past end": binary.LittleEndian.AppendUint64(nil, 9),
		"not an object":   safe(`[]`, 0),
		"unfinished":      safe(`{"a":`+fmt.Sprintf(one, 0, 4), 4),
		"overlap":         safe(`{"a":`+fmt.Sprintf(one, 0, 4)+`,"b":`+fmt.Sprintf(one, 0, 4)+`}`, 4),
		"hole":            safe(`{"a":`+fmt.Sprintf(one, 0, 4)+`,"b":`+fmt.Sprintf(one, 8, 12)+`}`, 12),
		"rest":            safe(`{"a":`+fmt.Sprintf(one, 0, 4)+`}`, 5),
		"past the end":    safe(`{"a":`+fmt.Sprintf(one, 0, 4)+`}`, 3),
		"negative":        safe(`{"a":`+fmt.Sprintf(one, -4, 0)+`}`, 4),
		"twice":           safe(`{"a":`+fmt.Sprintf(one, 0, 4)+`,"a":`+fmt.Sprintf(one, 4, 8)+`}`, 8),
		"overflow":        safe(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0),
		"unknown type":    safe(`{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}`, 1),
		"null":            safe(`{"a":null}`, 4),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := ReadSafetensors(bytes.NewReader(file), int64(len(file))); !errors.Is(err, ErrSafetensors) {
				t.Errorf("error %v, want ErrSafetensors", err)
			}
		})
	}
}

func FuzzReadSafetensors(f *testing.F) {
	f.Add(safe(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Add(safe(`{"__metadata__":{"a":"b"}}`, 0))
	f.Fuzz(func(t *testing.T, file []byte) {
		tensors, meta, err := ReadSafetensors(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		total := 0
		for _, x := range tensors {
			total += len(x.Data)
		}
		if total > len(file) {
			t.Fatalf("%d bytes of tensors from %d", total, len(file))
		}
		if err := WriteSafetensors(&bytes.Buffer{}, tensors, meta); err != nil {
			t.Fatal(err)
		}
	})
}
