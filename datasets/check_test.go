package datasets

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckFinds(t *testing.T) {
	dir := tree(t, "train/a/0.png", "train/a/1.png", "train/b/2.png", "train/b/3.png", "val/a/4.png", "val/b/5.png")
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("train/b/again.png", picture(t, "png", 1)) // train/a/1.png in another class
	write("val/b/cut.png", picture(t, "png", 3)[:50])
	// val/b/5.png is train/a/0.png: the pictures of tree repeat after five.
	for _, workers := range []int{1, 4} {
		calls := int64(0)
		f, err := Check(t.Context(), open(t, "folder:"+dir), workers, func(done, total int) { calls++ })
		if err != nil {
			t.Fatal(err)
		}
		if f.Samples != 8 || calls != 8 || f.BadCount != 1 || f.Bad[0].Where != "val/b/cut.png" || !strings.Contains(f.Bad[0].Reason, "PNG") {
			t.Errorf("%d samples, %d told, bad %+v", f.Samples, calls, f.Bad)
		}
		if f.DuplicateCount != 2 || f.AcrossCount != 1 || f.LabelsOutside != 0 || len(f.Duplicates) != 2 {
			t.Errorf("duplicates %+v", f.Duplicates)
		}
		for _, d := range f.Duplicates {
			pair := d.First + " " + d.Second
			again := strings.Contains(pair, "train/b/again.png") && strings.Contains(pair, "train/a/1.png") && d.OtherClass && !d.Across
			across := strings.Contains(pair, "train/a/0.png") && strings.Contains(pair, "val/b/5.png") && d.OtherClass && d.Across
			if !again && !across {
				t.Errorf("duplicate %+v", d)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, open(t, "folder:"+dir), 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestDescribeFiles: the mean colour and the sizes of image files.
func TestDescribeFiles(t *testing.T) {
	d := open(t, "folder:"+tree(t, "train/a/0.png", "train/a/1.png", "train/a/2.png", "val/a/0.png"))
	r, err := Describe(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r.Smallest != [2]int{1, 5} || r.Largest != [2]int{3, 5} || len(r.Mean) != 3 || r.TrainCounts[0] != 3 {
		t.Errorf("%+v", r)
	}
	// Picture k is 5 x (k+1) pixels of 40k+20, one of them white.
	want := (20.0*4 + 255 + 60*9 + 255 + 100*14 + 255) / 30 / 255
	for _, got := range r.Mean {
		if got < want-1e-9 || got > want+1e-9 {
			t.Errorf("mean %v, want %v", r.Mean, want)
		}
	}
}
