package cli

import (
	"fmt"
	"strconv"
	"strings"

	"winnow/internal/elements"
	"winnow/onnx"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// bytesText writes a size for people: 312 KB, 4.1 MB.
func bytesText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n)/unit, "KMGT"
	for value >= unit && len(suffix) > 1 {
		value, suffix = value/unit, suffix[1:]
	}
	return fmt.Sprintf("%.3g %cB", value, suffix[0])
}

// countText groups digits: 1,281,167.
func countText(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// seconds writes a duration for people: 4.2s, 12m03s, 3h05m.
func seconds(s float64) string {
	if s < 100 {
		return fmt.Sprintf("%.1fs", s)
	}
	m := int(s) / 60
	if m >= 100 {
		return fmt.Sprintf("%dh%02dm", m/60, m%60)
	}
	return fmt.Sprintf("%dm%02ds", m, int(s)-60*m)
}

// percent writes a share of 1 for people.
func percent(share float64) string { return fmt.Sprintf("%.2f%%", 100*share) }

// cut shortens plain text to a number of columns.
func cut(s string, width int) string {
	r := []rune(s)
	if width > 0 && len(r) > width {
		return string(r[:width])
	}
	return s
}

// elementsOf counts the elements of a shape that was checked.
func elementsOf(shape []int64) int64 {
	n, _ := elements.Count(shape)
	return n
}

// parameters counts the trained numbers of a bundle.
func parameters(m *bundle.Manifest) (n int64) {
	for _, s := range m.State {
		if s.Kind == bundle.KindParameter {
			n += elementsOf(s.Shape)
		}
	}
	return n
}

// trainedText counts what is trained and what is not.
func trainedText(m *bundle.Manifest) string {
	tensors, values := 0, int64(0)
	for _, s := range m.State {
		if s.Kind == bundle.KindParameter {
			tensors++
		}
	}
	text := fmt.Sprintf("%s parameters in %s", countText(parameters(m)), tensorsText(tensors))
	if len(m.Fixed) == 0 {
		return text
	}
	for _, f := range m.Fixed {
		values += elementsOf(f.Shape)
	}
	return fmt.Sprintf("%s (%s of %s values stay as they are)", text, tensorsText(len(m.Fixed)), countText(values))
}

// counted writes a number of things: 1 epoch, 2 epochs.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return countText(int64(n)) + " " + thing + "s"
}

func tensorsText(n int) string { return counted(n, "tensor") }

func shapeText(shape []int64) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = fmt.Sprint(d)
	}
	return strings.Join(parts, "x")
}

func lossText(l bundle.Loss) string {
	var extra []string
	if l.Smoothing > 0 {
		extra = append(extra, fmt.Sprintf("smoothing %g", l.Smoothing))
	}
	if len(l.ClassWeights) > 0 {
		extra = append(extra, "weighted by class")
	}
	if len(l.PosWeight) > 0 {
		extra = append(extra, "what is there weighted")
	}
	if len(extra) == 0 {
		return l.Name
	}
	return fmt.Sprintf("%s (%s)", l.Name, strings.Join(extra, ", "))
}

func precisionText(precision string) string {
	if precision == "" {
		return onnx.Float32.String()
	}
	return precision + " with float32 weights"
}

func optimizerText(o bundle.Optimizer) string {
	var extra []string
	add := func(name string, v float64) {
		if v > 0 {
			extra = append(extra, fmt.Sprintf("%s %g", name, v))
		}
	}
	add("momentum", o.Momentum)
	if o.Nesterov {
		extra = append(extra, "nesterov")
	}
	if len(o.Betas) == 2 {
		extra = append(extra, fmt.Sprintf("betas %g and %g", o.Betas[0], o.Betas[1]))
	}
	add("weight decay", o.WeightDecay)
	add("gradients clipped at", o.Clip)
	add("averaged with decay", o.EMA)
	if len(extra) == 0 {
		return o.Name
	}
	return fmt.Sprintf("%s (%s)", o.Name, strings.Join(extra, ", "))
}

// normalizeText writes the arithmetic on pixels for people.
func normalizeText(n bundle.Normalize) string {
	text := fmt.Sprintf("scaled by %g", n.Scale)
	if n.Scale == export.DefaultScale {
		text = "scaled by 1/255"
	}
	if len(n.Mean) == 0 && len(n.Std) == 0 {
		return text + ", mean 0, std 1"
	}
	list := func(v []float64, none string) string {
		if len(v) == 0 {
			return none
		}
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = fmt.Sprintf("%.4g", x)
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprintf("%s, mean %s, std %s", text, list(n.Mean, "0"), list(n.Std, "1"))
}
