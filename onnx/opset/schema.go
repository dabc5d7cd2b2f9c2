package opset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"winnow/onnx"
)

// signature is what an operator may have at one opset.
type signature struct {
	since       int64
	in, out     span
	attrs       map[string]onnx.AttrKind // 0: of a kind that is not read
	mustBeGiven []string                 // attributes
}

// span is a range of numbers, both ends in it.
type span struct{ low, high int }

func (s span) holds(n int) bool { return n >= s.low && n <= s.high }

func (s span) String() string {
	switch {
	case s.low == s.high:
		return strconv.Itoa(s.low)
	case s.high == math.MaxInt:
		return fmt.Sprintf("%d or more", s.low)
	}
	return fmt.Sprintf("%d to %d", s.low, s.high)
}

var attrLetters = map[string]onnx.AttrKind{
	"f": onnx.AttrFloat, "i": onnx.AttrInt, "s": onnx.AttrString, "t": onnx.AttrTensor, "g": onnx.AttrGraph,
	"F": onnx.AttrFloats, "I": onnx.AttrInts, "S": onnx.AttrStrings,
}

var kindNames = map[onnx.AttrKind]string{
	onnx.AttrFloat: "a float", onnx.AttrInt: "an integer", onnx.AttrString: "a string", onnx.AttrTensor: "a tensor", onnx.AttrGraph: "a graph",
	onnx.AttrFloats: "a list of floats", onnx.AttrInts: "a list of integers", onnx.AttrStrings: "a list of strings",
}

// signatures has the parsed rows of opSchemas that were asked for.
var signatures sync.Map // operator -> []signature

// signatureOf is the operator's signature at an opset at which it exists; nil if that is not known.
func signatureOf(op string, opset int64) *signature {
	parsed, ok := signatures.Load(op)
	if !ok {
		row := opSchemas[op]
		if row == "" {
			return nil
		}
		parsed, _ = signatures.LoadOrStore(op, parseSignatures(row))
	}
	list := parsed.([]signature)
	for i := range slices.Backward(list) {
		if list[i].since <= opset {
			return &list[i]
		}
	}
	return nil
}

func parseSignatures(row string) []signature {
	var list []signature
	for part := range strings.SplitSeq(row, "; ") {
		words := strings.Fields(part)
		s := signature{in: parseSpan(words[1]), out: parseSpan(words[2]), attrs: map[string]onnx.AttrKind{}}
		s.since, _ = strconv.ParseInt(words[0], 10, 64)
		for _, w := range words[3:] {
			w, must := strings.CutSuffix(w, "!")
			name, letter, _ := strings.Cut(w, ":")
			s.attrs[name] = attrLetters[letter]
			if must {
				s.mustBeGiven = append(s.mustBeGiven, name)
			}
		}
		list = append(list, s)
	}
	return list
}

func parseSpan(word string) span {
	low, high, _ := strings.Cut(word, "-")
	s := span{high: math.MaxInt}
	s.low, _ = strconv.Atoi(low)
	if high != "" {
		s.high, _ = strconv.Atoi(high)
	}
	return s
}

// words are the strings that an attribute may be, whatever the opset.
var words = map[string][]string{
	"auto_pad":        {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"},
	"Pad.mode":        {"constant", "reflect", "edge", "wrap"},
	"Upsample.mode":   {"nearest", "linear", "bilinear"},
	"Resize.mode":     {"nearest", "linear", "cubic"},
	"GridSample.mode": {"bilinear", "nearest", "bicubic", "linear", "cubic"},
	"padding_mode":    {"zeros", "border", "reflection"},
	"coordinate_transformation_mode": {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
		"asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn", "output_half_pixel"},
	"nearest_mode":             {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"},
	"keep_aspect_ratio_policy": {"stretch", "not_larger", "not_smaller"},
	"DepthToSpace.mode":        {"DCR", "CRD"},
	"approximate":              {"none", "tanh"},
	"reduction":                {"none", "add", "mul", "max", "min", "mean", "sum"},
	"RNN.direction":            {"forward", "reverse", "bidirectional"},
	"GRU.direction":            {"forward", "reverse", "bidirectional"},
	"LSTM.direction":           {"forward", "reverse", "bidirectional"},
	"BitShift.direction":       {"LEFT", "RIGHT"},
}

// schema holds a node of the standard domain against its operator's signature,
// as ONNX Runtime does when it loads a model.
func (c *checker) schema(n *onnx.Node) {
	s := signatureOf(n.Op, c.opset)
	if s == nil {
		return
	}
	if !s.in.holds(len(n.Inputs)) {
		c.node(n, onnx.ErrInvalid, "it has %d inputs, the operator takes %s", len(n.Inputs), s.in)
	}
	if !s.out.holds(len(n.Outputs)) {
		c.node(n, onnx.ErrInvalid, "it has %d outputs, the operator has %s", len(n.Outputs), s.out)
	}
	for _, name := range s.mustBeGiven {
		if _, ok := n.Attrs[name]; !ok {
			c.node(n, onnx.ErrInvalid, "attribute %q is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		want, ok := s.attrs[name]
		a := n.Attrs[name]
		switch {
		case !ok && strings.HasPrefix(name, "__"): // of an optimizer, which ONNX Runtime leaves alone
		case !ok:
			c.node(n, onnx.ErrInvalid, "attribute %q: the operator has none of that name in opset %d", name, c.opset)
		case a.Ref != "" || want == 0:
		case a.Kind != want:
			c.node(n, onnx.ErrInvalid, "attribute %q: %s, want %s", name, kindNames[a.Kind], kindNames[want])
		case want == onnx.AttrString:
			c.word(n, name, a.S)
		}
	}
}

func (c *checker) word(n *onnx.Node, name, value string) {
	list := words[n.Op+"."+name]
	if list == nil {
		list = words[name]
	}
	if list != nil && !slices.Contains(list, value) {
		c.node(n, onnx.ErrInvalid, "attribute %q: %q, want one of %s", name, value, strings.Join(list, ", "))
	}
}
