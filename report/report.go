package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"

	"winnow/prune"
	"winnow/run"
)

// MaxBytes bounds the report of a run: pictures beyond it are left out, and that
// is said.
const MaxBytes = 400_000

// Report is what the page of a run is made of.
type Report struct {
	Run       *run.Run
	Classes   []string // names; of a class without one its number is shown
	Confusion *Confusion
	Mistakes  []Card
	Pruned    []Card // samples that were pruned most often
	Kept      []Card // samples that never were
	Notes     []string
}

// Confusion counts, of the test samples of a class, what they were taken for.
type Confusion struct {
	Classes int
	Count   map[[2]int]int // of label and prediction
}

// section is a part of the page. What builds it gives nil where the run has
// nothing for it.
type section struct {
	title, about string
	build        func(r *Report) any
}

// sections are the page in its order. A value is shown by the template of its
// type: figures, cards, classTable, heatTable, pairs, options.
var sections = []section{
	{"Course", "", func(r *Report) any { return r.course() }},
	{"Pruning", "", func(r *Report) any { return r.pruning() }},
	{"Time", "", func(r *Report) any { return r.time() }},
	{"Accuracy by class", "Of the model after the last epoch, on the test samples.", func(r *Report) any { return r.byClass() }},
	{"Confusion", "Test samples of a class (row) that were taken for another (column).", func(r *Report) any { return r.confusion() }},
	{"Worst mistakes", "Test samples whose own class the model thinks least likely.", func(r *Report) any { return cards(r.Mistakes) }},
	{"Pruned most", "Training samples that were left out of the most epochs.", func(r *Report) any { return cards(r.Pruned) }},
	{"Never pruned", "Training samples that every epoch had, those of the highest mean loss first.", func(r *Report) any { return cards(r.Kept) }},
	{"Configuration", "Every option of the run, as it was resolved.", func(r *Report) any { return r.configuration() }},
}

// Kinds of content.
type (
	figures    []*figure
	cards      []Card
	classTable struct {
		Rows []classRow
		Note string
	}
	heatTable struct {
		Names []string
		Rows  []heatRow
	}
	pairs   []pair
	options []Fact
)

type classRow struct {
	Name             string
	Samples, Correct int
	Share            float64
}

// Width is that of its bar, in percent.
func (c classRow) Width() int { return int(c.Share*100 + 0.5) }

// Percent is the share for people.
func (c classRow) Percent() string { return percent(c.Share) }

type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct {
	Count int
	Right bool
	Style template.CSS
}

type pair struct {
	Label, Prediction string
	Count, Of         int
}

// page is what the template gets.
type page struct {
	Head
	Notes    []string
	Sections []shown
}

type shown struct {
	Title, About, Kind string
	Content            any
}

// Write writes the page.
func Write(w io.Writer, r *Report) error {
	p := &page{Head: r.head(), Notes: slices.Clone(r.Notes)}
	for _, s := range sections {
		content := s.build(r)
		kind, ok := kindOf(content)
		if ok {
			p.Sections = append(p.Sections, shown{s.title, s.about, kind, content})
			charts, _ := content.(figures)
			p.Script = p.Script || slices.ContainsFunc(charts, func(f *figure) bool { return f.Zoom != nil })
		}
	}
	text, err := render("report.html", p)
	if err == nil && len(text) > MaxBytes {
		r.spare(p, len(text)-MaxBytes)
		text, err = render("report.html", p)
	}
	if err != nil {
		return err
	}
	return send(w, "report.html", text)
}

// spare leaves out the last pictures, until so many bytes are saved.
func (r *Report) spare(p *page, over int) {
	over += 100 // what is said of it
	left := 0
	for _, list := range [][]Card{r.Kept, r.Pruned, r.Mistakes} { // which the sections show
		for i := range slices.Backward(list) {
			if over > 0 && list[i].Picture != nil {
				over -= len(list[i].Picture.URI)
				list[i].Picture = nil
				left++
			}
		}
	}
	if left > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d pictures are left out to keep the page small.", left))
	}
}

// kindOf names the template of a content, and whether there is any.
func kindOf(content any) (kind string, ok bool) {
	switch c := content.(type) {
	case figures:
		return "figures", len(c) > 0
	case cards:
		return "cards", len(c) > 0
	case *classTable:
		return "classes", c != nil
	case *heatTable:
		return "heat", c != nil
	case pairs:
		return "pairs", len(c) > 0
	case options:
		return "options", len(c) > 0
	}
	return "", false
}

