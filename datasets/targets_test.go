package datasets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/loader"
)

// readFloats reads a target of float32.
func readFloats(t *testing.T, r loader.Records, i uint32, k int) (v []float32) {
	t.Helper()
	var record loader.Record
	if err := r.(loader.Targeted).ReadTarget(i, k, &record); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(record.Data); at += 4 {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(record.Data[at:])))
	}
	return v
}

func specsOf(r loader.Records) string {
	var texts []string
	for _, s := range loader.TargetsOf(r) {
		texts = append(texts, s.Name+" "+s.Kind.String())
	}
	return strings.Join(texts, ", ")
}

func TestManifestTargets(t *testing.T) {
	dir := tree(t, "a.png", "b.png", "c.png", "m/a.png", "m/b.png", "m/c.png")
	at := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	csv := at("list.csv", "path,split,x,y,tags,mask\na.png,train,0.5,-2,cat|dog,m/a.png\nb.png,val,1,3e1,,m/b.png\nc.png,train,0,1,dog| ant ,m/c.png\n")
	d := open(t, "csv:"+csv+",vector=x+y,labels=tags,mask=mask")
	if got := specsOf(d.Train); got != "tags vector, vector vector, mask mask" || d.Train.Target(0).Class() != -1 {
		t.Errorf("targets %s", got)
	}
	if !slices.Equal(d.ClassNames, []string{"ant", "cat", "dog"}) {
		t.Errorf("labels %q", d.ClassNames)
	}
	if got := readFloats(t, d.Train, 1, 0); !slices.Equal(got, []float32{1, 0, 1}) {
		t.Errorf("labels %v", got)
	}
	if got := readFloats(t, d.Test, 0, 0); !slices.Equal(got, []float32{0, 0, 0}) {
		t.Errorf("labels %v", got)
	}
	if got := readFloats(t, d.Test, 0, 1); !slices.Equal(got, []float32{1, 30}) {
		t.Errorf("vector %v", got)
	}
	var r loader.Record
	if err := d.Train.(loader.Targeted).ReadTarget(1, 2, &r); err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(filepath.Join(dir, "m/c.png")); err != nil || !bytes.Equal(r.Data, want) {
		t.Errorf("%d bytes of a mask, %v", len(r.Data), err)
	}
	jsonl := at("list.jsonl", `{"path": "a.png", "split": "train", "label": 1, "v": [0.25, 2], "tags": ["x", "y"]}
{"path": "b.png", "split": "val", "label": 0, "v": [1, 2], "tags": []}
`)
	d = open(t, "jsonl:"+jsonl+",vector=v,labels=tags")
	if got := specsOf(d.Train); got != "label class, tags vector, v vector" || d.Train.Target(0).Class() != 1 {
		t.Errorf("targets %s", got)
	}
	if got := readFloats(t, d.Train, 0, 2); !slices.Equal(got, []float32{0.25, 2}) {
		t.Errorf("vector %v", got)
	}
	if got := readFloats(t, d.Train, 0, 1); !slices.Equal(got, []float32{1, 1}) {
		t.Errorf("labels %v", got)
	}
	named := at("named.jsonl", `{"path": "a.png", "split": "train", "target": [0.25, 2]}
{"path": "b.png", "split": "val", "target": [1, 2]}
`)
	if d = open(t, "jsonl:"+named+",vector=target"); specsOf(d.Train) != "target vector" {
		t.Errorf("a column named as a class's is taken for one beside the vector: %s", specsOf(d.Train))
	}
	for text, want := range map[string]string{
		"jsonl:" + named:             `line 1: column "target" is a list: labels=target takes its names, vector=target its numbers`,
		"csv:" + csv + ",vector=x+z": `no column "z"`,
		"csv:" + at("1.csv", "path,split,v\na.png,train,1 2\nb.png,val,3 4\nc.png,train,1\n") + ",vector=v": `line 4: "c.png" has a vector of 1 numbers`,
		"csv:" + at("2.csv", "path,split,v\na.png,train,one\n") + ",vector=v":                               `line 2: column "v": "one": want a number`,
		"csv:" + at("3.csv", "path,split,m\na.png,train,../m.png\n") + ",mask=m":                            "leads out of the root",
		"csv:" + at("4.csv", "path,split,m\na.png,train,\n") + ",mask=m":                                    `line 2: column "m" is empty`,
	} {
		if _, err := Open(text, Options{}); !errors.Is(err, loader.ErrBadData) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPairs(t *testing.T) {
	dir := tree(t, "images/train/a.png", "images/train/b.jpg", "images/val/c.png")
	for _, name := range []string{"train/a", "train/b", "val/c"} {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, "masks", name+".png")
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, "pairs:"+dir)
	if d.Train.Len() != 2 || d.Test.Len() != 1 || specsOf(d.Test) != "mask mask" || d.Train.(loader.Located).Where(1) != filepath.FromSlash("images/train/b.jpg") {
		t.Errorf("%d and %d samples, %s", d.Train.Len(), d.Test.Len(), specsOf(d.Test))
	}
	var r loader.Record
	if err := d.Test.(loader.Targeted).ReadTarget(0, 0, &r); err != nil || !bytes.HasPrefix(r.Data, []byte("\x89PNG")) {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "masks/train/b.png")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("pairs:"+dir, Options{}); !errors.Is(err, loader.ErrBadData) || !strings.Contains(err.Error(), "b.jpg") || !strings.Contains(err.Error(), "has no mask") {
		t.Error(err)
	}
}

// npyFile is an array in NumPy's format 1.0.
func npyFile(dtype, shape string, data []byte) []byte {
	head := "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': (" + shape + "), }"
	head += strings.Repeat(" ", (64-(10+len(head)+1)%64)%64) + "\n"
	return slices.Concat([]byte("\x93NUMPY\x01\x00"), []byte{byte(len(head)), byte(len(head) >> 8)}, []byte(head), data)
}

func TestArrayTargets(t *testing.T) {
	dir := t.TempDir()
	floats := func(v ...float32) (b []byte) {
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}
	for name, file := range map[string][]byte{
		"train_images": npyFile("|u1", "2, 2, 3", make([]byte, 12)), "val_images": npyFile("|u1", "1, 2, 3", make([]byte, 6)),
		"train_where": npyFile("<f4", "2, 2", floats(1, 2, 3, 4)), "val_where": npyFile("<f4", "1, 2", floats(5, 6)),
		"train_boxes": npyFile("<f4", "2, 2, 2", floats(0, 1, 2, 3, 4, 5, 6, 7)), "val_boxes": npyFile("<f4", "1, 2, 2", floats(0, 1, 2, 9)),
		"train_mask": npyFile("|u1", "2, 2, 3", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), "val_mask": npyFile("|u1", "1, 2, 3", make([]byte, 6)),
		"train_short": npyFile("<f4", "1, 2", floats(1, 2)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".npy"), file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, "npy:"+dir+",targets=where+boxes+mask")
	if got := specsOf(d.Train); got != "where vector, boxes tensor, mask mask" {
		t.Errorf("targets %s", got)
	}
	if got := readFloats(t, d.Train, 1, 1); !slices.Equal(got, []float32{4, 5, 6, 7}) {
		t.Errorf("boxes %v", got)
	}
	if got := readFloats(t, d.Test, 0, 0); !slices.Equal(got, []float32{5, 6}) {
		t.Errorf("vector %v", got)
	}
	var r loader.Record
	if err := d.Train.(loader.Targeted).ReadTarget(1, 2, &r); err != nil || r.C != 1 || r.H != 2 || r.W != 3 || !bytes.Equal(r.Data, []byte{6, 7, 8, 9, 10, 11}) {
		t.Errorf("%dx%dx%d, %v, %v", r.C, r.H, r.W, r.Data, err)
	}
	if string(r.From) != dir {
		t.Errorf("a mask from %q", r.From)
	}
	if _, err := Open("npy:"+dir+",targets=short", Options{}); !errors.Is(err, loader.ErrBadData) || !strings.Contains(err.Error(), `"train_short"`) {
		t.Error(err)
	}
}

// What glyphs say of a picture holds of its pixels: a character's mask, box and
// label are of the same places, which differ from the rest.
func TestGlyphTasks(t *testing.T) {
	tasks := map[string]loader.Records{}
	for _, task := range []string{"mask", "multi", "boxes", "pose"} {
		tasks[task] = open(t, "glyphs:train=30,test=5,size=48,task="+task).Train
	}
	var r loader.Record
	several := 0
	for i := range uint32(30) {
		var pictures [][]byte
		for _, task := range []string{"mask", "multi", "boxes"} {
			if err := tasks[task].Read(i, &r); err != nil {
				t.Fatal(err)
			}
			pictures = append(pictures, bytes.Clone(r.Data))
		}
		if !bytes.Equal(pictures[0], pictures[1]) || !bytes.Equal(pictures[0], pictures[2]) {
			t.Fatalf("sample %d has another picture for another task", i)
		}
		if err := tasks["mask"].(loader.Targeted).ReadTarget(i, 0, &r); err != nil {
			t.Fatal(err)
		}
		mask := bytes.Clone(r.Data)
		there := readFloats(t, tasks["multi"], i, 0)
		boxes := readFloats(t, tasks["boxes"], i, 0)
		found := map[byte]bool{}
		for _, v := range mask {
			if v > 0 {
				found[v-1] = true
			}
		}
		for k, v := range there {
			if (v == 1) != found[byte(k)] {
				t.Errorf("sample %d: label %d is %v, in the mask %v", i, k, v, found[byte(k)])
			}
		}
		count := 0
		for j := 0; j < len(boxes); j += 5 {
			class, cx, cy, w, h := boxes[j], 48*boxes[j+1], 48*boxes[j+2], 48*boxes[j+3], 48*boxes[j+4]
			if class == 0 {
				continue
			}
			count++
			inside := 0
			for y := int(cy - h/2); y < int(cy+h/2); y++ {
				for x := int(cx - w/2); x < int(cx+w/2); x++ {
					if mask[48*y+x] == byte(class) {
						inside++
					}
				}
			}
			if inside < 10 {
				t.Errorf("sample %d: %d pixels of character %v in its box", i, inside, class)
			}
		}
		if count > 1 {
			several++
		}
		if pose := readFloats(t, tasks["pose"], i, 0); len(pose) != 3 || math.Abs(float64(pose[0])) > 0.5 || math.Abs(float64(pose[1])) > 0.5 || math.Abs(float64(pose[2])) > glyphRotation+1e-6 {
			t.Errorf("sample %d: pose %v", i, pose)
		}
	}
	if several < 10 {
		t.Errorf("%d of 30 pictures have several characters", several)
	}
	if _, err := Open("glyphs:task=mask,noise=0.2", Options{}); !errors.Is(err, ErrSpec) {
		t.Errorf("label noise without labels: %v", err)
	}
}
