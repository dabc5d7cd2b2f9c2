package cli

import (
	"fmt"
	"strings"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// bundleReport is the JSON form of an inspected bundle.
type bundleReport struct {
	Path       string           `json:"path"`
	Manifest   *bundle.Manifest `json:"manifest"`
	Parameters int64            `json:"parameters"`
	StateBytes int64            `json:"state_bytes"`
	Problems   []string         `json:"problems"`
}

func (r *bundleReport) print(out *output) {
	m := r.Manifest
	out.printf("%s: training bundle %s, from %s\n\n", out.style(styleBold, r.Path), m.Name, m.Source.File)
	rows := [][]string{
		{"images", shapeText(m.ImageShape[:]) + " " + m.Train.Images.DType},
		{"classes", fmt.Sprint(m.Classes)},
		{"targets", targetsText(&m.Train)},
		{"loss", lossText(m.Loss)},
		{"optimizer", optimizerText(m.Optimizer)},
		{"precision", precisionText(m.Precision)},
		{"parameters", trainedText(m)},
		{"state", fmt.Sprintf("%s, %s", tensorsText(len(m.State)), bytesText(r.StateBytes))},
		{"pruner sees", pruningSight(m)},
	}
	out.table(rows)
	out.printf("\nRoles of %s\n", bundle.TrainFile)
	out.table(roleRows(m))
	if m.Tuned != nil {
		out.printf("\nTuned\n  %s\n", tunedText(m.Tuned))
		printChoices(out, m.Tuned)
	}
	out.printf("\nState\n")
	rows = rows[:0]
	for _, s := range m.State {
		rows = append(rows, []string{s.Name, s.Kind, s.DType, shapeText(s.Shape)})
	}
	out.table(rows)
	if len(m.Fixed) > 0 {
		out.printf("\nLeft as they are\n")
		rows = rows[:0]
		for _, f := range m.Fixed {
			rows = append(rows, []string{f.Name, shapeText(f.Shape), f.Role, f.Why})
		}
		out.table(rows)
	}
	if len(r.Problems) > 0 {
		printProblems(out, r.Problems)
		return
	}
	out.printf("\n%s\n", out.style(styleGreen, "No faults found."))
}

func inspectBundle(b *bundle.Bundle, o inspectOptions, out *output) error {
	r := bundleReport{Path: o.Path, Manifest: &b.Manifest, Parameters: parameters(&b.Manifest), Problems: []string{}}
	r.Problems = append(r.Problems, problems(b.Validate())...)
	for _, s := range b.Manifest.State {
		if d, err := onnx.ParseDType(s.DType); err == nil {
			r.StateBytes += elementsOf(s.Shape) * int64(d.Size())
		}
	}
	if o.JSON {
		if err := out.printJSON(r); err != nil {
			return err
		}
	} else {
		r.print(out)
	}
	return faults(o.Path, len(r.Problems))
}

// pruningSight says which losses the pruner gets, the ground on which
// `--prune auto` decides.
func pruningSight(m *bundle.Manifest) string {
	switch {
	case m.Train.PerSampleLoss != nil:
		return "every sample's loss"
	case m.Train.Logits != nil:
		return "every sample's logits"
	}
	return "the batch's loss only"
}

// targetsText names what the training graph is told of a sample.
func targetsText(r *bundle.TrainRoles) string {
	var texts []string
	for _, t := range r.AllTargets() {
		text := fmt.Sprintf("%s (%s", t.Name, t.Kind)
		if t.Kind != bundle.TargetClass {
			text += fmt.Sprintf(" %s, %s", t.Shape[min(1, len(t.Shape)):], t.DType)
		}
		texts = append(texts, text+")")
	}
	if texts == nil {
		return "none"
	}
	return strings.Join(texts, ", ")
}

func roleRows(m *bundle.Manifest) [][]string {
	t := &m.Train
	rows := [][]string{}
	add := func(side, role string, v *bundle.Value) {
		if v != nil {
			rows = append(rows, []string{side, role, v.Name, v.DType, v.Shape.String()})
		}
	}
	add("in", "images", &t.Images)
	add("in", "labels", t.Labels)
	for _, target := range t.FurtherTargets() {
		v := target.Value()
		add("in", "target, "+target.Kind, &v)
	}
	add("in", "sample_weights", t.SampleWeights)
	add("in", "loss_scale", t.LossScale)
	add("in", "learning_rate", &t.LearningRate)
	for i := range t.Random {
		add("in", "random", &t.Random[i])
	}
	add("out", "loss", &t.Loss)
	add("out", "per_sample_loss", t.PerSampleLoss)
	add("out", "logits", t.Logits)
	return rows
}
