package tune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
)

// margin is by how much a form must beat the default one: what repeated
// timings of one graph differ by.
const margin = 0.03

// Options say where forms are timed.
type Options struct {
	Device    *ortrun.Device
	BatchSize int
	Layout    string // of the graph whose forms are timed, as train names it
	Block     int64  // channels to a block of that graph, 0 if it is the portable one
	Cache     string // file of times; "" keeps none
	Again     bool   // time anew what the cache holds
	// Progress is told how many cases are done; nil drops that.
	Progress func(done, cases int)
	// Notice takes what went wrong with the cache; nil drops it.
	Notice func(text string)
}

// Choose times the forms of every case of one graph and gives the fastest of each. Times
// that the cache holds for the same place and graphs are not taken again.
// When ctx ends, what was timed until then is in the cache.
func Choose(ctx context.Context, cases []autodiff.Case, o Options) (*bundle.Tuned, error) {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	d := o.Device
	cases = slices.DeleteFunc(slices.Clone(cases), func(c autodiff.Case) bool { return c.Block != o.Block })
	t := &bundle.Tuned{
		Provider: d.Provider(), Hardware: d.Hardware(), Threads: d.Threads(), BatchSize: o.BatchSize,
		ONNXRuntime: d.LibraryVersion(), Layout: o.Layout, Choices: []bundle.Choice{},
	}
	known := openCache(o.Cache, o.Notice)
	defer func() {
		if saveErr := known.save(); saveErr != nil {
			o.Notice(saveErr.Error())
		}
	}()
	times := known.at(t)
	for i, c := range cases {
		o.Progress(i, len(cases))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		forms := c.FormsFor(int64(o.BatchSize))
		graphs, sum, err := write(c, forms, o.BatchSize)
		if err != nil {
			return nil, fmt.Errorf("tune: %s: %w", c.Key, err)
		}
		ms := times[c.Key].Milliseconds
		if o.Again || times[c.Key].Graphs != sum || !complete(ms, forms) {
			if ms, err = milliseconds(ctx, d, forms, graphs); err != nil {
				return nil, fmt.Errorf("tune: %s: %w", c.Key, err)
			}
			times[c.Key] = timed{Graphs: sum, Milliseconds: ms}
			known.changed = true
		}
		t.Choices = append(t.Choices, bundle.Choice{Key: c.Key, Form: fastest(forms, ms), Milliseconds: ms})
	}
	o.Progress(len(cases), len(cases))
	return t, nil
}

// graph is one form's model with its inputs and outputs.
type graph struct {
	model           []byte
	inputs, outputs []onnx.Value
}

// write makes the graphs of all forms, and a sum that differs where they do.
func write(c autodiff.Case, forms []string, batch int) ([]graph, string, error) {
	graphs := make([]graph, len(forms))
	h := sha256.New()
	for i, form := range forms {
		g := &graphs[i]
		var err error
		if g.model, g.inputs, g.outputs, err = export.CaseGraph(c, form, int64(batch)); err != nil {
			return nil, "", err
		}
		fmt.Fprintf(h, "%s %d ", form, len(g.model))
		h.Write(g.model)
	}
	return graphs, hex.EncodeToString(h.Sum(nil)), nil
}

// fastest is the form of the least time, the first where none beats it by the margin.
func fastest(forms []string, ms map[string]float64) string {
	best := forms[0]
	for _, form := range forms[1:] {
		if ms[form] < ms[best] && ms[form] < (1-margin)*ms[forms[0]] {
			best = form
		}
	}
	return best
}
