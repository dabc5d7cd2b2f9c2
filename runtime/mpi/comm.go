package mpi

import (
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"winnow/internal/guard"
)

// Comm is this process's place in a job, and its way to the others. Every
// process makes the same calls in the same order.
type Comm struct {
	Rank, Size int
	Local      int    // this process's number on its machine
	Beside     int    // how many of the job are there; 1 where that is not told
	Library    string // what the library says of itself
	CUDA       bool   // SumAt takes what lies on a GPU: the library says so, or the user by CUDAVariable

	library *library
	work    chan func() error
	done    chan error

	// Arguments of a call and the functions that make it, so that none allocates.
	floats              unsafe.Pointer
	count               int
	wide                []float64
	bytes               []byte
	sum, sumWide, bcast func() error
}

// joined is the job of this process: MPI begins and ends once in it.
var joined struct {
	sync.Mutex
	comm *Comm
}

// Join takes part in the job that the launcher began. It is nil for a process
// alone. Errors wrap ErrNoLibrary or ErrJob.
func Join() (*Comm, error) {
	joined.Lock()
	defer joined.Unlock()
	if joined.comm != nil {
		return joined.comm, nil
	}
	l, ok, err := find(os.Getenv)
	if err != nil || !ok {
		return nil, err
	}
	c := &Comm{work: make(chan func() error), done: make(chan error)}
	c.sum = func() error { return c.library.sum32(c.floats, c.count) }
	c.sumWide = func() error { return c.library.sum64(c.wide) }
	c.bcast = func() error { return c.library.share(c.bytes) }
	guard.Go(c.serve, func(error) {})
	if err := c.do(func() error { return c.begin(l) }); err != nil {
		close(c.work)
		return nil, err
	}
	joined.comm = c
	return c, nil
}

// serve makes all calls, on one thread of the system that ends with it.
func (c *Comm) serve() error {
	goruntime.LockOSThread()
	for f := range c.work {
		c.done <- guard.Call(f)
	}
	return nil
}

func (c *Comm) do(f func() error) error {
	c.work <- f
	return <-c.done
}

// begin opens the library and holds what it says against the launcher.
func (c *Comm) begin(l launched) (err error) {
	if c.library, err = open(l.family); err != nil {
		return err
	}
	if c.Rank, c.Size, err = c.library.init(); err != nil {
		return err
	}
	c.Library = c.library.version()
	switch os.Getenv(CUDAVariable) {
	case "on":
		c.CUDA = true
	case off:
	default:
		c.CUDA = c.library.takesCUDA()
	}
	if l.size > 1 && c.Size != l.size || c.Rank != l.rank && l.size != 0 {
		return jobError("the launcher started rank %d of %d, %s (%s) knows rank %d of %d: they do not belong together; set %s to the library of the launcher",
			l.rank, l.size, c.library.name, c.Library, c.Rank, c.Size, Variable)
	}
	c.Local, c.Beside = number(localRanks, c.Rank), max(1, number(localSizes, 1))
	return nil
}

// number is the first of the variables that has one, or def.
func number(names []string, def int) int {
	for _, name := range names {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n >= 0 {
			return n
		}
	}
	return def
}

// Sum makes x the sum of every process's x, all of one length.
func (c *Comm) Sum(x []float32) error {
	if len(x) == 0 {
		return nil
	}
	err := c.SumAt(unsafe.Pointer(&x[0]), len(x))
	goruntime.KeepAlive(x)
	return err
}

// SumAt is Sum of n numbers of float32 at an address, on the GPU where CUDA is
// set and OnThread has made it the thread's.
func (c *Comm) SumAt(p unsafe.Pointer, n int) error {
	c.floats, c.count = p, n
	return c.do(c.sum)
}

// OnThread calls a function on the thread that makes all calls.
func (c *Comm) OnThread(f func() error) error { return c.do(f) }

// SumWide is Sum in float64.
func (c *Comm) SumWide(x []float64) error {
	c.wide = x
	return c.do(c.sumWide)
}

// Broadcast makes data that of rank 0, all of one length.
func (c *Comm) Broadcast(data []byte) error {
	c.bytes = data
	return c.do(c.bcast)
}

// linger is how long a launcher gets to read what a process wrote before it ends
// the job: MPICH's drops the rest.
const linger = 200 * time.Millisecond

// Leave ends this process's part of its job, if it has one: with the others
// where agreed is true, else by ending all of them with an exit code. A rank
// other than 0 gives a lower one the time to end the job for the same reason.
func Leave(agreed bool, code int) error {
	joined.Lock()
	defer joined.Unlock()
	c := joined.comm
	if c == nil {
		return nil
	}
	joined.comm = nil
	if agreed {
		return c.do(c.library.finalize)
	}
	time.Sleep(linger)
	return c.do(func() error {
		c.library.abort(code)
		return fmt.Errorf("mpi: MPI_Abort came back")
	})
}
