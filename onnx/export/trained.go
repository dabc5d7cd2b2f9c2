package export

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/infer"
)

// States of a tensor of the model's file.
const (
	StateTrained = "trained"
	StateRunning = "running" // a statistic that moves with the batches
	StateFixed   = "fixed"
)

// Tensor says whether a float32 tensor of the model's file is trained, and why.
type Tensor struct {
	Name   string  `json:"name"`
	Shape  []int64 `json:"shape"`
	State  string  `json:"state"`
	Role   string  `json:"role"` // what the graph does with it
	Why    string  `json:"why"`
	Unsure bool    `json:"unsure,omitempty"` // a guess, for Options.Train or Options.Freeze to settle
}

// What a tensor's state can follow from.
const (
	whyFile   = "the file says that it is a "
	whyRole   = "by its role"
	whyTrain  = "--train"
	whyFreeze = "--freeze"
	whyNorms  = "--freeze-norm-stats"
	whyNoGrad = "no gradient reaches it"
)

var kindNames = map[onnx.Kind]string{onnx.KindParameter: "parameter", onnx.KindBuffer: "buffer", onnx.KindConstant: "constant"}

// candidates are the initializers that folding has to leave alone because they
// may be trained: those that the file calls parameters, and where it says
// nothing of one, all but single numbers without dimensions, of which only a
// PRelu's slope is a weight for certain: a temperature may be one too, but so
// may an epsilon or a factor, and the exporters give all of them a module's
// dotted name. Options.Train asks for others.
//
// The others are constants, and of those that the file names or that are
// unsure the second result tells.
func (o *Options) candidates(g *onnx.Graph) (named map[string]bool, others []Tensor) {
	slopes := map[string]bool{}
	for _, n := range g.Nodes {
		if n.Op == "PRelu" {
			slopes[n.Input(1)] = true
		}
	}
	named = map[string]bool{}
	statistic := statistics(g)
	roles := newRoles(g, imageOf(g))
	for _, name := range slices.Sorted(maps.Keys(g.Initializers)) {
		t, kind := g.Initializers[name], g.Kinds[name]
		if t.DType != onnx.Float32 {
			continue
		}
		named[name] = kind == onnx.KindParameter || kind == "" && (len(t.Dims) > 0 || slopes[name]) || matches(o.Selection.Train, name) || statistic[name]
		if named[name] || len(roles.readers[name]) == 0 {
			continue
		}
		switch r := roles.of(name); {
		case kind != "":
			others = append(others, Tensor{Name: name, Shape: t.Dims, State: StateFixed, Role: r.name, Why: whyFile + kindNames[kind]})
		case ofModule(name) && r.unsure:
			others = append(others, Tensor{Name: name, Shape: t.Dims, State: StateFixed, Role: r.name, Why: whyRole, Unsure: true})
		}
	}
	return named, others
}

// imageOf is the input that takes images, as far as that is known before the ends are.
func imageOf(g *onnx.Graph) onnx.Value {
	for _, in := range g.Inputs {
		if in.DType == onnx.Float32 {
			return in
		}
	}
	return onnx.Value{}
}

// statistics are what batch normalisations have as such: a file calls them
// buffers, and they are state all the same.
func statistics(g *onnx.Graph) map[string]bool {
	names := map[string]bool{}
	for _, n := range g.Nodes {
		if n.Op == "BatchNormalization" {
			names[n.Input(3)], names[n.Input(4)] = true, true
		}
	}
	return names
}

// spelled spells out tensors with shape and role.
func spelled(tensors []Tensor) string {
	var list []string
	for _, t := range tensors[:min(len(tensors), shownNames)] {
		list = append(list, fmt.Sprintf("%q %v (%s)", t.Name, t.Shape, t.Role))
	}
	if more := len(tensors) - shownNames; more > 0 {
		list = append(list, fmt.Sprintf("and %d more, which winnow inspect lists", more))
	}
	return strings.Join(list, ", ")
}