func (r *Report) head() Head {
	s := &r.Run.Summary
	h := Head{Title: r.Run.Name, About: fmt.Sprintf("%s on %s, %s of %s epochs, seed %d", s.Bundle, s.Data, thousands(int64(s.Epochs)), thousands(int64(s.Config.Epochs)), s.Seed)}
	fact := func(name, value string) { h.Facts = append(h.Facts, Fact{name, value}) }
	if s.Epochs > 0 { // before the end of the first nothing is measured
		fact("test "+cmp.Or(s.Metric, "accuracy"), percent(s.TestAccuracy))
		fact("best, epoch by epoch", percent(s.BestTestAccuracy))
	}
	if w := s.WorstClass; w.Samples > 0 {
		fact("worst class, "+r.class(w.Class), percent(float64(w.Correct)/float64(w.Samples)))
	}
	for _, name := range slices.Sorted(maps.Keys(s.TestMetrics)) {
		if name != s.Metric && !slices.Contains(s.Scalars, name) { // which have a chart
			fact(name, fmt.Sprintf("%.4g", s.TestMetrics[name]))
		}
	}
	fact("pruning", strings.TrimPrefix(strings.TrimSpace(s.Scorer+" "+s.Policy), "none "))
	fact("samples used", thousands(s.TrainSamplesUsed))
	if s.Epochs > 0 {
		fact("samples saved", percent(s.SavedRatio))
	}
	fact("time", duration(s.WallSeconds))
	if s.Device != "" {
		fact("device", s.Device)
	}
	if s.Interrupted {
		r.Notes = append([]string{"The run was interrupted before its last epoch."}, r.Notes...)
	}
	return h
}

// class is the name of a class.
func (r *Report) class(k int) string {
	if k >= 0 && k < len(r.Classes) && r.Classes[k] != "" {
		return r.Classes[k]
	}
	return fmt.Sprint(k)
}

// column is a number of each epoch.
func (r *Report) column(of func(e *run.Epoch) float64) []float64 {
	out := make([]float64, len(r.Run.Epochs))
	for i := range r.Run.Epochs {
		out[i] = of(&r.Run.Epochs[i])
	}
	return out
}

func (r *Report) course() figures {
	accuracy := []series{{"top-1", 1, r.column(func(e *run.Epoch) float64 { return 100 * e.TestAccuracy })}}
	if r.Run.Summary.Config.Classes > 20 {
		accuracy = append(accuracy, series{"top-5", 2, r.column(func(e *run.Epoch) float64 { return 100 * e.TestTop5 })})
	}
	title, caption := "Accuracy", "share of test samples that are right, after each epoch"
	if n := len(r.Run.Epochs); n > 0 && r.Run.Epochs[n-1].Metric != "" {
		title, caption = r.Run.Epochs[n-1].Metric, "on the test samples, after each epoch"
		accuracy = accuracy[:1]
	}
	f := there(
		lines(title, caption, "%", inPercent, false, accuracy...),
		lines("Loss", "mean over the test samples, and over the training samples seen in the epoch", "loss", asLoss, false,
			series{"test", 1, r.column(func(e *run.Epoch) float64 { return e.TestLoss })},
			series{"training", 2, r.column(func(e *run.Epoch) float64 { return e.TrainLoss })}),
		lines("Learning rate", "of the epoch's last step", "rate", asRate, true,
			series{"rate", 3, r.column(func(e *run.Epoch) float64 { return e.LearningRate })}))
	for _, name := range r.Run.Summary.Scalars {
		f = append(f, there(lines(name, "a further output of the model: mean over the test samples, and over the training samples seen in the epoch", name, asLoss, false,
			series{"test", 1, r.column(func(e *run.Epoch) float64 { return e.TestMetrics[name] })},
			series{"training", 2, r.column(func(e *run.Epoch) float64 { return e.TrainMetrics[name] })}))...)
	}
	return f
}

func (r *Report) pruning() figures {
	all := there(stack("Samples by epoch", "kept in the plan, and left out of it", "samples", asCount,
		series{"kept", 1, r.column(func(e *run.Epoch) float64 { return float64(e.SamplesUsed) })},
		series{"pruned", 5, r.column(func(e *run.Epoch) float64 { return float64(e.SamplesTotal - e.SamplesUsed) })}))
	quantiles, scored := make([][]float32, len(r.Run.Epochs)), false
	for i := range r.Run.Epochs {
		quantiles[i] = r.Run.Epochs[i].ScoreQuantiles
		scored = scored || len(quantiles[i]) > 0
	}
	if scored {
		about := "spread of the samples' scores after each epoch (" + r.Run.Summary.Scorer + "); the stronger the colour, the more samples"
		if r.Run.Summary.Scorer == prune.ScorerDAS {
			about += fmt.Sprintf("; the losses until DAS has %d epochs of them", r.Run.Summary.Config.Prune.Window)
		}
		all = append(all, there(heat("Scores", about, "score", quantiles))...)
	}
	if c := r.Run.Summary.Config.Command; c != nil && c.LabelNoise != nil {
		all = append(all, there(lines("Wrong labels", "share of the kept samples whose label is wrong on purpose", "%", inPercent, true,
			series{"wrong", 2, r.column(func(e *run.Epoch) float64 { return 100 * float64(e.WrongUsed) / max(float64(e.SamplesUsed), 1) })}))...)
	}
	return all
}

