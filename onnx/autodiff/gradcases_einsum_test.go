package autodiff

// einsumCases checks equations with letters that repeat or are summed.
func einsumCases(add func(op, name string, a attrs, args ...arg) *gradCase) {
	for _, c := range []struct {
		equation string
		args     []arg
	}{
		{"ij->ji", []arg{tensor(2, 3)}},
		{"ii->i", []arg{tensor(3, 3)}},
		{"ii->", []arg{tensor(3, 3)}},
		{"cii->c", []arg{tensor(2, 3, 3)}},
		{"ici->ic", []arg{tensor(3, 2, 3)}},
		{"iii->i", []arg{tensor(2, 2, 2)}},
		{"cii,icj->cj", []arg{tensor(2, 3, 3), tensor(3, 2, 4)}},
		{"cii,ij->cj", []arg{tensor(2, 3, 3), tensor(3, 4)}},
		{"ij->", []arg{tensor(2, 3)}},
		{"ij,kl->ik", []arg{tensor(2, 3), tensor(4, 5)}},
		{"i,j,k->kij", []arg{tensor(2), tensor(3), tensor(4)}},
	} {
		add("Einsum", c.equation, attrs{"equation": sa(c.equation)}, c.args...)
	}
}
