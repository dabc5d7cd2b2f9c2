// Package missing is for tests of what a machine may lack.
package missing

import (
	"os"
	"testing"
)

// Skip skips a test for the reason given, or fails it where CI=true promises
// that nothing is missing.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
