package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// corpus is all samples, the same in every run.
func corpus(g *good) []*sample {
	return slices.Concat(models(g), bundles(g), archives(g), dataSets(g), runs(g), references(g), formats(g), targets(), checkpoints(g), configs(g), written(g))
}

// change is a broken form of a file's content.
type change struct {
	name string
	data []byte
}

// cuts are the first parts of data, n of them, short ones more often.
func cuts(data []byte, n int) []change {
	var list []change
	for i := range n {
		at := len(data) * i * i / (n * n)
		list = append(list, change{fmt.Sprintf("cut to %d bytes", at), data[:at]})
	}
	return list
}

// flips are n copies of data with one bit turned over, at places that the seed draws.
func flips(data []byte, n int, seed uint64) []change {
	random := rand.New(rand.NewPCG(seed, 7))
	var list []change
	for range n {
		at, bit := random.IntN(len(data)), random.IntN(8)
		broken := slices.Clone(data)
		broken[at] ^= 1 << bit
		list = append(list, change{fmt.Sprintf("bit %d of byte %d", bit, at), broken})
	}
	return list
}

// strange are contents of another kind, made once: a process starts with the
// memory of the one that started it on its account.
func strange() []change { return contents }

var contents = []change{
	{"empty", nil}, {"text", []byte("no file of this kind\n")}, {"zeros", make([]byte, 4096)},
	{"ones", bytes.Repeat([]byte{0xff}, 4096)}, {"JSON", []byte(`{"a":[1,2,{"b":null}]}`)}, {"deep JSON", bytes.Repeat([]byte("["), 1<<20)},
	{"commands to a terminal", []byte("\x1b[2J\x1b]0;x\a\u202e")},
}

// places are what may stand where a file should: each makes it at a path.
var places = []struct {
	name string
	make func(path string) error
}{
	{"missing", func(string) error { return nil }},
	{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o666) }},
	{"a folder", func(path string) error { return os.Mkdir(path, 0o777) }},
	{"a link to a device", func(path string) error { return os.Symlink("/dev/zero", path) }},
	{"a link to itself", func(path string) error { return os.Symlink(filepath.Base(path), path) }},
	{"a link to nothing", func(path string) error { return os.Symlink("nothing", path) }},
}

// folder makes a sample that is a folder of files, one of them changed.
func folder(kind, name string, of subject, files map[string][]byte, file string, data []byte) *sample {
	return &sample{kind: kind, name: file + ": " + name, of: of, file: file, make: func(dir string) (string, error) {
		changed := maps.Clone(files)
		changed[file] = data
		return writeFolder(filepath.Join(dir, "in"), changed)
	}}
}

// placed makes a sample that is a folder of files with something else in the place of one.
func placed(kind string, of subject, files map[string][]byte, file string) []*sample {
	var list []*sample
	for _, p := range places {
		list = append(list, &sample{kind: kind, name: file + ": " + p.name, of: of, file: file, make: func(dir string) (string, error) {
			rest := maps.Clone(files)
			delete(rest, file)
			path, err := writeFolder(filepath.Join(dir, "in"), rest)
			return path, errors.Join(err, p.make(filepath.Join(path, file)))
		}})
	}
	return list
}

func writeFolder(dir string, files map[string][]byte) (string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// single makes a sample that is one file.
func single(kind, name string, of subject, file string, data []byte) *sample {
	return &sample{kind: kind, name: name, of: of, file: file, make: func(dir string) (string, error) {
		path := filepath.Join(dir, file)
		return path, os.WriteFile(path, data, 0o666)
	}}
}

// jsonChanges are copies of a JSON object in each of which one field, at any
// depth, has another value or is gone.
func jsonChanges(data []byte, values ...any) []change {
	if values == nil {
		values = []any{nil, -1, 1e308, "x\x1b[2J", []any{}, map[string]any{}}
	}
	var list []change
	var root any
	if json.Unmarshal(data, &root) != nil {
		return nil
	}
	emit := func(name string) {
		if text, err := json.MarshalIndent(root, "", " "); err == nil {
			list = append(list, change{name, text})
		}
	}
	var visit func(path string, v any)
	visit = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for i, key := range slices.Sorted(maps.Keys(v)) {
				old := v[key]
				v[key] = values[(len(path)+i)%len(values)]
				emit(fmt.Sprintf("%s.%s is %.20q", path, key, fmt.Sprint(v[key])))
				delete(v, key)
				emit(path + "." + key + " is gone")
				v[key] = old
				visit(path+"."+key, old)
			}
		case []any:
			for i, e := range v[:min(len(v), 2)] {
				visit(fmt.Sprintf("%s[%d]", path, i), e)
			}
		}
	}
	visit("", root)
	return list
}

// some takes about n of a list, evenly.
func some(list []change, n int) []change {
	if len(list) <= n {
		return list
	}
	var kept []change
	for i := range n {
		kept = append(kept, list[i*len(list)/n])
	}
	return kept
}

