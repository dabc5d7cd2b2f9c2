package cli

import (
	"context"
	"io"
	"os"
	"time"

	ortrun "winnow/runtime"
	"winnow/runtime/mpi"
	"winnow/train"
)

// join takes part in the job that a launcher of MPI began, if there is one:
// rank 0 speaks for all, and each process takes a GPU of its own.
func (o *trainOptions) join(out *output) (*output, error) {
	c, err := mpi.Join()
	if err != nil || c == nil || c.Size == 1 {
		return out, err
	}
	o.Job = train.Job{Rank: c.Rank, Size: c.Size, Comm: c}
	o.Device.local, o.Device.beside = c.Local, c.Beside
	o.library, o.comm = c.Library, c
	if c.Rank > 0 {
		o.Quiet = true
		out = newOutput(io.Discard, io.Discard)
	}
	return out, nil
}

// direct lets a library that takes what lies on a GPU add up the gradients there,
// without a way through the host's memory.
func (o *trainOptions) direct(device *ortrun.Device) error {
	if o.comm == nil || !o.comm.CUDA || device.Provider() == ortrun.CPUProvider && os.Getenv(mpi.CUDAVariable) == "" {
		return nil
	}
	o.Job.Direct = true
	o.library += ", gradients as they lie on the device"
	return o.comm.OnThread(device.TakeThread)
}

// meet waits until every process of the job is here: what one of them reads,
// none has changed before.
func (o *trainOptions) meet() error {
	if o.Job.Size <= 1 {
		return nil
	}
	return o.Job.Comm.SumWide([]float64{1})
}

// spokesman is how long a process waits for rank 0 to say what is wrong.
const spokesman = time.Second

// Speaks is whether this process is the one of its job to report an error. One
// that another rank may have too is left to rank 0, which ends the job with it.
func Speaks(ctx context.Context, err error) bool {
	rank, job := mpi.InJob()
	if !job || rank == 0 {
		return true
	}
	if train.Agreed(err) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(spokesman):
		return true
	}
}

// Leave ends this process's part in its job, and the job where it alone has failed.
func Leave(err error, code int) { _ = mpi.Leave(train.Agreed(err), code) } // nobody is left to tell

// Follows is whether this process leaves it to another one to speak to the user.
func Follows() bool {
	rank, job := mpi.InJob()
	return job && rank > 0
}
