package datasets

import (
	"os"
	"path/filepath"
	"testing"
)

// A relative path becomes absolute, whatever stands around it; all else stays.
func TestAbsolute(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o777); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"glyphs":                          "glyphs",
		"glyphs:classes=36":               "glyphs:classes=36",
		"fashion-mnist":                   "fashion-mnist",
		"folder:images":                   "folder:" + dir + "/images",
		"folder:images,val=0.1":           "folder:" + dir + "/images,val=0.1",
		"folder:val=0.1,images":           "folder:val=0.1," + dir + "/images",
		"images":                          dir + "/images",
		"images,noise=0.2":                dir + "/images,noise=0.2",
		"no-such-set":                     "no-such-set",
		"folder:/abs/x,val=0.1":           "folder:/abs/x,val=0.1",
		`folder:"/abs/x, y=z"`:            `folder:"/abs/x, y=z"`,
		`folder:"a, b=""c""",val=0.1`:     `folder:"` + dir + `/a, b=""c""",val=0.1`,
		"tar:train-{000..012}.tar":        "tar:" + dir + "/train-{000..012}.tar",
		"folder:a,b":                      `folder:"` + dir + `/a,b"`,
		"csv:x.csv,root=../pics,image=im": "csv:" + dir + "/x.csv,root=" + filepath.Dir(dir) + "/pics,image=im",
		"csv:/abs/x.csv,root=pics":        "csv:/abs/x.csv,root=" + dir + "/pics",
		"mnist:":                          "mnist:", // an error, which opening tells
		`folder:"open`:                    `folder:"open`,
	} {
		if got := Absolute(spec, dir); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
		if again := Absolute(want, "/elsewhere"); again != want {
			t.Errorf("%s: %s from another folder", want, again)
		}
	}
}