func bundles(g *good) []*sample {
	var list []*sample
	for i, file := range slices.Sorted(maps.Keys(g.bundleFiles)) {
		kind, data := "bundle, folder", g.bundleFiles[file]
		changes := slices.Concat(cuts(data, 5), flips(data, 10, uint64(i)), strange())
		switch {
		case strings.HasSuffix(file, ".json"):
			changes = append(changes, some(jsonChanges(data), 70)...)
		case strings.HasSuffix(file, ".safetensors"):
			changes = append(changes, headers(data)...)
		}
		for _, c := range changes {
			list = append(list, folder(kind, c.name, aBundle, g.bundleFiles, file, c.data))
		}
		list = append(list, placed(kind, aBundle, g.bundleFiles, file)...)
	}
	return list
}

// headers are safetensors files whose header lies.
func headers(data []byte) []change {
	n := int(data[0]) | int(data[1])<<8 | int(data[2])<<16
	text, rest := data[8:8+n], data[8+n:]
	with := func(header []byte) []byte {
		size := len(header)
		lead := []byte{byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24), 0, 0, 0, 0}
		return slices.Concat(lead, header, rest)
	}
	var list []change
	for _, c := range some(jsonChanges(text, -1, 1<<40, []any{-1, 4}, []any{1 << 40, 1 << 41}, "F64", "x", nil, []any{1 << 31, 1 << 31, 4}), 50) {
		list = append(list, change{"header" + c.name, with(c.data)})
	}
	long := slices.Clone(data)
	copy(long, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	return append(list, change{"a header longer than all files", long}, change{"twice the header", with(slices.Concat(text, text))},
		change{"bytes at the end", append(slices.Clone(data), 1, 2, 3, 4)})
}

func dataSets(g *good) []*sample {
	var list []*sample
	for i, file := range slices.Sorted(maps.Keys(g.dataFile)) {
		data := g.dataFile[file]
		changes := slices.Concat(cuts(data, 8), flips(data[:min(len(data), 16)], 12, uint64(i)), flips(data, 6, uint64(i)+9), strange())
		for j := range changes { // flips of the start alone are put before the rest
			if len(changes[j].data) == 16 && strings.HasPrefix(changes[j].name, "bit") {
				changes[j].data = append(slices.Clone(changes[j].data), data[16:]...)
			}
		}
		if !strings.HasSuffix(file, ".gz") {
			huge := slices.Clone(data)
			copy(huge[4:], []byte{0xff, 0xff, 0xff, 0xff})
			changes = append(changes, change{"a size that lies", huge}, change{"more than its size", append(slices.Clone(data), 1)},
				change{"compressed under another name", compress(data).Bytes()})
		} else {
			changes = append(changes, change{"two members", slices.Concat(data, data)}, change{"bytes at the end", append(slices.Clone(data), 1, 2, 3)},
				change{"compressed zeros", compress(make([]byte, 50<<20)).Bytes()},
				change{"sizes that inflate", compress([]byte{0, 0, 8, 3, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 28, 0, 0, 0, 28}).Bytes()})
		}
		for _, c := range changes {
			list = append(list, folder("data set", c.name, aDataSet, g.dataFile, file, c.data))
		}
		list = append(list, placed("data set", aDataSet, g.dataFile, file)...)
	}
	return list
}

func runs(g *good) []*sample {
	var list []*sample
	for i, file := range []string{"summary.json", "metrics.jsonl", "model.onnx"} {
		data := g.runFiles[file]
		changes := slices.Concat(cuts(data, 6), flips(data, 12, uint64(i)+50), strange())
		switch file {
		case "summary.json":
			changes = append(changes, some(jsonChanges(data, nil, -1, 1e308, "x\x1b[2J", []any{}, 2.5), 50)...)
		case "metrics.jsonl":
			first, rest, _ := bytes.Cut(data, []byte("\n"))
			for _, c := range some(jsonChanges(first, nil, -1, 1e308, "x", 2.5), 30) {
				var line bytes.Buffer
				if json.Compact(&line, c.data) == nil {
					changes = append(changes, change{c.name, slices.Concat(line.Bytes(), []byte("\n"), rest)})
				}
			}
			changes = append(changes, change{"a million lines", bytes.Repeat([]byte("{}\n"), 1<<20)}, change{"twice", slices.Concat(data, data)},
				change{"one long line", bytes.Repeat([]byte("x"), 1<<22)})
		}
		for _, c := range changes {
			list = append(list, folder("run", c.name, aRun, g.runFiles, file, c.data))
		}
		list = append(list, placed("run", aRun, g.runFiles, file)...)
	}
	return list
}

func references(*good) []*sample {
	var list []*sample
	for _, c := range append(strange(), change{"an index beyond", []byte("99\n")}, change{"negative", []byte("-1\n")}, change{"huge", []byte("99999999999999999999\n")},
		change{"words", []byte("1\ntwo\n")}, change{"many", bytes.Repeat([]byte("1\n"), 1<<20)}, change{"one long line", bytes.Repeat([]byte("1"), 1<<22)},
		change{"comments only", bytes.Repeat([]byte("# x\n"), 100)}, change{"fractions", []byte("1.5\n")}) {
		list = append(list, single("reference", c.name, aReference, "reference.txt", c.data))
	}
	for _, p := range places {
		list = append(list, &sample{kind: "reference", name: p.name, of: aReference, file: "reference.txt", make: func(dir string) (string, error) {
			path := filepath.Join(dir, "reference.txt")
			return path, p.make(path)
		}})
	}
	return list
}
