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
	dst := make([]byte, 4)
	if y, err := m.Read(1, dst); err != nil || y != 0 || !bytes.Equal(dst, images[4:]) {
		t.Errorf("sample 1: %v %v %v", y, dst, err)
	}
	if _, err := m.Read(2, dst); !errors.Is(err, ErrIndex) {
		t.Errorf("past the end: %v", err)
	}
	for _, labels := range [][]int64{{1}, {1, 2}, {-1, 0}} {
		if _, err := NewMemory("two", 1, 2, 2, images, labels, []string{"a", "b"}); !errors.Is(err, ErrBadData) {
			t.Errorf("labels %v: %v", labels, err)
		}
	}
}

func TestOptionalInterfaces(t *testing.T) {
	var bare struct{ Source }
	bare.Source = ramp{n: 5}
	if y, err := LabelOf(bare, 3); y != 3 || err != nil {
		t.Errorf("LabelOf by reading: %d, %v", y, err)
	}
	if NameOf(bare) == "" || ClassesOf(bare) != nil || TrueLabelOf(bare, 4) != 4 {
		t.Error("a source without optional interfaces has no name, or classes, or no true label")
	}
	if _, err := LabelOf(bare.Source, 5); !errors.Is(err, ErrIndex) {
		t.Errorf("LabelOf past the end: %v", err)
	}
}
