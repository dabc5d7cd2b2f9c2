package datasets

import (
	"errors"
	"slices"
	"testing"

	"winnow/loader"
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
			if d.Target(i).Class() != want.Target(i).Class() {
				t.Errorf("%s: label %d is %d, want %d", name, i, d.Target(i).Class(), want.Target(i).Class())
			}
		}
		d.Close()
	}
	for name, file := range map[string][]byte{
		"garbage": append(gz(labels), "garbage"...), "cut": halves[:len(halves)-3], "more": append(slices.Clone(halves), gz([]byte{1})...),
	} {
		if _, err := OpenIDX(images, write(t, name, file), IDXOptions{}); !errors.Is(err, loader.ErrBadData) {
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
	if d.Target(0).Class() != 0 || d.Target(1).Class() != 25 || d.Target(2).Class() != 1 {
		t.Errorf("labels %d %d %d", d.Target(0).Class(), d.Target(1).Class(), d.Target(2).Class())
	}
	for _, o := range []IDXOptions{{First: 2}, {First: 1, Classes: make([]string, 25)}} {
		if _, err := OpenIDX(images, labels, o); !errors.Is(err, loader.ErrBadData) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
