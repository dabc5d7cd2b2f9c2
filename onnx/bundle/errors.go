package bundle

import (
	"errors"
	"fmt"
)

// Sentinels of the package; every error it returns about a bundle's content wraps one of them.
var (
	ErrNotBundle     = errors.New("not a training bundle")
	ErrUnknownFormat = errors.New("unknown bundle format")
	ErrInvalid       = errors.New("invalid bundle")
	ErrSafetensors   = errors.New("not a valid safetensors file")
	ErrTooLarge      = errors.New("file too large")
	ErrExists        = errors.New("folder holds other files")
)

// problem is one finding of Validate.
type problem struct{ msg string }

func (p *problem) Error() string        { return "bundle: " + p.msg }
func (p *problem) Is(target error) bool { return target == ErrInvalid }

var _ error = (*problem)(nil)

func problemf(format string, args ...any) error {
	return &problem{fmt.Sprintf(format, args...)}
}

// missing is a file that a bundle must have.
type missing struct {
	file string
	err  error
}

func (m *missing) Error() string        { return "lacks " + m.file }
func (m *missing) Is(target error) bool { return target == ErrInvalid }
func (m *missing) Unwrap() error        { return m.err }

var _ error = (*missing)(nil)
