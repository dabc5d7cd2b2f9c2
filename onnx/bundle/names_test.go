package bundle

import (
	"strings"
	"testing"
)

// What NodeName puts into a name ParseNodeName finds again.
func TestNodeNames(t *testing.T) {
	for _, c := range []struct{ part, owner, op, name string }{
		{PartGrad, "/conv1/Conv", "MatMul", "grad./conv1/Conv.matmul_41"},
		{PartForward, "a.b_2.c", "Conv", "forward.a.b_2.c.conv_41"},
		{PartGrad, "", "Sum", "grad.sum_41"},
		{PartLoss, "", "Sub", "loss.sub_41"},
		{PartImages, "", "Cast", "images.cast_41"},
		{PartBatch, "", "ReduceSum", "batch.reducesum_41"},
		{PartUpdate, "", "Mul", "update.mul_41"},
	} {
		if name := NodeName(c.part, c.owner, c.op, 41); name != c.name {
			t.Errorf("name %q, want %q", name, c.name)
		}
		for _, name := range []string{c.name, c.name + ".1"} { // the second where the first was taken
			if part, owner := ParseNodeName(name); part != c.part || owner != c.owner {
				t.Errorf("%q is of part %q and owner %q, want %q and %q", name, part, owner, c.part, c.owner)
			}
		}
	}
	for _, name := range []string{"/conv1/Conv", "gradient", "", "conv_41"} {
		if part, owner := ParseNodeName(name); part != "" || owner != "" {
			t.Errorf("%q, a name of the model's, is of part %q and owner %q", name, part, owner)
		}
	}
	long := strings.Repeat("x", longestOwner+1)
	if name := NodeName(PartGrad, long, "Mul", 1); name != "grad.mul_1" {
		t.Errorf("a name of %d bytes goes into others", len(long))
	}
	if name := NodeName("", "", "Mul", 1); name != "mul_1" {
		t.Errorf("name %q without a part", name)
	}
}
