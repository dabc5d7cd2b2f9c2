package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// tree is the content of a folder by path.
type tree map[string][]byte

func readTree(dir string) (tree, error) {
	all := tree{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	return all, err
}

func (t tree) write(dir string) error {
	for name, data := range t {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// in makes a sample that is a tree, one file of it changed; path is what the
// program is given, within the tree.
func (t tree) in(kind, name string, of subject, spec, path, file string, data []byte) *sample {
	return &sample{kind: kind, name: file + ": " + name, of: of, spec: spec, file: filepath.Base(file), make: func(dir string) (string, error) {
		changed := maps.Clone(t)
		changed[file] = data
		at := filepath.Join(dir, "in")
		return filepath.Join(at, path), changed.write(at)
	}}
}

// placed are trees with something else in the place of a file.
func (t tree) placed(kind string, of subject, spec, path, file string) []*sample {
	var list []*sample
	for _, p := range places {
		list = append(list, &sample{kind: kind, name: file + ": " + p.name, of: of, spec: spec, file: filepath.Base(file), make: func(dir string) (string, error) {
			rest := maps.Clone(t)
			delete(rest, file)
			at := filepath.Join(dir, "in")
			err := rest.write(at)
			_ = os.MkdirAll(filepath.Join(at, filepath.Dir(file)), 0o777) // what fails now fails below
			return filepath.Join(at, path), errors.Join(err, p.make(filepath.Join(at, file)))
		}})
	}
	return list
}

// format is a kind of data with a good set of it.
type format struct {
	kind  string // of --data
	files tree
	path  string // within the tree
	start int    // bytes at the beginning of a file that say most of it
}

// newFormats makes a small good set of each format, some with the program itself.
func newFormats(winnow, dir, data string) ([]format, error) {
	var list []format
	for _, to := range []string{"folder", "tar", "parquet"} {
		out := filepath.Join(dir, to)
		if text, err := exec.Command(winnow, "data", "convert", "mnist:"+data, to+":"+out).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("data convert to %s: %w: %s", to, err, text)
		}
		files, err := readTree(out)
		if err != nil {
			return nil, err
		}
		if to != "folder" {
			list = append(list, format{to, files, "", 200})
		}
	}
	images := [][]byte{}
	for i := range 4 {
		images = append(images, encodePNG(picture(28, i)))
	}
	manifest := tree{"list.csv": []byte("path,class,split\na.png,x,train\nb.png,y,train\nc.png,x,test\nd.png,y,test\n"),
		"list.jsonl": []byte(`{"path":"a.png","class":"x","split":"train"}` + "\n" + `{"path":"b.png","class":"y","split":"train"}` + "\n" +
			`{"path":"c.png","class":"x","split":"test"}` + "\n" + `{"path":"d.png","class":"y","split":"test"}` + "\n"),
		"a.png": images[0], "b.png": images[1], "c.png": images[2], "d.png": images[3]}
	return append(list, format{"csv", manifest, "list.csv", 60}, format{"jsonl", manifest, "list.jsonl", 60},
		format{"npz", tree{"set.npz": npz()}, "set.npz", 200}, format{"npy", npys(), "", 128},
		format{"cifar10", cifar(1), "", 3073}, format{"cifar100", cifar(2), "", 3074}), nil
}

// picture is an image that differs with seed.
func picture(side, seed int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			m.Set(x, y, color.RGBA{uint8(x * y * (seed + 1)), uint8(x + seed*40), uint8(y), 255})
		}
	}
	return m
}

func encodePNG(m image.Image) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, m) // memory does not fail
	return b.Bytes()
}

// webp is an image of one pixel, without loss.
const webp = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

// pictures are an image in each format of files.
func pictures() map[string][]byte {
	m := picture(40, 1)
	all := map[string][]byte{"png": encodePNG(m)}
	for name, encode := range map[string]func(*bytes.Buffer) error{
		"jpg":  func(b *bytes.Buffer) error { return jpeg.Encode(b, m, nil) },
		"gif":  func(b *bytes.Buffer) error { return gif.Encode(b, m, nil) },
		"bmp":  func(b *bytes.Buffer) error { return bmp.Encode(b, m) },
		"tiff": func(b *bytes.Buffer) error { return tiff.Encode(b, m, &tiff.Options{Compression: tiff.Deflate}) },
	} {
		var b bytes.Buffer
		_ = encode(&b) // memory does not fail
		all[name] = b.Bytes()
	}
	all["webp"], _ = base64.StdEncoding.DecodeString(webp)
	return all
}

