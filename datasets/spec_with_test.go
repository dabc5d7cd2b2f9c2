package datasets

import "testing"

func TestWith(t *testing.T) {
	for spec, want := range map[string]string{
		"glyphs": "glyphs:noise=0.2", "glyphs:classes=36": "glyphs:classes=36,noise=0.2", "folder:DIR": "folder:DIR,noise=0.2", "some/DIR": "some/DIR,noise=0.2",
	} {
		got := With(spec, "noise", "0.2")
		if got != want {
			t.Errorf("%s: %s", spec, got)
		}
		if s, err := parseSpec(got, Kinds()); err != nil || s.settings["noise"] != "0.2" {
			t.Errorf("%s: %+v, %v", got, s, err)
		}
	}
}
