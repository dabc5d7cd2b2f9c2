package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"winnow/internal/files"
	"winnow/internal/yamlfile"
)

// Files of a data set of Hugging Face's hub that name its classes.
const (
	hubInfos = "dataset_infos.json" // of older sets
	hubCard  = "README.md"          // with YAML before the text
	maxCard  = 1 << 24
)

// hubClasses are the names that a data set's files beside its shards, or one
// folder up, give the class of one of the columns; nil where none does. A file
// that cannot be understood is left out, which is said.
func (d *Dataset) hubClasses(dir string, columns []string) []string {
	for _, at := range []string{dir, filepath.Dir(dir)} {
		for _, file := range []struct {
			name string
			read func(text []byte, column string) ([][]string, error)
		}{{hubInfos, infoClasses}, {hubCard, cardClasses}} {
			path := filepath.Join(at, file.name)
			text, err := files.Read(path, maxCard)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrNotRegular) {
				continue
			}
			names, err := hubNames(text, err, columns, file.read)
			if err != nil {
				d.notef("class names in %s are left out: %v; classes=FILE gives them", path, reason(err))
			} else if names != nil {
				d.notef("the %d classes are named as in %s", len(names), path)
				return names
			}
		}
	}
	return nil
}

// hubNames are the classes of the first of the columns that a file's text names.
// The configurations of a set must agree.
func hubNames(text []byte, err error, columns []string, read func([]byte, string) ([][]string, error)) ([]string, error) {
	for _, column := range columns {
		if err != nil {
			return nil, err
		}
		var lists [][]string
		lists, err = read(text, column)
		if err != nil || len(lists) == 0 {
			continue
		}
		for _, other := range lists[1:] {
			if !slices.Equal(lists[0], other) {
				return nil, fmt.Errorf("the configurations name the classes of %q differently", column)
			}
		}
		return lists[0], checkClasses(lists[0])
	}
	return nil, err
}

// hubFeature is a column as Hugging Face's datasets describes it.
type hubFeature struct {
	Type  string   `json:"_type"`
	Names []string `json:"names"`
}

// infoClasses are a column's classes in each configuration of dataset_infos.json.
func infoClasses(text []byte, column string) (lists [][]string, err error) {
	var configs map[string]struct {
		Features map[string]json.RawMessage `json:"features"`
	}
	if err := json.Unmarshal(text, &configs); err != nil {
		return nil, err
	}
	for _, name := range sortedNames(configs) {
		var f hubFeature
		if json.Unmarshal(configs[name].Features[column], &f) == nil && f.Type == "ClassLabel" && len(f.Names) > 0 {
			lists = append(lists, f.Names)
		}
	}
	return lists, nil
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cardClasses are a column's classes in each configuration of a card: the names
// of dataset_info.features[].dtype.class_label, by number.
func cardClasses(text []byte, column string) (lists [][]string, err error) {
	front, ok := frontMatter(text)
	if !ok {
		return nil, nil
	}
	pairs, err := yamlfile.Parse(front)
	if err != nil {
		return nil, err
	}
	info, ok := field(pairs, "dataset_info")
	if !ok {
		return nil, nil
	}
	configs := []yamlfile.Value{info}
	if info.Kind() == yamlfile.List {
		configs = info.Items()
	}
	for _, config := range configs {
		features, ok := value(config, "features")
		if !ok || features.Kind() != yamlfile.List {
			continue
		}
		for _, feature := range features.Items() {
			name, named := value(feature, "name")
			names, found := value(feature, "dtype", "class_label", "names")
			if !named || !found || name.Text() != column {
				continue
			}
			list, err := cardNames(names)
			if err != nil {
				return nil, err
			}
			lists = append(lists, list)
		}
	}
	return lists, nil
}

// cardNames reads names by number, or a list of them.
func cardNames(names yamlfile.Value) (list []string, err error) {
	if names.Kind() == yamlfile.List {
		for _, item := range names.Items() {
			list = append(list, item.Text())
		}
		return list, nil
	}
	pairs, err := names.Pairs()
	if err != nil {
		return nil, err
	}
	list = make([]string, len(pairs))
	for _, p := range pairs {
		k, err := strconv.Atoi(p.Key)
		if err != nil || k < 0 || k >= len(list) || list[k] != "" {
			return nil, fmt.Errorf("line %d: class %q: want each number from 0 to %d once", p.Line, p.Key, len(list)-1)
		}
		list[k] = p.Value.Text()
	}
	return list, nil
}

// frontMatter is the YAML between two lines of three hyphens that a text begins with.
func frontMatter(text []byte) ([]byte, bool) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	rest, ok := bytes.CutPrefix(text, []byte("---\n"))
	if !ok {
		return nil, false
	}
	front, _, ok := bytes.Cut(rest, []byte("\n---"))
	return front, ok
}

// value follows keys through mappings.
func value(v yamlfile.Value, keys ...string) (yamlfile.Value, bool) {
	for _, key := range keys {
		if v.Kind() != yamlfile.Mapping {
			return v, false
		}
		pairs, err := v.Pairs()
		if err != nil {
			return v, false
		}
		var ok bool
		if v, ok = field(pairs, key); !ok {
			return v, false
		}
	}
	return v, true
}

func field(pairs []yamlfile.Pair, key string) (yamlfile.Value, bool) {
	for _, p := range pairs {
		if p.Key == key {
			return p.Value, true
		}
	}
	return yamlfile.Value{}, false
}
