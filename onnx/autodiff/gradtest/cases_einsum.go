package gradtest

import "winnow/onnx/emit"

// einsumCases checks equations with letters that repeat or are summed.
func einsumCases(add func(op, name string, a emit.Attrs, args ...Arg) *Case) {
	for _, c := range []struct {
		equation string
		args     []Arg
	}{
		{"ij->ji", []Arg{Tensor(2, 3)}},
		{"ii->i", []Arg{Tensor(3, 3)}},
		{"ii->", []Arg{Tensor(3, 3)}},
		{"cii->c", []Arg{Tensor(2, 3, 3)}},
		{"ici->ic", []Arg{Tensor(3, 2, 3)}},
		{"iii->i", []Arg{Tensor(2, 2, 2)}},
		{"cii,icj->cj", []Arg{Tensor(2, 3, 3), Tensor(3, 2, 4)}},
		{"cii,ij->cj", []Arg{Tensor(2, 3, 3), Tensor(3, 4)}},
		{"ij->", []Arg{Tensor(2, 3)}},
		{"ij,kl->ik", []Arg{Tensor(2, 3), Tensor(4, 5)}},
		{"i,j,k->kij", []Arg{Tensor(2), Tensor(3), Tensor(4)}},
	} {
		add("Einsum", c.equation, emit.Attrs{"equation": sa(c.equation)}, c.args...)
	}
}
