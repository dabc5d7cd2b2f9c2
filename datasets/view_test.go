package datasets

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"winnow/loader"
	"winnow/loader/raster"
)

// TestViews: exif=on turns and background=white lays over white, in each kind
// that holds files; kinds of raw images refuse them.
func TestViews(t *testing.T) {
	ownCache(t)
	dir := t.TempDir()
	turned, err := os.ReadFile("../loader/raster/testdata/orientation6.jpg") // 4 rows of 8
	if err != nil {
		t.Fatal(err)
	}
	clear := image.NewNRGBA(image.Rect(0, 0, 4, 8)) // invisible red
	for y := range 8 {
		for x := range 4 {
			clear.SetNRGBA(x, y, color.NRGBA{R: 255})
		}
	}
	for _, class := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"1.jpg", "2.jpg"} {
			if err := os.WriteFile(filepath.Join(dir, class, n), turned, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Create(filepath.Join(dir, class, "3.png"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, clear), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	plain := open(t, "folder:"+dir+",val=0.3")
	for _, kind := range []string{"tar", "parquet"} {
		if _, err := Convert(context.Background(), plain, kind+":"+filepath.Join(dir, kind), ConvertOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(dir, "list.csv")
	if err := os.WriteFile(list, []byte("path,label\na/1.jpg,0\na/2.jpg,0\na/3.png,0\nb/1.jpg,1\nb/3.png,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "parquet"), filepath.Join(dir, ".parquet")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "tar"), filepath.Join(dir, ".tar")); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"folder:" + dir + ",val=0.3", "csv:" + list + ",val=0.4", "tar:" + dir + "/.tar", "parquet:" + dir + "/.parquet"} {
		for setting, on := range map[string]bool{"": false, ",exif=on,background=white,noise=0.2": true} {
			d := open(t, spec+setting)
			var r loader.Record
			var m raster.Image
			for _, records := range []loader.Records{d.Train, d.Test} {
				for i := range uint32(records.Len()) {
					if err := records.Read(i, &r); err != nil {
						t.Fatal(err)
					}
					if err := (raster.Decoder{}).With(r.View).Decode(&m, r.Data, 3, 1); err != nil {
						t.Fatal(err)
					}
					isPNG := raster.Sniff(r.Data) == "PNG"
					if m.H == 8 != (isPNG || on) {
						t.Errorf("%s%s: %d rows", spec, setting, m.H)
					}
					if isPNG && (m.Plane(1)[0] == 255) != on {
						t.Errorf("%s%s: green %d", spec, setting, m.Plane(1)[0])
					}
				}
			}
			if f, err := Check(context.Background(), d, raster.Decoder{}, 1, DefaultNear, nil); err != nil || f.Turned[6] == 0 {
				t.Errorf("check counts %v: %v", f.Turned, err)
			}
		}
	}
	refused(t, "glyphs:exif=on", ErrSpec, "unknown setting")
	refused(t, "folder:"+dir+",exif=yes", ErrSpec, "exif=yes: want one of off, on")
	d := open(t, "folder:"+dir+",exif=on,val=0.3")
	if _, err := Convert(context.Background(), d, "tar:"+filepath.Join(dir, "x"), ConvertOptions{}); !errors.Is(err, ErrSpec) {
		t.Errorf("exif is lost in converting: %v", err)
	}
}