func (r *Report) time() figures {
	part := func(name string, class int, of func(e *run.Epoch) float64) series {
		return series{name, class, r.column(of)}
	}
	return there(stack("Seconds by epoch", "where the time of each epoch went", "seconds", inSeconds,
		part("steps", 1, func(e *run.Epoch) float64 { return e.StepSeconds }),
		part("waiting for images", 2, func(e *run.Epoch) float64 { return e.WaitSeconds }),
		part("pruning", 4, func(e *run.Epoch) float64 { return e.PruneSeconds }),
		part("evaluation", 3, func(e *run.Epoch) float64 { return e.EvalSeconds }),
		part("the rest", 5, func(e *run.Epoch) float64 {
			return e.WallSeconds - e.StepSeconds - e.WaitSeconds - e.PruneSeconds - e.EvalSeconds
		})))
}

// there leaves out figures of nothing.
func there(all ...*figure) (f figures) {
	for _, x := range all {
		if x != nil {
			f = append(f, x)
		}
	}
	return f
}

const (
	maxClassRows = 40 // of a table; of more classes the worst are shown
	maxHeat      = 24 // classes of a matrix; of more the commonest confusions are listed
	maxPairs     = 40
)

func (r *Report) byClass() *classTable {
	c := r.Confusion
	if c == nil {
		return nil
	}
	t := &classTable{}
	for k := range c.Classes {
		row := classRow{Name: r.class(k), Correct: c.Count[[2]int{k, k}]}
		t.Rows = append(t.Rows, row)
	}
	for at, n := range c.Count {
		t.Rows[at[0]].Samples += n
	}
	t.Rows = slices.DeleteFunc(t.Rows, func(c classRow) bool { return c.Samples == 0 })
	for i := range t.Rows {
		t.Rows[i].Share = float64(t.Rows[i].Correct) / float64(t.Rows[i].Samples)
	}
	if n := len(t.Rows); n > maxClassRows {
		slices.SortStableFunc(t.Rows, func(a, b classRow) int { return cmp.Compare(a.Share, b.Share) })
		t.Rows = t.Rows[:maxClassRows]
		t.Note = fmt.Sprintf("The %d worst of %s classes.", maxClassRows, thousands(int64(n)))
	}
	return t
}

// confusion is a matrix, or a list where there are too many classes for one.
func (r *Report) confusion() any {
	c := r.Confusion
	if c == nil {
		return nil
	}
	of, there := map[int]int{}, map[int]bool{}
	for at, n := range c.Count {
		of[at[0]] += n
		there[at[0]], there[at[1]] = true, true
	}
	classes := slices.Sorted(maps.Keys(there)) // what no sample is, nor is taken for, is left out
	if len(classes) > maxHeat {
		var list pairs
		for _, at := range slices.SortedFunc(maps.Keys(c.Count), func(a, b [2]int) int {
			return cmp.Or(c.Count[b]-c.Count[a], a[0]-b[0], a[1]-b[1])
		}) {
			if at[0] != at[1] && len(list) < maxPairs {
				list = append(list, pair{r.class(at[0]), r.class(at[1]), c.Count[at], of[at[0]]})
			}
		}
		return list
	}
	t := &heatTable{}
	for _, k := range classes {
		t.Names = append(t.Names, r.class(k))
		row := heatRow{Name: r.class(k)}
		for _, j := range classes {
			n := c.Count[[2]int{k, j}]
			cell := heatCell{Count: n, Right: k == j}
			if n > 0 {
				strength := 0.08 + 0.62*float64(n)/float64(of[k])
				cell.Style = template.CSS(fmt.Sprintf("background:rgba(var(--heat),%.2f)", strength))
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// configuration is every option, by its path in summary.json.
func (r *Report) configuration() options {
	s := r.Run.Summary
	text, err := json.Marshal(s.Config)
	if err != nil {
		return nil
	}
	var tree any
	if json.Unmarshal(text, &tree) != nil { // of what was just written
		return nil
	}
	flat := map[string]string{}
	flatten(flat, "", tree)
	for name, value := range map[string]string{"provider": s.Provider, "device": s.Device, "layout": s.Layout, "onnxruntime": s.RuntimeVersion} {
		flat["place."+name] = value
	}
	var out options
	for _, name := range slices.Sorted(maps.Keys(flat)) {
		out = append(out, Fact{name, flat[name]})
	}
	return out
}

func flatten(into map[string]string, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			flatten(into, prefix+k+".", inner)
		}
	case []any:
		var parts []string
		for _, x := range v {
			text, err := json.Marshal(x)
			if err != nil {
				return
			}
			parts = append(parts, string(text))
		}
		into[strings.TrimSuffix(prefix, ".")] = strings.Join(parts, ", ")
	case nil:
	default:
		into[strings.TrimSuffix(prefix, ".")] = fmt.Sprint(v)
	}
}
