package datasets

import (
	"runtime"
	"testing"

	"winnow/loader"
)

// TestReadingMakesNoGarbage: once its memory has grown, a record of any format
// and its target are read without an allocation.
func TestReadingMakesNoGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which runs short tests, lets sync.Pool forget")
	}
	if runtime.GOOS != "linux" {
		t.Skip("files are opened without garbage on Linux alone")
	}
	specs := map[string]string{}
	for kind, c := range formatCases {
		specs[kind] = kind + c.write(t, t.TempDir())
	}
	specs["subset, noise"] = specs["folder"] + ",noise=0.5"
	specs["transposed"] = specs["idx"] + ",transpose=yes"
	for what, spec := range specs {
		all := open(t, spec).Train
		var r loader.Record
		read := func() {
			for i := range uint32(all.Len()) {
				if err := all.Read(i, &r); err != nil {
					t.Error(err)
				}
				all.Target(i)
			}
		}
		read()
		if n := testing.AllocsPerRun(5, read); n > 0 {
			t.Errorf("%s: %v allocations for %d samples", what, n, all.Len())
		}
	}
}
