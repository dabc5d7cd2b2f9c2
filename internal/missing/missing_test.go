package missing

import (
	"strings"
	"testing"
)

// record notes what is called of a test.
type record struct {
	testing.TB
	called string
}

func (r *record) Helper()               {}
func (r *record) Fatalf(string, ...any) { r.called += "fatal" }
func (r *record) Skipf(string, ...any)  { r.called += "skip" }

func TestSkip(t *testing.T) {
	t.Setenv("CI", "")
	var r record
	if Skip(&r, "no %s", "disk"); r.called != "skip" {
		t.Errorf("called %q", r.called)
	}
	t.Setenv("CI", "true")
	r.called = ""
	// A real test ends at Fatalf; what comes after it here is of no account.
	if Skip(&r, "no %s", "disk"); !strings.HasPrefix(r.called, "fatal") {
		t.Errorf("under CI=true called %q", r.called)
	}
}
