package runtime

import (
	goruntime "runtime"

	"winnow/internal/guard"
)

// thread runs functions on one thread of the system, one at a time.
type thread struct {
	work chan func() error
	done chan error
}

func newThread() *thread {
	t := &thread{work: make(chan func() error), done: make(chan error)}
	guard.Go(func() error {
		goruntime.LockOSThread() // and never unlocked: the thread ends with the function
		for f := range t.work {
			t.done <- guard.Call(f)
		}
		return nil
	}, func(error) {})
	return t
}

func (t *thread) do(f func() error) error {
	t.work <- f
	return <-t.done
}

func (t *thread) close() { close(t.work) }
