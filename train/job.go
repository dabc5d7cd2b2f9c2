package train

import (
	"context"
	"errors"
	"fmt"

	"winnow/loader"
)

// Comm adds and shares numbers between the processes of a job. Each call is
// made by all of them, in one order.
type Comm interface {
	Sum(x []float32) error       // every x becomes the sum of all
	SumWide(x []float64) error   // the same
	Broadcast(data []byte) error // every data becomes rank 0's, of one length
}

// Job is a process's place among those that train together. The zero value is a
// process alone.
type Job struct {
	Rank, Size int
	Comm       Comm
}

// alone is whether no other process takes part.
func (j *Job) alone() bool { return j.Size <= 1 }

// leads is whether this process writes and speaks for all.
func (j *Job) leads() bool { return j.Rank == 0 }

// shard is this process's part of each batch.
func (j *Job) shard() loader.Shard { return loader.Shard{Index: j.Rank, Of: max(j.Size, 1)} }

// errElsewhere is the cause of a stop that another process was asked for.
var errElsewhere = fmt.Errorf("another process of the job was told to stop: %w", context.Canceled)

// agreed marks an error that every process of a job has come to in the same step.
type agreed struct{ error }

func (a agreed) Unwrap() error { return a.error }

// Agreed is whether every process of a job ends with this error, each by itself.
func Agreed(err error) bool {
	var a agreed
	return err == nil || errors.As(err, &a)
}
