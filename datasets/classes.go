package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"winnow/internal/files"
	"winnow/internal/option"
	"winnow/loader"
)

// classFile lists the classes beside what Convert writes, as a JSON list of
// names: the order that labels had, which names sorted would not give back.
const classFile = "winnow-classes.json"

// maxClassFile bounds a list of classes in bytes.
const maxClassFile = 1 << 26

// classesRow is the setting classes of formats whose files may not name them.
func classesRow[T any](field func(*T) *string) option.Row[T] {
	return option.Row[T]{Name: "classes", Doc: "`FILE` of the class names, a line each or a JSON list, in the order of the labels", Default: "",
		Field: func(o *T) any { return field(o) }}
}

// classList are the names in the file asked for, else in classFile of a folder;
// nil where there is neither.
func (d *Dataset) classList(asked, dir string) ([]string, error) {
	path := asked
	if asked == "" {
		path = filepath.Join(dir, classFile)
	}
	text, err := files.Read(path, maxClassFile)
	if asked == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("classes %q: %w", path, reason(err))
	}
	names, err := parseClasses(text)
	if err != nil {
		return nil, fmt.Errorf("classes %q: %w: %w", path, loader.ErrBadData, err)
	}
	if asked == "" {
		d.notef("the %d classes are those of %s, in its order", len(names), path)
	}
	return names, nil
}

// parseClasses reads a JSON list of names, or lines.
func parseClasses(text []byte) (names []string, err error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	whole := strings.TrimPrefix(string(text), "\ufeff")
	if strings.HasPrefix(strings.TrimSpace(whole), "[") {
		if err := json.Unmarshal([]byte(whole), &names); err != nil {
			return nil, fmt.Errorf("no JSON list of names: %w", err)
		}
	} else {
		for line := range strings.Lines(whole) {
			names = append(names, strings.TrimRight(line, "\r\n"))
		}
	}
	return names, checkClasses(names)
}

// checkClasses refuses lists that name no classes.
func checkClasses(names []string) error {
	if len(names) == 0 || len(names) > maxManifestClasses {
		return fmt.Errorf("%d names: want 1 to %d", len(names), maxManifestClasses)
	}
	if k := slices.Index(names, ""); k >= 0 {
		return fmt.Errorf("the name of class %d is empty", k)
	}
	return nil
}

// classIndex is where each name of a list stands.
func classIndex(list []string) (map[string]int64, error) {
	at := make(map[string]int64, len(list))
	for k, name := range list {
		if _, twice := at[name]; twice {
			return nil, fmt.Errorf("%w: two classes are named %q", loader.ErrBadData, name)
		}
		at[name] = int64(k)
	}
	return at, nil
}

// classFolder is a class's name as that of a folder: itself, but for what a
// folder cannot be called or is passed over, which is escaped as in a URL.
func classFolder(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\%`, r) }) {
		name = url.PathEscape(name)
	}
	if rest, hidden := strings.CutPrefix(name, "."); hidden {
		name = "%2E" + rest
	}
	return name
}

// folderIndex is the class of each folder's name: as Convert writes a class's
// name, or as it is; nil for no list.
func folderIndex(list []string) (map[string]int64, error) {
	if list == nil {
		return nil, nil
	}
	folders := make([]string, len(list))
	for k, name := range list {
		folders[k] = classFolder(name)
	}
	at, err := classIndex(folders)
	for k, name := range list {
		if _, ok := at[name]; !ok && err == nil {
			at[name] = int64(k)
		}
	}
	return at, err
}

// labelClasses maps labels to the classes of a list: by number where all are
// numbers, else by name. Without a list the classes are the numbers up to the
// largest, or the names sorted.
func labelClasses(labels, list []string) (names []string, classOf func(string) int64, err error) {
	names, classOf, err = manifestClasses(labels, 0)
	if err != nil || list == nil {
		return names, classOf, err
	}
	if !slices.ContainsFunc(labels, func(label string) bool { return strings.Trim(label, "0123456789") != "" }) {
		if len(names) > len(list) {
			return nil, nil, fmt.Errorf("%w: label %d: the data names %d classes", loader.ErrBadData, len(names)-1, len(list))
		}
		return list, classOf, nil
	}
	at, err := classIndex(list)
	if err != nil {
		return nil, nil, err
	}
	for _, label := range labels {
		if _, ok := at[label]; !ok {
			return nil, nil, fmt.Errorf("%w: label %q is none of the %d classes that the data names", loader.ErrBadData, label, len(list))
		}
	}
	return list, func(label string) int64 { return at[label] }, nil
}
