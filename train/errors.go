package train

import (
	"errors"
	"fmt"

	"winnow/internal/option"
)

// Sentinels of the package.
var (
	ErrOptions   = option.ErrInvalid
	ErrBadData   = errors.New("data and bundle contradict each other")
	ErrWeights   = errors.New("no weights for the bundle")
	ErrReference = errors.New("bad reference set")
	ErrNotFinite = errors.New("the loss is not finite")
	// ErrDisagree is wrapped where processes that train together differ.
	ErrDisagree = errors.New("the processes of the job differ")
	// ErrNotFiniteState is wrapped where weights or other state became NaN or infinite.
	ErrNotFiniteState = errors.New("the state is not finite")
)

func optionError(name string, format string, args ...any) error {
	return option.Errorf("train", name, format, args...)
}

func dataError(format string, args ...any) error {
	return fmt.Errorf("train: %w: %s", ErrBadData, fmt.Sprintf(format, args...))
}
