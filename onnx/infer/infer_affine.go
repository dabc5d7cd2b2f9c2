package infer

import (
	"fmt"
	"strconv"
	"strings"

	"winnow/onnx"
)

// affine is n*sym + c. A Dim is a multiple of a symbol; the sum of one and a
// number is a symbol of its own, spelled so that equal sums have equal symbols,
// and so is a quotient that leaves a rest.
type affine struct {
	n   int64
	sym string
	c   int64
}

// Spellings of these symbols: "?(2*N+1)" is not negative, "?!(2*N-5)" may be,
// "?[2*N+1/3]" is the quotient rounded down.
const (
	symbolSum    = onnx.UnknownSymbol + "("
	symbolAnySum = symbolElement + "("
)

// affineOf reads a dimension; any symbol that is no sum is one times itself.
func affineOf(d onnx.Dim) affine {
	text, ok := strings.CutPrefix(d.Sym, symbolSum)
	if !ok {
		text, ok = strings.CutPrefix(d.Sym, symbolAnySum)
	}
	plain := affine{n: d.N, sym: d.Sym}
	if d.Sym == "" {
		return affine{c: d.N}
	}
	text, closed := strings.CutSuffix(text, ")")
	star, sign := strings.IndexByte(text, '*'), strings.LastIndexAny(text, "+-")
	if !ok || !closed || star < 0 || sign < star {
		return plain
	}
	n, err1 := strconv.ParseInt(text[:star], 10, 64)
	c, err2 := strconv.ParseInt(text[sign:], 10, 64)
	n, ok1 := mul64(n, d.N)
	c, ok2 := mul64(c, d.N)
	if err1 != nil || err2 != nil || !ok1 || !ok2 {
		return plain
	}
	return affine{n: n, sym: text[star+1 : sign], c: c}
}

// dim is the sum as a dimension: what n and c have in common stands before the
// symbol, and n's sign, so that a multiple of a sum is spelled like the sum of multiples.
func (a affine) dim() onnx.Dim {
	switch {
	case a.n == 0 || a.sym == "":
		return onnx.Const(a.c)
	case a.c == 0:
		return onnx.Dim{N: a.n, Sym: a.sym}
	}
	common := gcd(a.n, a.c)
	if a.n < 0 {
		common = -common
	}
	rest := affine{n: a.n / common, sym: a.sym, c: a.c / common}
	prefix := symbolSum
	if !rest.notNegative() {
		prefix = symbolAnySum
	}
	return onnx.Dim{N: common, Sym: fmt.Sprintf("%s%d*%s%+d)", prefix, rest.n, rest.sym, rest.c)}
}

// gcd is the greatest common divisor, above 0.
func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}

// least is the smallest value of the symbol.
func (a affine) least() (int64, bool) {
	d := onnx.Dim{N: 1, Sym: a.sym}
	switch {
	case a.sym == "" || positive(d):
		return 1, true
	case anyElement(d):
		return 0, false
	}
	return 0, true
}

// notNegative is whether the sum is at least 0, whatever the symbol stands for.
func (a affine) notNegative() bool {
	low, ok := a.least()
	if a.n == 0 {
		return a.c >= 0
	}
	n, fits := mul64(a.n, low)
	sum, fits2 := add64(n, a.c)
	return ok && a.n > 0 && fits && fits2 && sum >= 0
}

// plus adds; false where the symbols differ or the numbers overflow.
func (a affine) plus(b affine) (affine, bool) {
	switch {
	case b.n == 0:
		b.sym = a.sym
	case a.n == 0:
		a.sym = b.sym
	}
	n, ok1 := add64(a.n, b.n)
	c, ok2 := add64(a.c, b.c)
	return affine{n: n, sym: a.sym, c: c}, a.sym == b.sym && ok1 && ok2
}

func (a affine) shifted(c int64) affine { return affine{n: a.n, sym: a.sym, c: a.c + c} }

func (a affine) negated() affine { return affine{n: -a.n, sym: a.sym, c: -a.c} }

// quotient divides by k > 0 and rounds down.
func (a affine) quotient(k int64) onnx.Dim {
	if a.n%k == 0 {
		return affine{n: a.n / k, sym: a.sym, c: floorDiv(a.c, k)}.dim()
	}
	return onnx.Symbol(fmt.Sprintf("%s[%d*%s%+d/%d]", onnx.UnknownSymbol, a.n, a.sym, a.c, k))
}
