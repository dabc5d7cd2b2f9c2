package train

import (
	"errors"
	"fmt"
)

// Sentinels of the package.
var (
	ErrOptions   = errors.New("invalid option")
	ErrBadData   = errors.New("data and bundle contradict each other")
	ErrReference = errors.New("bad reference set")
	ErrRunExists = errors.New("the folder already holds a run")
	ErrForeign   = errors.New("the folder holds what is not of a run, and is never replaced")
	ErrNotFinite = errors.New("the loss is not finite")
	// ErrNotFiniteState is wrapped where weights or other state became NaN or infinite.
	ErrNotFiniteState = errors.New("the state is not finite")
)

func optionError(name string, format string, args ...any) error {
	return fmt.Errorf("train: %w %q: %s", ErrOptions, name, fmt.Sprintf(format, args...))
}

func dataError(format string, args ...any) error {
	return fmt.Errorf("train: %w: %s", ErrBadData, fmt.Sprintf(format, args...))
}
