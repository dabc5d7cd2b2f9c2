package experiment

import (
	"errors"
	"fmt"
)

// Sentinels of the package.
var (
	ErrPlan   = errors.New("no plan of an experiment")
	ErrOther  = errors.New("other options")
	ErrFailed = errors.New("runs failed")
)

// ChildError is a run that ended with another exit code than 0.
type ChildError struct {
	Run  string
	Code int
	Text string // its last line of error
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("experiment: run %q: %s", e.Run, e.Text)
}
