package tfevents

import (
	"bytes"
	"os"
	"testing"
)

// The bytes are those of TensorBoard's own writer.
func TestAgainstTensorBoard(t *testing.T) {
	want, err := os.ReadFile("testdata/events.out.tfevents.fixture")
	if err != nil {
		t.Fatal(err)
	}
	got := AppendVersion(nil, 1700000000.25)
	got = AppendScalars(got, 1700000001.5, 1, []Scalar{{"loss/train", 2.5}, {"test_accuracy", 0.125}})
	got = AppendScalars(got, 1700000002.5, 300, []Scalar{{"loss/train", -1e-30}, {"seconds/wall", 1e30}})
	got = AppendScalars(got, 1700000003, 1<<40, []Scalar{{"ünïcode", 3}})
	if !bytes.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if !Is(want) {
		t.Error("not taken for an event file")
	}
	for at := range len(AppendVersion(nil, 0)) {
		bad := bytes.Clone(want)
		bad[at] ^= 1
		if Is(bad) || Is(want[:at]) {
			t.Errorf("damaged at %d, or cut there, and taken for an event file", at)
		}
	}
}
