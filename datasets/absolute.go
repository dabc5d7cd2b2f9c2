package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pathSettings are the settings of a spec whose values are paths.
var pathSettings = []string{"root"}

// Absolute is a spec whose relative paths, which begin at dir, are absolute, so
// that it means the same from any folder. A spec that has none, and one that
// cannot be parsed, stays as it is; so does a text without a kind that is no path.
func Absolute(text, dir string) string {
	s, err := parseSpec(text, Kinds())
	if err != nil || s.name == "" && !there(under(dir, s.path)) {
		return text
	}
	var items []string
	placed := false
	rest := text
	if s.name != "" {
		_, rest, _ = strings.Cut(text, ":")
	}
	for more := rest != ""; more; {
		var item string
		var quoted bool
		if item, rest, quoted, more, err = nextItem(rest); err != nil {
			return text
		}
		key, value, ok := strings.Cut(item, "=")
		_, known := s.settings[key]
		switch setting := ok && known && !quoted; {
		case setting && slices.Contains(pathSettings, key) && value != "" && !strings.Contains(under(dir, value), ","):
			items = append(items, key+"="+under(dir, value))
		case setting:
			items = append(items, item)
		case !placed: // the path, with all its parts
			items, placed = append(items, quotedPath(under(dir, s.path))), true
		}
	}
	whole := strings.Join(items, ",")
	if s.name != "" && whole != "" {
		whole = s.name + ":" + whole
	}
	if again, err := parseSpec(whole, Kinds()); err != nil || again.path != under(dir, s.path) && s.path != "" || unchanged(s, again) {
		return text
	}
	return whole
}

// unchanged is whether two specs are the same but for how they are written.
func unchanged(a, b *spec) bool {
	if a.path != b.path {
		return false
	}
	for _, key := range pathSettings {
		if a.settings[key] != b.settings[key] {
			return false
		}
	}
	return true
}

// under is a path that begins at dir.
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func there(path string) bool {
	_, err := os.Stat(path)
	return path != "" && err == nil
}

// quotedPath is a path as a spec has it: in quotes where it would be taken apart.
func quotedPath(path string) string {
	if !strings.ContainsAny(path, `,="`) {
		return path
	}
	return `"` + strings.ReplaceAll(path, `"`, `""`) + `"`
}
