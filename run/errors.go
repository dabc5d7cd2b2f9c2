package run

import "errors"

// Sentinels of the package.
var (
	ErrExists     = errors.New("the folder already holds a run")
	ErrForeign    = errors.New("the folder holds what is not of a run, and is never replaced")
	ErrNoRun      = errors.New("not a finished run")
	ErrBadRun     = errors.New("bad run file")
	ErrCheckpoint = errors.New("no whole checkpoint")
	ErrNothing    = errors.New("no checkpoint to go on from")
)