// npy is an array of bytes.
func npy(data []byte, dims ...int) []byte {
	shape := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(dims)), ", "), "[]")
	header := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%s,), }", shape)
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), binary.LittleEndian.AppendUint16(nil, uint16(len(header)))...)
	return slices.Concat(out, []byte(header), data)
}

func npys() tree {
	t := tree{}
	for _, split := range []string{"train", "test"} {
		pixels, labels := make([]byte, 16*28*28), make([]byte, 16)
		for i := range pixels {
			pixels[i] = byte(i * 7)
		}
		for i := range labels {
			labels[i] = byte(i % 10)
		}
		t[split+"_images.npy"], t[split+"_labels.npy"] = npy(pixels, 16, 28, 28), npy(labels, 16)
	}
	return t
}

func npz() []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	files := npys()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			panic(err) // memory does not fail
		}
	}
	_ = z.Close() // the same
	return b.Bytes()
}

// cifar is a set with so many bytes of labels before each image.
func cifar(labels int) tree {
	records := func(n int) []byte {
		out := make([]byte, n*(labels+3072))
		for i := range out {
			if at := i % (labels + 3072); at < labels {
				out[i] = byte(i / (labels + 3072) % 10)
			} else {
				out[i] = byte(i * 3)
			}
		}
		return out
	}
	if labels == 2 {
		return tree{"train.bin": records(20), "test.bin": records(10)}
	}
	t := tree{"test_batch.bin": records(10)}
	for i := range 5 {
		t[fmt.Sprintf("data_batch_%d.bin", i+1)] = records(4)
	}
	return t
}

// damaged are broken forms of a file whose beginning says most of it.
func damaged(data []byte, start int, seed uint64) []change {
	list := slices.Concat(cuts(data, 8), flips(data, 8, seed), strange())
	head := data[:min(start, len(data))]
	for _, c := range flips(head, 14, seed+1) {
		list = append(list, change{c.name, slices.Concat(c.data, data[len(head):])})
	}
	for i := range 4 { // sizes lie in the beginning
		lie := slices.Clone(data)
		at := len(head) * i / 4
		copy(lie[min(at, len(lie)):], []byte{0xff, 0xff, 0xff, 0x7f})
		list = append(list, change{fmt.Sprintf("a number that lies at byte %d", at), lie})
	}
	return append(list, change{"twice", slices.Concat(data, data)}, change{"bytes at the end", append(slices.Clone(data), 1, 2, 3)})
}

// formats are all formats of data but IDX.
func formats(g *good) []*sample {
	var list []*sample
	for i, f := range g.formats {
		kind := "data, " + f.kind
		seen := 0
		for _, file := range slices.Sorted(maps.Keys(f.files)) {
			if f.path != "" && file != f.path {
				continue
			}
			if seen++; seen > 2 { // the others are of the same make
				break
			}
			changes := damaged(f.files[file], f.start, uint64(100*i+seen))
			if strings.HasSuffix(file, ".csv") || strings.HasSuffix(file, ".jsonl") {
				changes = append(changes, lines(f.files[file])...)
			}
			for _, c := range changes {
				list = append(list, f.files.in(kind, c.name, aFormat, f.kind+":", f.path, file, c.data))
			}
			list = append(list, f.files.placed(kind, aFormat, f.kind+":", f.path, file)...)
		}
	}
	whole := pictures()
	for i, name := range slices.Sorted(maps.Keys(whole)) {
		set := tree{}
		for _, class := range []string{"x", "y"} {
			set["train/"+class+"/a.png"], set["val/"+class+"/a.png"] = whole["png"], whole["png"]
		}
		file := "train/x/broken." + name
		for _, c := range damaged(whole[name], 60, uint64(1000+i)) {
			list = append(list, set.in("images, "+strings.ToUpper(name), c.name, aFormat, "folder:", "", file, c.data))
		}
		list = append(list, set.placed("images, "+strings.ToUpper(name), aFormat, "folder:", "", file)...)
	}
	return list
}

