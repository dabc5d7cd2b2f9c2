package loader

import (
	"errors"

	"winnow/internal/option"
)

var (
	// ErrOptions marks an option out of range.
	ErrOptions = option.ErrInvalid
	// ErrBadData marks a file that is not what its name or header claims, or
	// a label outside the class range.
	ErrBadData = errors.New("bad data")
	// ErrBusy is returned by Loader.Epoch while an earlier Iterator is open.
	ErrBusy = errors.New("the previous epoch is still open")
	// ErrClosed is returned by an operation on a closed source or iterator.
	ErrClosed = errors.New("closed")
	// ErrIndex marks a sample index outside the source.
	ErrIndex = errors.New("sample index out of range")
)
