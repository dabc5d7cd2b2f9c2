package datasets

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
	"winnow/loader/loadertest"
)

// writeManifestCase writes images and a manifest that lists them.
func writeManifestCase(kind, text string) func(*testing.T, string) string {
	return func(t *testing.T, dir string) string {
		if err := os.Mkdir(filepath.Join(dir, "im"), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if err := os.WriteFile(filepath.Join(dir, "im", fmt.Sprint(i)), folderCaseFile(t, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "list."+strings.ToUpper(kind))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return ":" + path
	}
}

const csvCase = "split,path,label\ntrain,im/1,dog\nval,im/5,dog\ntrain,im/0,\"cat, big\"\ntest,im/4,dog\ntrain,im/2,dog\n"

const jsonlCase = `{"file_name": "im/1", "label": 1, "split": "train"}

{"file_name": "im/5", "label": 1, "split": "val", "more": [1, {"a": 2}]}
{"file_name": "im/0", "label": 0, "split": "train"}
{"file_name": "im/4", "label": 1, "split": "test"}
{"file_name": "im/2", "label": 1, "split": "train"}
`

func manifestWant(t testing.TB) (w loadertest.Want) {
	w.Labels = []int64{1, 0, 1}
	for _, i := range []int{1, 0, 2} {
		w.Images = append(w.Images, folderCaseFile(t, i))
	}
	w.Allocations = 24 // a file is opened
	return w
}

func TestManifests(t *testing.T) {
	dir := tree(t, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png")
	list := func(text string) string {
		path := filepath.Join(t.TempDir(), "list.csv")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return "csv:" + path + ",root=" + dir
	}
	d := open(t, list("\ufeffimage;x,kind,path\na/1.png,u,b/1.png\na/2.png,v,b/2.png\nb/1.png,u,b/3.png\nb/2.png,v,a/1.png\n")+",label=kind,val=0.5")
	got := append(names(d.Train), names(d.Test)...)
	slices.Sort(got)
	if want := []string{"a/1.png=1", "b/1.png=0", "b/2.png=1", "b/3.png=0"}; !slices.Equal(got, want) || d.Test.Len() != 2 {
		t.Errorf("files %v, want %v", got, want)
	}
	d = open(t, list("path,class,split\na/1.png,7,train\na/2.png,0,train\nb/1.png,7,test\n"))
	if len(d.ClassNames) != 8 || d.Train.Target(0).Class() != 7 || d.Test.Len() != 1 {
		t.Errorf("classes %q", d.ClassNames)
	}
	for text, want := range map[string]string{
		"":                                    "empty",
		"path,label\n":                        "no samples",
		"path,mark\na/1.png,1\n":              "line 2: no column label, class, target: name it with label=NAME",
		"where,label\na/1.png,1\n":            "name it with image=NAME",
		"path,path,label\na,b,1\n":            `column "path" stands twice`,
		"path,label\na/1.png,1\na/2.png\n":    "line 3",
		"path,label\na/1.png,\"1\n":           "line 2",
		"path,label\na/1.png,\n":              "line 2: the path or the label is empty",
		"path,label\na/9.png,1\n":             `line 2: "a/9.png": no such file`,
		"path,label\n/etc/passwd,1\n":         `path "/etc/passwd" leads out of the root`,
		"path,label\na/../../x.png,1\n":       "leads out of the root",
		"path,label\na,1\n":                   `"a": not a regular file`,
		"path,label\na/1.png,\xff\n":          "not UTF-8",
		"path,label,split\na/1.png,1,extra\n": `split "extra"`,
		"path,label,split\na/1.png,1,train\n": "no sample is of a split to evaluate",
		"path,label,split\na/1.png,1,test\n":  "no sample is of the split train",
	} {
		refused(t, list(text), loader.ErrBadData, want)
	}
	refused(t, list(csvCase)+",split=part", loader.ErrBadData, `no column "part"`)
	bad := filepath.Join(dir, "bad.jsonl")
	for text, want := range map[string]string{
		"[1]\n":                     "line 1: no JSON object",
		"{\"path\": \"a/1.png\"}\n": "line 1: no column label",
		"{\"path\": \"a/1.png\", \"label\": [1]}\n":  `column "label" is a list`,
		"{\"path\": \"a/1.png\", \"label\": null}\n": "the label is empty",
		"\n{\"path\": 1, \"label\": 1}{\n":           "line 2",
	} {
		if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, "jsonl:"+bad, loader.ErrBadData, want)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(csvCase))
	f.Add([]byte(jsonlCase))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []rowReader{readCSV, readJSONL} {
			rows := 0
			err := read(bytes.NewReader(data), func(_ int, cell func(string) (string, bool)) error {
				cell("path")
				cell("label")
				rows++
				return nil
			})
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			if rows > len(data) {
				t.Errorf("%d rows of %d bytes", rows, len(data))
			}
		}
	})
}

// TestManifestWeights: a column of weights, kept through splits and subsets.
func TestManifestWeights(t *testing.T) {
	dir := tree(t, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png")
	path := filepath.Join(dir, "list.csv")
	rows := func(text string) string {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return "csv:" + path
	}
	const head = "path,label,weight,mass\n"
	given := rows(head + "a/1.png,a,1,10\na/2.png,a,0.5,20\nb/1.png,b,2,30\nb/2.png,b,0,40\nb/3.png,b,3e2,50\n")
	want := map[string]float32{"a/1.png": 1, "a/2.png": 0.5, "b/1.png": 2, "b/2.png": 0, "b/3.png": 300}
	mass := map[string]float32{"a/1.png": 10, "a/2.png": 20, "b/1.png": 30, "b/2.png": 40, "b/3.png": 50}
	for setting, want := range map[string]map[string]float32{"": want, ",weight=mass,noise=0.3,exif=on": mass, ",weight=off": nil} {
		d := open(t, given+",val=0.4"+setting)
		weights := loader.WeightsOf(Subset(d.Train, 2))
		if (weights == nil) != (want == nil) || weights != nil && len(weights) != 2 {
			t.Fatalf("%s: %v", setting, weights)
		}
		for i, w := range weights {
			if where := d.Train.(loader.Located).Where(uint32(i)); w != want[where] {
				t.Errorf("%s: %s weighs %v, want %v", setting, where, w, want[where])
			}
		}
		if said := slices.ContainsFunc(d.Notes, func(n string) bool { return strings.Contains(n, "weight") }); said != (want != nil) {
			t.Errorf("%s: notes %q", setting, d.Notes)
		}
	}
	for text, want := range map[string]string{
		"a/1.png,a,-1,1\n": `line 2: weight "-1": want a number from 0`, "a/1.png,a,NaN,1\n": "want a number", "a/1.png,a,,1\n": "want a number", "a/1.png,a,1e9,1\n": "want a number",
	} {
		refused(t, rows(head+text), loader.ErrBadData, want)
	}
	refused(t, rows(head+"a/1.png,a,1,1\n")+",weight=none", loader.ErrBadData, `no column "none"`)
	lines := filepath.Join(dir, "list.jsonl")
	if err := os.WriteFile(lines, []byte(`{"path": "a/1.png", "label": 0, "weight": 2}`+"\n"+`{"path": "a/2.png", "label": 0}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, "jsonl:"+lines, loader.ErrBadData, "line 2: no weight, and the lines before have one")
}