// decide says of each candidate whether it is trained: as the file says, else
// by its role, and last as the flags say.
func (f *forward) decide(named map[string]bool, o *Options) {
	r, statistic := newRoles(f.graph, f.image), statistics(f.graph)
	seen := map[string]bool{}
	for _, n := range f.graph.Nodes {
		for _, in := range n.Inputs {
			if f.graph.Initializers[in] == nil || !named[in] || seen[in] {
				continue
			}
			seen[in] = true
			is := r.of(in)
			t := Tensor{Name: in, Shape: f.graph.Initializers[in].Dims, State: StateTrained, Role: is.name, Why: whyRole, Unsure: is.unsure}
			kind := f.graph.Kinds[in]
			switch {
			case statistic[in]:
				t.State, t.Unsure = StateRunning, false
			case kind != "":
				t.Why, t.Unsure = whyFile+kindNames[kind], false
				if kind != onnx.KindParameter {
					t.State = StateFixed
				}
			case is.fixed:
				t.State = StateFixed
			}
			if t.State != StateRunning && matches(o.Selection.Train, in) {
				t.State, t.Why, t.Unsure = StateTrained, whyTrain, false
			}
			if t.State != StateRunning && matches(o.Selection.Freeze, in) {
				t.State, t.Why, t.Unsure = StateFixed, whyFreeze, false
			}
			f.tensors = append(f.tensors, t)
		}
	}
	f.pairWaves()
}

func matches(pattern *regexp.Regexp, name string) bool {
	return pattern != nil && pattern.MatchString(name)
}

// pairWaves finds tables of sines among those that are unsure by the table of cosines beside each.
func (f *forward) pairWaves() {
	var tables []*Tensor
	for i := range f.tensors {
		if t := &f.tensors[i]; t.Unsure && t.State == StateTrained && longAxes(t.Shape) > 0 {
			tables = append(tables, t)
		}
	}
	for i, a := range tables {
		for _, b := range tables[:i] {
			if slices.Equal(a.Shape, b.Shape) && completes(f.graph.Initializers[a.Name], f.graph.Initializers[b.Name]) {
				for _, t := range []*Tensor{a, b} {
					t.State, t.Role, t.Unsure = StateFixed, "sines or cosines", false
				}
			}
		}
	}
}

// findState lists the parameters and the running statistics of the graph that
// is left, as decided, and refuses flags that change nothing.
func (f *forward) findState(inf *infer.Inference, others []Tensor, o *Options) error {
	normalised := map[string]bool{}
	for _, n := range f.graph.Nodes {
		switch n.Op {
		case "BatchNormalization":
			f.hasNorm = true
			normalised[n.Inputs[0]] = true
		case "LayerNormalization", "GroupNormalization", "InstanceNormalization":
			f.hasNorm = true
		}
	}
	used := map[string]bool{}
	for _, n := range f.graph.Nodes {
		f.convBiased = f.convBiased || n.Op == "Conv" && len(n.Inputs) > 2 && !normalised[n.Outputs[0]]
		for _, in := range n.Inputs {
			used[in] = true
		}
	}
	f.tensors = slices.DeleteFunc(f.tensors, func(t Tensor) bool { return !used[t.Name] })
	f.tensors = append(f.tensors, others...)
	if err := f.freezeNorms(inf, o); err != nil {
		return err
	}
	settled := f.place()
	var names []string
	for _, t := range f.tensors {
		switch t.State {
		case StateTrained:
			names = append(names, t.Name)
		case StateRunning:
			f.buffers = append(f.buffers, t.Name)
		}
	}
	reach := f.reached(inf, names)
	for _, name := range names {
		t := &f.tensors[settled[name]]
		if reach[name] {
			f.params = append(f.params, name)
			continue
		}
		t.State, t.Why, t.Unsure = StateFixed, whyNoGrad, false
	}
	if o.Selection.Train != nil && !slices.ContainsFunc(f.params, o.Selection.Train.MatchString) {
		return optionError("train", "%q matches no float32 tensor that a gradient reaches; winnow inspect lists them", o.Selection.Train)
	}
	if o.Selection.Freeze != nil && !slices.ContainsFunc(f.tensors, func(t Tensor) bool { return o.Selection.Freeze.MatchString(t.Name) }) {
		return optionError("freeze", "%q matches no parameter's name, so it would freeze nothing", o.Selection.Freeze)
	}
	f.notice(o)
	return nil
}

