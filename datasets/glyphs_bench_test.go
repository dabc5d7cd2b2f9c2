package datasets

import (
	"testing"

	"winnow/loader"
)

func BenchmarkGlyphs(b *testing.B) {
	for _, spec := range []string{"glyphs:classes=62", "glyphs:classes=62,color=rgb"} {
		b.Run(spec, func(b *testing.B) {
			d, err := Open(spec, Options{})
			if err != nil {
				b.Fatal(err)
			}
			src := d.Train
			var r loader.Record
			n := uint32(src.Len())
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i++ {
				if err := src.Read(i%n, &r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
