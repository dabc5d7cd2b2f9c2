package spill

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTablesKeepTheirValues(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("WINNOW_CACHE", filepath.Join(dir, "new"))
	for _, n := range []int{0, 1, 1000, 1 << 18, 1<<20 + 7} {
		s := Make[float32](n)
		if len(s) != n {
			t.Fatalf("%d elements: want %d", len(s), n)
		}
		for i := range s {
			if s[i] != 0 {
				t.Fatalf("%d elements: element %d is %v before it is set", n, i, s[i])
			}
			s[i] = float32(i)
		}
		s = Clip(Append(s, 5, 6))
		if len(s) != n+2 || cap(s) != n+2 || s[n] != 5 || s[n+1] != 6 {
			t.Fatalf("%d elements and two: %d, capacity %d, %v", n, len(s), cap(s), s[n:])
		}
		for i := range n {
			if s[i] != float32(i) {
				t.Fatalf("%d elements: element %d is %v", n, i, s[i])
			}
		}
		Free(s)
	}
	var grown []uint16
	for i := range 3 << 18 {
		grown = Append(grown, uint16(i))
	}
	for i, v := range grown {
		if v != uint16(i) {
			t.Fatalf("element %d is %d", i, v)
		}
	}
	Free(grown)
	Free([]uint16{1})
	if left, err := filepath.Glob(filepath.Join(dir, "new", "*")); err != nil || len(left) > 0 {
		t.Errorf("files left: %q %v", left, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "new")); err != nil || len(left) > 0 {
		t.Errorf("files left: %v %v", left, err)
	}
}

func TestTablesAreMemoryWithoutAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WINNOW_CACHE", filepath.Join(file, "below"))
	s := Make[uint32](1 << 20)
	s[len(s)-1] = 7
	if s = Append(s, 8); s[1<<20-1] != 7 || s[1<<20] != 8 {
		t.Error("the values are not kept")
	}
	Free(s)
}