// place finds each tensor's place by its name.
func (f *forward) place() map[string]int {
	at := map[string]int{}
	for i, t := range f.tensors {
		at[t.Name] = i
	}
	return at
}

// reached is which of the parameters a gradient reaches; the others are constants.
func (f *forward) reached(inf *infer.Inference, params []string) map[string]bool {
	depends := autodiff.Dependent(f.graph.Nodes, inf, params)
	reach := map[string]bool{f.end(): true}
	for _, n := range slices.Backward(f.graph.Nodes) {
		live := slices.ContainsFunc(n.Outputs, func(o string) bool { return reach[o] && depends[o] })
		for _, in := range n.Inputs {
			reach[in] = reach[in] || live
		}
	}
	return reach
}

// freezeNorms finds the batch normalisations whose statistics stay: those of
// which a pattern matches a statistic, or scale and shift; those whose scale
// and shift the file calls buffers; and with FreezeNorms those of images, scale and shift as well.
func (f *forward) freezeNorms(inf *infer.Inference, o *Options) error {
	at := f.place()
	found := false
	for _, n := range f.graph.Nodes {
		if n.Op != "BatchNormalization" {
			continue
		}
		x, _ := inf.Type(n.Inputs[0])
		all := o.Selection.FreezeNorms && len(x.Shape) == 4
		found = found || all
		why := ""
		switch {
		case all:
			why = whyNorms
		case matches(o.Selection.Freeze, n.Inputs[3]), matches(o.Selection.Freeze, n.Inputs[4]), matches(o.Selection.Freeze, n.Inputs[1]) && matches(o.Selection.Freeze, n.Inputs[2]):
			why = whyFreeze
		case f.graph.Kinds[n.Inputs[1]] == onnx.KindBuffer && f.graph.Kinds[n.Inputs[2]] == onnx.KindBuffer:
			why = whyFile + "buffer, as its scale and shift"
		default:
			continue
		}
		for i, in := range n.Inputs[1:5] {
			if k, ok := at[in]; ok && (i >= 2 || all) {
				f.tensors[k].State, f.tensors[k].Why, f.tensors[k].Unsure = StateFixed, why, false
			}
		}
	}
	if o.Selection.FreezeNorms && !found {
		return optionError("freeze-norm-stats", "the model has no batch normalisation over images, so it would freeze nothing")
	}
	return nil
}

// runs is whether a batch normalisation runs in training mode: its statistics
// are state, or are computed from what it normalises, as of standardised weights.
func (f *forward) runs(n *onnx.Node) bool {
	return f.graph.Initializers[n.Inputs[3]] == nil || slices.Contains(f.buffers, n.Inputs[3])
}

// notice says what is unsure, and what trains otherwise than the file has it.
func (f *forward) notice(o *Options) {
	guessed := map[string][]Tensor{}
	for _, t := range f.tensors {
		if t.Unsure {
			guessed[t.State] = append(guessed[t.State], t)
		}
	}
	if list := guessed[StateTrained]; len(list) > 0 {
		o.Warn("the file does not say whether these are parameters, and they are trained: " + spelled(list) + "; --freeze REGEX leaves them as they are")
	}
	if list := guessed[StateFixed]; len(list) > 0 {
		o.Warn("the file does not say whether these are parameters, and they are not trained: " + spelled(list) + "; --train REGEX trains them")
	}
	norms, drops := 0, 0
	for _, n := range f.graph.Nodes {
		switch {
		case n.Op == "BatchNormalization" && n.Int("training_mode", 0) == 0 && f.runs(n):
			norms++
		case n.Op == "Dropout" && !f.isTrue(n.Input(2)):
			drops++
		}
	}
	if norms > 0 {
		o.Warn(fmt.Sprintf("%d BatchNormalization in evaluation mode in the file, run in training mode; --freeze-norm-stats keeps their statistics, scales and shifts", norms))
	}
	if drops > 0 {
		o.Warn(fmt.Sprintf("%d Dropout in evaluation mode in the file, run in training mode", drops))
	}
}

// isTrue is whether a value is known to be true.
func (f *forward) isTrue(name string) bool {
	t := f.graph.Initializers[name]
	return t != nil && t.DType == onnx.Bool && len(t.Data) == 1 && t.Data[0] != 0
}
