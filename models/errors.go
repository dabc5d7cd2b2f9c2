package models

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknown is wrapped by errors about a model of no known name.
var ErrUnknown = errors.New("unknown name")

func unknown(name string, known []string) error {
	return fmt.Errorf("models: model %q: %w; there are %s", name, ErrUnknown, strings.Join(known, ", "))
}
