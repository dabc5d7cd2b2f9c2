package loader

import (
	"bytes"
	"errors"
	"testing"
)

func TestMemory(t *testing.T) {
	images := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	m, err := NewMemory("two", 1, 2, 2, images, []int64{1, 0}, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := m.Read(1, &r); err != nil || m.Target(1).Class() != 0 || !bytes.Equal(r.Data, images[4:]) {
		t.Errorf("sample 1: %v %v", r.Data, err)
	}
	if err := m.Read(2, &r); !errors.Is(err, ErrIndex) {
		t.Errorf("past the end: %v", err)
	}
	for _, labels := range [][]int64{{1}, {1, 2}, {-1, 0}} {
		if _, err := NewMemory("two", 1, 2, 2, images, labels, []string{"a", "b"}); !errors.Is(err, ErrBadData) {
			t.Errorf("labels %v: %v", labels, err)
		}
	}
}

func TestOptionalInterfaces(t *testing.T) {
	var bare struct{ Records }
	bare.Records = ramp{n: 5}
	if NameOf(bare) == "" || ClassesOf(bare) != nil || TrueLabelOf(bare, 4) != 4 {
		t.Error("records without optional interfaces have no name, or classes, or no true label")
	}
	if _, err := NewSource(bare, nil); !errors.Is(err, ErrOptions) {
		t.Errorf("records of unknown shape without a transform: %v", err)
	}
	src := plain(t, ramp{n: 5})
	if err := src.Read(Draw{Index: 5}, new(Scratch), make([]byte, 24)); !errors.Is(err, ErrIndex) {
		t.Errorf("past the end: %v", err)
	}
}

// wrongShape are records that are not of the shape that they name.
type wrongShape struct{ ramp }

func (wrongShape) Shape() (c, h, w int) { return 2, 4, 3 }

func TestRecordsKeepTheirShape(t *testing.T) {
	for _, a := range []Augment{{}, {HFlip: true}} {
		if err := changed(t, wrongShape{ramp{n: 5}}, a).Read(Draw{}, new(Scratch), make([]byte, 24)); err == nil {
			t.Errorf("%+v: accepted", a)
		}
	}
}
