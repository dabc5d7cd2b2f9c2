package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"winnow/onnx"
)

// MarshalJSON writes constants as numbers and the rest as strings: ["N", 3, "2*N"].
func (d Dims) MarshalJSON() ([]byte, error) {
	out := make([]any, len(d))
	for i, x := range d {
		if x.IsConst() {
			out[i] = x.N
		} else {
			out[i] = x.String()
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (d *Dims) UnmarshalJSON(data []byte) error {
	var raw []any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&raw); err != nil {
		return fmt.Errorf("shape %s: want a list of numbers and symbols", data)
	}
	out := make(Dims, len(raw))
	for i, x := range raw {
		switch x := x.(type) {
		case json.Number:
			n, err := strconv.ParseInt(x.String(), 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("shape %s: %q is not a dimension", data, x)
			}
			out[i] = onnx.Const(n)
		case string:
			dim, err := parseDim(x)
			if err != nil {
				return fmt.Errorf("shape %s: %w", data, err)
			}
			out[i] = dim
		default:
			return fmt.Errorf("shape %s: %v is not a dimension", data, x)
		}
	}
	*d = out
	return nil
}

var (
	_ json.Marshaler   = Dims(nil)
	_ json.Unmarshaler = (*Dims)(nil)
	_ json.Marshaler   = Manifest{}
	_ json.Unmarshaler = (*Manifest)(nil)
)

func parseDim(s string) (onnx.Dim, error) {
	factor, sym := int64(1), s
	if left, right, ok := strings.Cut(s, "*"); ok {
		n, err := strconv.ParseInt(left, 10, 64)
		if err != nil || n < 1 {
			return onnx.Dim{}, fmt.Errorf("%q is not a dimension", s)
		}
		factor, sym = n, right
	}
	if sym == "" || strings.ContainsAny(sym, "* ") || sym[0] >= '0' && sym[0] <= '9' {
		return onnx.Dim{}, fmt.Errorf("%q is not a dimension", s)
	}
	return onnx.Dim{N: factor, Sym: sym}, nil
}

// String prints "[N, 3, 32, 32]".
func (d Dims) String() string {
	if d == nil {
		return "[]"
	}
	return onnx.Shape(d).String()
}

// plain has Manifest's fields without its methods.
type plain Manifest

// MarshalJSON writes the known fields over the unknown ones that were read.
func (m Manifest) MarshalJSON() ([]byte, error) {
	known, err := json.Marshal(plain(m))
	if err != nil || len(m.Unknown) == 0 {
		return known, err
	}
	tree, err := decodeTree(known)
	if err != nil {
		return nil, err
	}
	return json.Marshal(merge(m.Unknown, tree))
}

// UnmarshalJSON keeps the fields it does not know, at any depth, in Unknown.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	raw, err := decodeTree(data)
	if err != nil {
		return err
	}
	again, err := json.Marshal(p)
	if err != nil {
		return err
	}
	known, err := decodeTree(again)
	if err != nil {
		return err
	}
	if u, ok := unknown(raw, known).(map[string]any); ok {
		p.Unknown = u
	}
	*m = Manifest(p)
	return nil
}

func decodeTree(data []byte) (any, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	err := dec.Decode(&v)
	return v, err
}

// unknown returns the part of raw that known lacks, nil if there is none.
// Lists are compared element by element.
func unknown(raw, known any) any {
	switch raw := raw.(type) {
	case map[string]any:
		k, ok := known.(map[string]any)
		if !ok {
			return nil
		}
		out := map[string]any{}
		for name, v := range raw {
			kv, has := k[name]
			if !has {
				if !isZero(v) {
					out[name] = v
				}
			} else if d := unknown(v, kv); d != nil {
				out[name] = d
			}
		}
		if len(out) > 0 {
			return out
		}
	case []any:
		k, ok := known.([]any)
		if !ok || len(k) != len(raw) {
			return nil
		}
		out, any := make([]any, len(raw)), false
		for i := range raw {
			out[i] = unknown(raw[i], k[i])
			any = any || out[i] != nil
		}
		if any {
			return out
		}
	}
	return nil
}

// isZero holds for what omitempty leaves out of a known field.
func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		f, err := v.Float64()
		return err == nil && f == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// merge lays over on top of base.
func merge(base, over any) any {
	switch o := over.(type) {
	case map[string]any:
		b, ok := base.(map[string]any)
		if !ok {
			return over
		}
		out := make(map[string]any, len(o)+len(b))
		for name, v := range b {
			out[name] = v
		}
		for name, v := range o {
			out[name] = merge(b[name], v)
		}
		return out
	case []any:
		b, ok := base.([]any)
		if !ok || len(b) != len(o) {
			return over
		}
		out := make([]any, len(o))
		for i := range o {
			out[i] = merge(b[i], o[i])
		}
		return out
	}
	return over
}
