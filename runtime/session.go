package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"winnow/internal/guard"

	ort "github.com/yalue/onnxruntime_go"
	"google.golang.org/protobuf/encoding/protowire"
)

// sessionOptions are how a session runs its graph.
type sessionOptions struct {
	profile string // starts the path of the file that its profile goes to; "" is none
	capture bool   // the CUDA provider records runs
}

// session makes a session for a graph on the device.
func (d *Device) session(model []byte, o sessionOptions) (*ort.DynamicAdvancedSession, error) {
	if o.profile == "" {
		o.profile = d.options.profile
	}
	options, err := d.newSessionOptions(o)
	if err != nil {
		return nil, err
	}
	session, err := wait(d.options.Context, func() (*ort.DynamicAdvancedSession, error) {
		defer options.Destroy() //nolint:errcheck // frees memory, cannot fail
		return ort.NewDynamicAdvancedSessionWithONNXData(model, nil, nil, options)
	}, func() { d.options.Preparing(nodeCount(model)) })
	if ctx := d.options.Context; err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, fmt.Errorf("interrupted while ONNX Runtime prepared the graph: %w", err)
	} else if errors.Is(err, guard.ErrPanic) {
		return nil, err
	} else if err != nil {
		return nil, sessionError(oneLine(strings.TrimPrefix(err.Error(), "Error creating C session: ")))
	}
	return session, nil
}

// sessionError is what ONNX Runtime says of a graph that it cannot load or run: the graph's fault unless it speaks of memory or of the device.
func sessionError(message string) error {
	for _, word := range []string{"CUDA", "CUBLAS", "CUDNN", "alloc", "memory"} {
		if strings.Contains(message, word) {
			return nativeError(message)
		}
	}
	return fmt.Errorf("%w: %s", ErrGraph, message)
}

// moment is how long a session may take to make before something is said.
const moment = 2 * time.Second

// wait makes a session on a thread of its own: ONNX Runtime cannot be stopped
// in it. Once ctx ends, the wait does, and what was being made is closed when
// it is done; until then it keeps everything that it uses. slow is called once
// if it takes longer than a moment.
func wait[T interface{ Destroy() error }](ctx context.Context, create func() (T, error), slow func()) (T, error) {
	type made struct {
		session T
		err     error
	}
	done := make(chan made, 1)
	var session T
	guard.Go(func() (err error) {
		session, err = create()
		return err
	}, func(err error) { done <- made{session, err} })
	late := time.NewTimer(moment)
	defer late.Stop()
	for {
		select {
		case m := <-done:
			return m.session, m.err
		case <-late.C:
			slow()
		case <-ctx.Done():
			guard.Go(func() error {
				if m := <-done; m.err == nil {
					return m.session.Destroy()
				}
				return nil
			}, func(error) {}) // nobody is left to tell
			var none T
			return none, context.Cause(ctx)
		}
	}
}

// nodeCount counts the nodes of the main graph of an ONNX file.
func nodeCount(model []byte) int {
	const graph, node = 7, 1 // of ModelProto, of GraphProto
	count := 0
	for range fieldsOf(fieldOf(model, graph), node) {
		count++
	}
	return count
}

func fieldOf(message []byte, number protowire.Number) []byte {
	for b := range fieldsOf(message, number) {
		return b
	}
	return nil
}

// fieldsOf goes over the values of a field of bytes.
func fieldsOf(message []byte, number protowire.Number) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(message) > 0 {
			n, kind, tag := protowire.ConsumeTag(message)
			if tag < 0 {
				return
			}
			size := protowire.ConsumeFieldValue(n, kind, message[tag:])
			if size < 0 {
				return
			}
			if n == number && kind == protowire.BytesType {
				if v, _ := protowire.ConsumeBytes(message[tag:]); !yield(v) {
					return
				}
			}
			message = message[tag+size:]
		}
	}
}
