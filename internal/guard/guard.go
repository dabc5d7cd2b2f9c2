// Package guard turns panics into errors. Every goroutine of the program runs
// under it, the first one in main.go, so that a fault of the code ends in one
// sentence, with what was saved before it whole. What the Go runtime ends by
// itself, such as running out of memory, is no panic.
package guard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// ErrPanic marks a fault of the program.
var ErrPanic = errors.New("a fault of the program")

// Panic is a panic as an error: one line that says where in the code it was.
type Panic struct {
	value any
	at    string
	stack []byte
}

func (p *Panic) Error() string {
	text, _, _ := strings.Cut(fmt.Sprint(p.value), "\n")
	return fmt.Sprintf("%v: %s, at %s", ErrPanic, text, p.at)
}

// Unwrap gives ErrPanic alone: a fault of the program has the exit code of none
// of the errors that it may have been about.
func (p *Panic) Unwrap() error { return ErrPanic }

// Stack is the value and the goroutine's stack, as Go prints them.
func (p *Panic) Stack() []byte { return fmt.Appendf(nil, "panic: %v\n\n%s", p.value, p.stack) }

// Caught is what recover gave as an error.
func Caught(v any) *Panic {
	if p, ok := v.(*Panic); ok { // of another goroutine
		return p
	}
	return &Panic{v, place(), debug.Stack()}
}

// Recover is deferred by a function that has to end with an error rather than a
// panic: err is the error that it returns.
func Recover(err *error) {
	if v := recover(); v != nil {
		*err = Caught(v)
	}
}

// place is where the code was that panicked: the last function outside Go's
// runtime that was called before it.
func place() string {
	var at [64]uintptr
	frames := runtime.CallersFrames(at[:runtime.Callers(1, at[:])])
	for panicked := false; ; {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
		case panicked && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// Call calls f. A panic in it is its error.
func Call(f func() error) (err error) {
	defer Recover(&err)
	return f()
}

// Go calls f in a goroutine of its own, and done with its error when it has ended.
func Go(f func() error, done func(error)) {
	go func() { done(Call(f)) }()
}

// Group are goroutines that are waited for. The zero value is ready.
type Group struct {
	wait  sync.WaitGroup
	first sync.Once
	panic *Panic
}

// Go calls f in a goroutine of the group.
func (g *Group) Go(f func()) {
	g.wait.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				p := Caught(v)
				g.first.Do(func() { g.panic = p })
			}
		}()
		f()
	})
}

// Wait waits for all of them. It panics where one of them has.
func (g *Group) Wait() {
	g.wait.Wait()
	if g.panic != nil {
		panic(g.panic)
	}
}

// Workers calls work in n goroutines and waits for them. The first error ends
// the others' context and is returned, or that of ctx.
func Workers(ctx context.Context, n int, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var g Group
	for range n {
		g.Go(func() {
			if err := Call(func() error { return work(ctx) }); err != nil {
				cancel(err)
			}
		})
	}
	g.Wait()
	return context.Cause(ctx)
}
