package loader

import (
	"errors"
	"slices"
	"testing"
)

// A file in several members, or filled up with zeros, is what gzip -d makes of it.
func TestGzipMembersAndZeros(t *testing.T) {
	labels := idxBytes(labelBytes(6), 6)
	halves := append(gz(labels[:9]), gz(labels[9:])...)
	plain := write(t, "labels", labels)
	images := write(t, "images", idxBytes(count(6*4), 6, 2, 2))
	want, err := OpenIDX(images, plain, IDXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	for name, file := range map[string][]byte{
		"members": halves, "zeros": append(gz(labels), make([]byte, 1000)...), "both": append(slices.Clone(halves), 0),
		"zeros between": slices.Concat(gz(labels[:9]), []byte{0, 0, 0}, gz(labels[9:])),
		"empty member":  slices.Concat(gz(nil), gz(labels), gz(nil)),
	} {
		d, err := OpenIDX(images, write(t, name, file), IDXOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range uint32(6) {
			if d.Label(i) != want.Label(i) {
				t.Errorf("%s: label %d is %d, want %d", name, i, d.Label(i), want.Label(i))
			}
		}
		d.Close()
	}
	for name, file := range map[string][]byte{
		"garbage": append(gz(labels), "garbage"...), "cut": halves[:len(halves)-3], "more": append(slices.Clone(halves), gz([]byte{1})...),
	} {
		if _, err := OpenIDX(images, write(t, name, file), IDXOptions{}); !errors.Is(err, ErrBadData) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFirstLabel(t *testing.T) {
	images := write(t, "images", idxBytes(count(3*4), 3, 2, 2))
	labels := write(t, "labels", idxBytes([]byte{1, 26, 2}, 3))
	d, err := OpenIDX(images, labels, IDXOptions{First: 1, Classes: make([]string, 26)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Label(0) != 0 || d.Label(1) != 25 || d.Label(2) != 1 {
		t.Errorf("labels %d %d %d", d.Label(0), d.Label(1), d.Label(2))
	}
	for _, o := range []IDXOptions{{First: 2}, {First: 1, Classes: make([]string, 25)}} {
		if _, err := OpenIDX(images, labels, o); !errors.Is(err, ErrBadData) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
