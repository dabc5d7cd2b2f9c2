package export

import (
	"fmt"
	"strings"
)

// shownNames bounds how many names a notice spells out.
const shownNames = 8

// quoted lists the first of names, and says how many more there are.
func quoted(names []string) string {
	var list []string
	for _, name := range names[:min(len(names), shownNames)] {
		list = append(list, fmt.Sprintf("%q", name))
	}
	more := ""
	if len(names) > shownNames {
		more = fmt.Sprintf(" and %d more", len(names)-shownNames)
	}
	return strings.Join(list, ", ") + more
}

// RenamedNotice says what opset.Rename did.
func RenamedNotice(twice []string) string {
	return "the file gives some names to several values, and a use is taken to mean the last one before it: " + quoted(twice)
}
