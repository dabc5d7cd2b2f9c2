package datasets

import (
	"testing"

	"winnow/internal/race"
	"winnow/loader"
)

// TestReadingMakesNoGarbage: once its memory has grown, a record of any format
// and its target are read without an allocation. Files are opened so on Linux alone.
func TestReadingMakesNoGarbage(t *testing.T) {
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
		if n := testing.AllocsPerRun(5, read); n > 0 && !race.Enabled {
			t.Errorf("%s: %v allocations for %d samples", what, n, all.Len())
		}
	}
}
