package experiment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzPlan: a plan that nobody checked is refused with the package's error, or
// read; what is read can be written, and is read again.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"format":"winnow.experiment/1","dir":"/","flags":{"data":"glyphs","epochs":"3"},"methods":["none","random"],"noise":["0","pairflip:0.2"],"ratios":[0.3],"seeds":[1,2]}`))
	f.Add([]byte(`{"format":"winnow.experiment/1","methods":["none"],"seeds":[18446744073709551615],"runs":[{"name":"../x"}]}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(text []byte) (*Plan, error) {
			if err := os.WriteFile(filepath.Join(dir, PlanFile), text, 0o666); err != nil {
				t.Fatal(err)
			}
			return Read(dir)
		}
		p, err := read(text)
		if err != nil {
			return
		}
		for i := range p.Runs {
			if name := p.Runs[i].Name; name != filepath.Base(name) {
				t.Errorf("run %q leaves its folder", name)
			}
			p.args(&p.Runs[i], "DIR")
		}
		var out bytes.Buffer
		if err := p.write(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := read(out.Bytes()); err != nil && !errors.Is(err, ErrPlan) {
			t.Errorf("%v", err)
		}
	})
}
