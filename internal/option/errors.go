package option

import (
	"errors"
	"fmt"
)

// ErrInvalid is wrapped by what Errorf makes.
var ErrInvalid = errors.New("invalid option")

// Errorf says, for a package, what is wrong with an option, by the name that a
// user gives it.
func Errorf(pkg, name, format string, args ...any) error {
	return fmt.Errorf("%s: %w %q: %s", pkg, ErrInvalid, name, fmt.Sprintf(format, args...))
}
