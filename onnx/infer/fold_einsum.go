package infer

import (
	"slices"
	"strings"

	"winnow/onnx"
)

// spellEinsum gives an Einsum an equation with a result and without ellipses,
// whose axes get letters that the equation does not use. The shape
// inference within ONNX Runtime crashes where ellipses stand for different
// numbers of axes; and one form is less to take gradients of.
func (f *folder) spellEinsum(n *onnx.Node) {
	equation := strings.ReplaceAll(n.Str("equation", ""), " ", "")
	left, result, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if explicit && !strings.Contains(equation, "...") || len(terms) != len(n.Inputs) {
		return
	}
	var spare []byte
	for c := byte('A'); c <= 'z'; c++ {
		if (c <= 'Z' || c >= 'a') && !strings.ContainsRune(equation, rune(c)) {
			spare = append(spare, c)
		}
	}
	longest := 0
	for i, term := range terms {
		shape := call{in: f.in, n: n}.shape(i)
		head, tail, dots := strings.Cut(term, "...")
		extra := len(shape) - len(head) - len(tail)
		if shape == nil || extra < 0 || extra > len(spare) || !dots && extra > 0 {
			return
		}
		if dots { // axes count from the last
			terms[i] = head + string(spare[len(spare)-extra:]) + tail
			longest = max(longest, extra)
		}
	}
	dots := string(spare[len(spare)-longest:])
	if explicit {
		result = strings.Replace(result, "...", dots, 1)
	} else { // the ellipsis, and letters that appear once, in order
		letters := strings.Split(strings.NewReplacer("...", "", ",", "").Replace(left), "")
		slices.Sort(letters)
		result = dots
		for _, l := range letters {
			if strings.Count(left, l) == 1 {
				result += l
			}
		}
	}
	n.Attrs = withoutAttr(n.Attrs, "equation")
	n.Attrs["equation"] = onnx.StringAttr(strings.Join(terms, ",") + "->" + result)
}
