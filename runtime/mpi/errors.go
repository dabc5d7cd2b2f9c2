package mpi

import (
	"errors"
	"fmt"
)

// ErrNoLibrary is wrapped where a job has no MPI library that can be used.
var ErrNoLibrary = errors.New("no MPI library")

// ErrJob is wrapped where launcher and library do not agree on a job.
var ErrJob = errors.New("not a job of MPI")

func jobError(format string, args ...any) error {
	return fmt.Errorf("mpi: %w: %s", ErrJob, fmt.Sprintf(format, args...))
}
