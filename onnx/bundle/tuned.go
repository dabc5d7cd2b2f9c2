package bundle

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Tuned says which forms of gradients were chosen by timing them, and where.
type Tuned struct {
	Provider    string   `json:"provider"` // ONNX Runtime's name of the execution provider
	Hardware    string   `json:"hardware"` // the processor's or GPU's own name
	Threads     int      `json:"threads"`  // of one operator on the CPU
	BatchSize   int      `json:"batch_size"`
	ONNXRuntime string   `json:"onnxruntime"` // version of the library
	Layout      string   `json:"layout"`      // of the graph whose forms were timed: portable or nchwc
	Choices     []Choice `json:"choices"`
}

// Choice is the form that one gradient takes, by its layout and geometry.
type Choice struct {
	Key          string             `json:"key"`
	Form         string             `json:"form"`
	Milliseconds map[string]float64 `json:"ms"` // of every form that was timed, for the batch
}

// Forms is the form taken by key; nil if nothing was tuned.
func (t *Tuned) Forms() map[string]string {
	if t == nil {
		return nil
	}
	forms := make(map[string]string, len(t.Choices))
	for _, c := range t.Choices {
		forms[c.Key] = c.Form
	}
	return forms
}

// problems is what contradicts itself.
func (t *Tuned) problems() (list []string) {
	addf := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if t.Provider == "" || t.ONNXRuntime == "" || t.Layout == "" {
		addf("provider, onnxruntime and layout are required")
	}
	if t.Threads < 1 || t.BatchSize < 1 {
		addf("%d threads and batches of %d, want 1 or more", t.Threads, t.BatchSize)
	}
	keys := set{}
	for i, c := range t.Choices {
		if c.Key == "" || !keys.add(c.Key) {
			addf("choice %d: key %q is empty or appears twice", i, c.Key)
		}
		if _, ok := c.Milliseconds[c.Form]; !ok {
			addf("choice %q: form %q was not timed", c.Key, c.Form)
		}
		for _, form := range slices.Sorted(maps.Keys(c.Milliseconds)) {
			if ms := c.Milliseconds[form]; !(ms >= 0) || math.IsInf(ms, 0) {
				addf("choice %q: %v ms of form %q", c.Key, ms, form)
			}
		}
	}
	return list
}
