package cli

import (
	"fmt"

	"winnow/eval"
)

// taskReport is the JSON form of an evaluation against targets that are no class.
type taskReport struct {
	Model   string                        `json:"model"`
	Data    string                        `json:"data"`
	Split   string                        `json:"split"`
	Samples int                           `json:"samples"`
	Rate    float64                       `json:"samples_per_second"`
	Loss    *float64                      `json:"loss"` // null where it is not finite
	Metrics map[string]float64            `json:"metrics"`
	Parts   map[string]map[string]float64 `json:"by_output"`
}

// printTask prints what a model is measured by whose targets are no class: of
// all outputs, and of each.
func printTask(o evalOptions, names []string, r *eval.Result, seconds float64, out *output) error {
	if o.JSON {
		report := taskReport{Model: o.Path, Data: o.Data, Split: o.Split, Samples: r.Samples, Rate: rate(r.Samples, seconds), Metrics: r.Values(), Parts: map[string]map[string]float64{}}
		if r.NotFinite == 0 {
			report.Loss = &r.Loss
		}
		for k, p := range r.Parts {
			values := map[string]float64{"samples": float64(p.Samples)}
			for _, m := range p.Metrics {
				values[m.Name] = m.Value
			}
			report.Parts[classLabel(names, k)] = values
		}
		return out.printJSON(report)
	}
	out.printf("%s on %s of %s, %s samples\n\n", out.style(styleBold, o.Path), o.Split, o.Data, countText(int64(r.Samples)))
	rows := [][]string{}
	for _, m := range r.Metrics {
		rows = append(rows, []string{m.Name, metricText(m)})
	}
	out.table(append(rows, []string{"loss", fmt.Sprintf("%.4f", r.Loss)}, throughput(r.Samples, seconds)))
	if len(r.Parts) == 0 {
		return nil
	}
	out.printf("\nBy output\n")
	rows = rows[:0]
	for k, p := range r.Parts {
		row := []string{classLabel(names, k)}
		for _, m := range p.Metrics {
			row = append(row, m.Name+" "+metricText(m))
		}
		rows = append(rows, append(row, countText(int64(p.Samples))))
	}
	out.table(rows)
	return nil
}

// metricText is a share as a percentage, and an error as it is.
func metricText(m eval.Metric) string {
	if m.Less || m.Name == eval.R2 {
		return fmt.Sprintf("%.4f", m.Value)
	}
	return percent(m.Value)
}