// lines are broken lists of images.
func lines(data []byte) []change {
	return []change{
		{"a path that leaves", bytes.ReplaceAll(data, []byte("a.png"), []byte("../../../../etc/passwd"))},
		{"a path of a device", bytes.ReplaceAll(data, []byte("a.png"), []byte("/dev/zero"))},
		{"no such image", bytes.ReplaceAll(data, []byte("a.png"), []byte("none.png"))},
		{"another split", bytes.ReplaceAll(data, []byte("train"), []byte("other"))},
		{"one class", bytes.ReplaceAll(data, []byte("y"), []byte("x"))},
		{"another column", bytes.ReplaceAll(data, []byte("class"), []byte("colour"))},
		{"one long line", bytes.Repeat([]byte("x"), 1<<23)},
		{"many commas", bytes.Repeat([]byte(","), 1<<20)},
		{"a million lines", append(slices.Clone(data), bytes.Repeat([]byte("a.png\n"), 1<<19)...)},
		{"a quote that stays open", append([]byte(`"`), data...)},
		{"a terminal's commands", bytes.ReplaceAll(data, []byte("x"), []byte("\x1b[2J"))},
	}
}

// checkpoints are runs of which the one checkpoint, metrics or config.yaml is
// broken, to go on with.
func checkpoints(g *good) []*sample {
	const kind = "run, to go on with"
	var list []*sample
	files := maps.Clone(g.runTree)
	for i, file := range slices.Sorted(maps.Keys(files)) {
		in := path.Dir(file) == "checkpoints/2-0"
		if path.Dir(file) == "checkpoints/1-0" {
			delete(files, file)
			continue
		}
		if !in && file != "metrics.jsonl" && file != "config.yaml" {
			continue
		}
		data := g.runTree[file]
		changes := slices.Concat(cuts(data, 8), flips(data, 16, uint64(i)+500), strange(), []change{{"bytes at the end", append(slices.Clone(data), 1, 2)}})
		if strings.HasSuffix(file, ".json") {
			changes = append(changes, some(jsonChanges(data), 40)...)
		}
		for _, c := range changes {
			list = append(list, files.in(kind, c.name, aCheckpoint, "", "", file, c.data))
		}
		list = append(list, files.placed(kind, aCheckpoint, "", "", file)...)
	}
	return list
}

// configs are files for --config.
func configs(g *good) []*sample {
	var list []*sample
	put := func(kind, name string, data []byte) {
		list = append(list, single(kind, name, aConfig, "c.yaml", data))
	}
	whole := g.runTree["config.yaml"]
	for _, c := range slices.Concat(cuts(whole, 12), flips(whole, 40, 600), strange()) {
		put("config, YAML", c.name, c.data)
	}
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, text := range map[string]string{
		"a bomb of aliases": bomb, "deep": "lr: " + deep, "deeper": "lr: " + strings.Repeat("[", 1<<19), "indents": strings.Repeat("- ", 1<<18) + "x",
		"two documents": "lr: 1\n---\nlr: 2\n", "a key twice": "lr: 1\nlr: 2\n", "an alias": "lr: &x 1\nepochs: *x\n", "a merge": "<<: {lr: 1}\n",
		"a tag": "lr: !!python/object:os.system x\n", "binary": "bundle: !!binary AAAA\n", "a long key": strings.Repeat("k", 1<<19) + ": 1\n",
		"many keys": strings.Repeat("x", 1) + ": 1\n" + manyKeys(), "tabs": "lr:\n\t1\n", "no value": "lr:\n", "a list": "- lr\n", "wrong type": "epochs: ten\n",
		"unknown key": "learning-rate: 1\n", "out of range": "lr: -1\n", "huge": "epochs: 1e400\n", "control characters": "\"\\e[2J\": \"\\e]0;x\\a\"\n",
		"a comment without end": strings.Repeat("#", 1<<20-1), "over the size": strings.Repeat("#", 1<<20+1), "itself": "config: c.yaml\n",
	} {
		put("config, YAML", name, []byte(text))
	}
	object := []byte(`{"bundle": "` + g.bundle + `", "data": "mnist:` + g.data + `", "epochs": 1, "lr": 0.1, "mean": [0.5], "amp": false, "prune": "none"}`)
	for _, c := range slices.Concat(cuts(object, 12), flips(object, 20, 601), jsonChanges(object)) {
		put("config, JSON", c.name, c.data)
	}
	for _, p := range places {
		list = append(list, &sample{kind: "config, YAML", name: p.name, of: aConfig, file: "c.yaml", make: func(dir string) (string, error) {
			path := filepath.Join(dir, "c.yaml")
			return path, p.make(path)
		}})
	}
	slices.SortStableFunc(list, func(a, b *sample) int { return strings.Compare(a.kind, b.kind) })
	return list
}

func manyKeys() string {
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}
