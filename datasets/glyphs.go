package datasets

import (
	"winnow/loader"
)

func glyphsEntry() *entry {
	return &entry{
		info: Info{
			Name: "glyphs", About: "letters and digits drawn on the fly from the Go fonts, with clutter and noise",
			Train: 20000, Test: 4000, Classes: 10, Shape: [3]int{1, 28, 28},
			Settings: "classes=10..62, color=grey|rgb, train=N, test=N, noise=P, seed=N",
		},
		open: openGlyphs,
	}
}

func openGlyphs(s *spec, o Options) (*Dataset, error) {
	var src loader.Source
	return &Dataset{Train: src, Test: src}, nil
}
