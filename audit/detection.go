package audit

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate"
	"gonum.org/v1/gonum/stat"
)

// Detection is how well a ranking finds labels that are known to be wrong. Its
// numbers are NaN where no label is wrong, or all are.
type Detection struct {
	Ranking          string  `json:"ranking"`
	ROCAUC           float64 `json:"roc_auc"`
	AveragePrecision float64 `json:"average_precision"`
	// AtWrong is the precision, and so the recall, of as many samples from the
	// top as labels are wrong.
	AtWrong float64 `json:"precision_at_wrong"`
}

// Detect measures a ranking: suspicion against which labels are wrong.
func Detect(name string, suspicion []float32, wrong []bool) Detection {
	nan := math.NaN()
	d := Detection{name, nan, nan, nan}
	total := 0
	for _, w := range wrong {
		if w {
			total++
		}
	}
	if total == 0 || total == len(wrong) {
		return d
	}
	order := Order(suspicion)
	hits := 0
	for _, i := range order[:total] {
		if wrong[i] {
			hits++
		}
	}
	d.AtWrong = float64(hits) / float64(total)
	d.AveragePrecision = averagePrecision(order, suspicion, wrong, total)
	d.ROCAUC = rocAUC(order, suspicion, wrong)
	return d
}

// rocAUC is the area under the curve of true over false positive rates.
func rocAUC(order []int, suspicion []float32, wrong []bool) float64 {
	y, classes := make([]float64, len(order)), make([]bool, len(order))
	rank := 0.0 // equal suspicions have equal ranks; -Inf has one too
	for k, i := range slices.Backward(order) {
		at := len(order) - 1 - k
		if at > 0 && known(suspicion[i]) != known(suspicion[order[k+1]]) {
			rank++
		}
		y[at], classes[at] = rank, wrong[i]
	}
	tpr, fpr, _ := stat.ROC(nil, y, classes, nil)
	return integrate.Trapezoidal(fpr, tpr)
}

// averagePrecision is the sum over thresholds of the precision times the gain in
// recall, equal suspicions being one threshold.
func averagePrecision(order []int, suspicion []float32, wrong []bool, total int) float64 {
	sum, hits := 0.0, 0
	for k := 0; k < len(order); {
		next, found := k, 0
		for next < len(order) && known(suspicion[order[next]]) == known(suspicion[order[k]]) {
			if wrong[order[next]] {
				found++
			}
			next++
		}
		hits += found
		sum += float64(found) / float64(total) * float64(hits) / float64(next)
		k = next
	}
	return sum
}

// Decision is how well a choice of samples meets the labels that are known to be wrong.
type Decision struct {
	Chosen    int     `json:"chosen"`
	Wrong     int     `json:"wrong"` // labels, in all
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
}

// Decide counts a choice; a share of nothing is 0.
func Decide(chosen, wrong []bool) Decision {
	var d Decision
	hits := 0
	for i, c := range chosen {
		if c {
			d.Chosen++
		}
		if wrong[i] {
			d.Wrong++
			if c {
				hits++
			}
		}
	}
	d.Precision = float64(hits) / float64(max(d.Chosen, 1))
	d.Recall = float64(hits) / float64(max(d.Wrong, 1))
	return d
}
