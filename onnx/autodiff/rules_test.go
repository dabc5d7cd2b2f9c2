package autodiff

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A rule stands in the file that its heading in the table names.
func TestRulesStandUnderTheirHeadings(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "rules.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	headings := map[int]string{} // by line
	for _, group := range file.Comments {
		if name := regexp.MustCompile(`rules_\w+\.go`).FindString(group.Text()); name != "" {
			headings[fset.Position(group.Pos()).Line] = name
		}
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		rule := entry.Value
		if call, ok := rule.(*ast.CallExpr); ok { // a rule made of another
			rule = call.Fun
		}
		name := rule.(*ast.Ident).Name
		line := fset.Position(entry.Pos()).Line
		for headings[line] == "" && line > 0 {
			line--
		}
		text, err := os.ReadFile(headings[line])
		if err != nil || !strings.Contains(string(text), "\nfunc "+name+"(") {
			t.Errorf("%s is not in %q: %v", name, headings[line], err)
		}
		seen++
		return false
	})
	if seen != len(Rules) {
		t.Errorf("%d of %d rules are under a heading", seen, len(Rules))
	}
}
