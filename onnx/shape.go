package onnx

import (
	"strconv"
	"strings"
)

// Dim is a dimension: N if Sym is empty, else N times the symbol. An unknown
// dimension is 1 times a symbol of its own.
type Dim struct {
	N   int64
	Sym string
}

// Const makes a constant dimension.
func Const(n int64) Dim { return Dim{N: n} }

// Symbol makes a symbolic dimension.
func Symbol(name string) Dim { return Dim{N: 1, Sym: name} }

// UnknownSymbol starts the symbol of a dimension of which nothing is known but
// that it is not negative.
const UnknownSymbol = "?"

// BatchSymbol is the symbol of the batch dimension.
const BatchSymbol = "N"

// Unknown reports whether the dimension is one of which nothing is known.
func (d Dim) Unknown() bool { return strings.HasPrefix(d.Sym, UnknownSymbol) }

// IsConst reports whether the dimension is a known number.
func (d Dim) IsConst() bool { return d.Sym == "" }

// String prints "3", "N" or "3*N".
func (d Dim) String() string {
	switch {
	case d.Sym == "":
		return strconv.FormatInt(d.N, 10)
	case d.N == 1:
		return d.Sym
	}
	return strconv.FormatInt(d.N, 10) + "*" + d.Sym
}

// Shape is a list of dimensions; nil is an unknown rank, an empty non-nil one a scalar.
type Shape []Dim

// ShapeOf makes a constant shape.
func ShapeOf(dims ...int64) Shape {
	s := make(Shape, len(dims))
	for i, d := range dims {
		s[i] = Const(d)
	}
	return s
}

// IsConst reports whether the rank and every dimension are known.
func (s Shape) IsConst() bool {
	for _, d := range s {
		if !d.IsConst() {
			return false
		}
	}
	return s != nil
}

// Ints returns the dimensions of a constant shape, nil for any other.
func (s Shape) Ints() []int64 {
	if !s.IsConst() {
		return nil
	}
	v := make([]int64, len(s))
	for i, d := range s {
		v[i] = d.N
	}
	return v
}

// Equal compares dimension by dimension; unknown ranks are equal to nothing.
func (s Shape) Equal(t Shape) bool {
	if s == nil || t == nil || len(s) != len(t) {
		return false
	}
	for i := range s {
		if s[i] != t[i] {
			return false
		}
	}
	return true
}

// String prints "[N, 3, 32, 32]", "?" for an unknown rank.
func (s Shape) String() string {
	if s == nil {
		return "?"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// ParseDim is the inverse of Dim.String for symbolic dimensions.
func ParseDim(s string) Dim {
	if n, sym, ok := strings.Cut(s, "*"); ok && sym != "" && !strings.ContainsAny(sym, "+-*/() ") {
		if k, err := strconv.ParseInt(n, 10, 64); err == nil && k > 0 {
			return Dim{N: k, Sym: sym}
		}
	}
	return Symbol(s)
}
