package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Profile is what ONNX Runtime's profiler recorded of a session's runs.
type Profile struct {
	Runs  []time.Duration // wall time of each run, inside the library
	Nodes []ProfiledNode  // in the order in which they first ran
}

// ProfiledNode is a node of the graph that the session made of its model, in
// which nodes may be fused, renamed and added.
type ProfiledNode struct {
	Name, Op, Provider string
	In, Out            []Tensor   // of its first call, without inputs that are left out
	Calls              []NodeCall // in the order of runs; several a run in a loop's body
}

// Tensor is a value's element type, by ONNX Runtime's name for it, and shape.
type Tensor struct {
	Type  string
	Shape []int64
}

// NodeCall is one execution of a node. Time is the node's own, without that of
// nodes in its subgraphs, to the microsecond. On a provider that computes
// beside the CPU it is the time until the node's work was handed over.
type NodeCall struct {
	Run  int // index into Profile.Runs
	Time time.Duration
}

// ProfileSteps makes a trainer as NewTrainer does, whose session ONNX Runtime
// profiles, hands it to steps, closes it, and gives the profile of what it
// ran. The profile as ONNX Runtime writes it, JSON of trace events, goes to
// trace unless that is nil. Profiling itself takes time between nodes.
func (d *Device) ProfileSteps(spec TrainSpec, st *State, maxBatch int, trace io.Writer, steps func(*Trainer) error) (*Profile, error) {
	dir, err := os.MkdirTemp("", "winnow-profile-")
	if err != nil {
		return nil, fmt.Errorf("runtime: profile: %w", err)
	}
	defer os.RemoveAll(dir)
	t, err := d.newTrainer(spec, st, maxBatch, filepath.Join(dir, "profile"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(steps(t), t.Close()); err != nil { // the file is written when the session ends
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("runtime: profile: %w", err)
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("runtime: profile: ONNX Runtime left %d files in %q, want one", len(files), dir)
	}
	f, err := os.Open(filepath.Join(dir, files[0].Name()))
	if err != nil {
		return nil, fmt.Errorf("runtime: profile: %w", err)
	}
	defer f.Close()
	if trace != nil {
		if _, err := io.Copy(trace, f); err != nil {
			return nil, fmt.Errorf("runtime: profile: %w", err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("runtime: profile: %w", err)
		}
	}
	p, err := readProfile(f)
	if err != nil {
		return nil, fmt.Errorf("runtime: profile: %w", err)
	}
	return p, nil
}

// Bounds on a profile. ONNX Runtime keeps a million events, of one to two
// kilobytes each.
const (
	maxProfileBytes  = 4 << 30
	maxProfileEvents = 1 << 21
	maxEventBytes    = 1 << 20
	maxEventTime     = int64(24 * time.Hour / time.Microsecond)
)

var (
	errProfileTooLarge = fmt.Errorf("more than %d MB, or %d events: fewer steps make a smaller one", maxProfileBytes>>20, maxProfileEvents)
	errEventTooLarge   = fmt.Errorf("an event of more than %d KB", maxEventBytes>>10)
)

// traceEvent is an event of the profile in the Chrome trace format, as far as it
// is read. Times are in microseconds.
type traceEvent struct {
	Cat, Name string
	Start     int64 `json:"ts"`
	Dur       int64
	Args      struct {
		Op       string `json:"op_name"`
		Index    string `json:"node_index"`
		Provider string
		In       []map[string][]int64 `json:"input_type_shape"`
		Out      []map[string][]int64 `json:"output_type_shape"`
	}
}

// tensors reads a list of one-entry objects: a type with its shape.
func tensors(list []map[string][]int64) []Tensor {
	var all []Tensor
	for _, one := range list {
		for name, shape := range one {
			all = append(all, Tensor{name, shape})
		}
	}
	return all
}

// readProfile reads the array of events that ONNX Runtime writes. A run's
// event stands behind those of its nodes, and a node's behind those of the
// nodes in its subgraphs.
func readProfile(r io.Reader) (*Profile, error) {
	source := &bounded{r: r, total: maxProfileBytes, event: maxEventBytes}
	dec := json.NewDecoder(source)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("not a JSON array of events")
	}
	p := &Profile{}
	known := map[string]int{}
	var inner []traceEvent // nodes of this run that no enclosing node was seen of
	for n := 0; dec.More(); n++ {
		source.event = maxEventBytes
		var e traceEvent
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("event %d: %w", n, err)
		}
		switch {
		case n == maxProfileEvents:
			return nil, errProfileTooLarge
		case e.Start < 0 || e.Dur < 0 || e.Dur > maxEventTime:
			return nil, fmt.Errorf("event %d: %q starts at %d us and takes %d us", n, e.Name, e.Start, e.Dur)
		case e.Cat == "Session" && e.Name == "model_run":
			p.Runs = append(p.Runs, time.Duration(e.Dur)*time.Microsecond)
			inner = inner[:0]
		}
		name, ok := strings.CutSuffix(e.Name, "_kernel_time")
		if e.Cat != "Node" || !ok {
			continue
		}
		own := e.Dur
		for len(inner) > 0 && inner[len(inner)-1].Start >= e.Start {
			own -= inner[len(inner)-1].Dur
			inner = inner[:len(inner)-1]
		}
		inner = append(inner, e)
		key := name + "\x00" + e.Args.Op + "\x00" + e.Args.Index
		i, ok := known[key]
		if !ok {
			i = len(p.Nodes)
			known[key] = i
			p.Nodes = append(p.Nodes, ProfiledNode{Name: name, Op: e.Args.Op, Provider: e.Args.Provider, In: tensors(e.Args.In), Out: tensors(e.Args.Out)})
		}
		p.Nodes[i].Calls = append(p.Nodes[i].Calls, NodeCall{Run: len(p.Runs), Time: time.Duration(max(own, 0)) * time.Microsecond})
	}
	if _, err := dec.Token(); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("the array of events does not end: %w", err)
	}
	return p, nil
}

// bounded reads so many bytes in all, and so many for one event.
type bounded struct {
	r            io.Reader
	total, event int64
}

func (b *bounded) Read(p []byte) (int, error) {
	switch {
	case b.total <= 0:
		return 0, errProfileTooLarge
	case b.event <= 0:
		return 0, errEventTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.total, b.event)])
	b.total -= int64(n)
	b.event -= int64(n)
	return n, err
}
