package prune

import (
	"errors"
	"fmt"

	"winnow/internal/option"
)

// Sentinels, for errors.Is.
var (
	ErrOptions   = option.ErrInvalid
	ErrMethod    = errors.New("unknown pruning method")
	ErrNeedsLoss = errors.New("needs per-sample losses")
	ErrBadLoss   = errors.New("loss is not a finite number")
	ErrIndex     = errors.New("sample index out of range")
	ErrLength    = errors.New("lengths differ")
	ErrOrder     = errors.New("epoch out of order")
	ErrReport    = errors.New("report of a kind the scorer does not take")
	ErrReference = errors.New("no reference loss")
	ErrState     = errors.New("saved state cannot be used")
)

// shownIndices bounds how many sample indices an error message spells out.
const shownIndices = 8

// LossError is the error for a NaN or infinite loss. Nothing of the report
// that carried it was recorded.
type LossError struct {
	Report  string   // "batch loss", "sample losses" or "reference loss"
	Indices []uint32 // the samples concerned; for a batch loss the whole batch
}

// Error names the samples, the first eight of them.
func (e *LossError) Error() string {
	if len(e.Indices) == 0 {
		return fmt.Sprintf("prune: observe %q: %v", e.Report, ErrBadLoss)
	}
	shown := e.Indices
	more := ""
	if len(shown) > shownIndices {
		more = fmt.Sprintf(" and %d more", len(shown)-shownIndices)
		shown = shown[:shownIndices]
	}
	return fmt.Sprintf("prune: observe %q: %v: samples %v%s", e.Report, ErrBadLoss, shown, more)
}

// Unwrap gives ErrBadLoss.
func (e *LossError) Unwrap() error { return ErrBadLoss }
