package runtime

import (
	"context"
	"errors"
	"testing"
)

// slowSession is a session whose making the test decides on.
type slowSession struct{ destroyed chan struct{} }

func (s slowSession) Destroy() error {
	close(s.destroyed)
	return nil
}

// The end of the context ends the wait at once, and what was being made is
// closed once it is done.
func TestTheWaitForASessionEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	session := slowSession{make(chan struct{})}
	started, goOn := make(chan struct{}), make(chan struct{})
	go func() {
		<-started
		cancel()
	}()
	_, err := wait(ctx, func() (slowSession, error) {
		close(started)
		<-goOn
		return session, nil
	}, func() {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-session.destroyed:
		t.Error("destroyed while it was being made")
	default:
	}
	close(goOn)
	<-session.destroyed
}

func TestASlowSessionIsToldOf(t *testing.T) {
	told := make(chan struct{})
	s, err := wait(context.Background(), func() (slowSession, error) {
		<-told // nothing else ends the making
		return slowSession{make(chan struct{})}, nil
	}, func() { close(told) })
	if err != nil || s.destroyed == nil {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestNodeCount(t *testing.T) {
	if n := nodeCount(nodesModel("", "Identity", Float32, Int64, Bool)); n != 3 {
		t.Errorf("%d nodes, want 3", n)
	}
	for _, b := range [][]byte{nil, {0xff}, {0x3a, 0x7f}} {
		if n := nodeCount(b); n != 0 {
			t.Errorf("%x: %d nodes", b, n)
		}
	}
}

// What the library says of a bad graph wraps ErrGraph; an ended context ends the making of a session.
func TestBadGraphsAndEndedContexts(t *testing.T) {
	d := device(t, Options{Device: "cpu"})
	if _, err := d.session(nodesModel("", "NoSuchOperator", Float32), sessionOptions{}); !errors.Is(err, ErrGraph) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ended := device(t, Options{Device: "cpu", Context: ctx})
	if _, err := ended.session(nodesModel("", "Identity", Float32), sessionOptions{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
