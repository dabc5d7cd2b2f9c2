package audit

// tolerance is how far a probability may be below a bound and still count as at
// it, as cleanlab has it.
const tolerance = 1e-6

// Issues are the labels that confident learning finds wrong: samples that are
// confidently of another class than the given one (Northcutt et al. 2021, arXiv
// 1911.00068, equations 1 and 2: the off-diagonals of the confident joint). A
// sample is confidently of class k if its probability of k is at least the mean
// that samples given k have, of several such classes of the likeliest. What the
// model predicts as given is none.
func (e *Evidence) Issues() []bool {
	bound := e.thresholds()
	issues := make([]bool, len(e.Given))
	for i, given := range e.Given {
		predicted, most := e.Predicted(i)
		p := e.Of(i)
		if predicted < 0 || float64(p[given]) >= float64(most)-tolerance {
			continue
		}
		confident, guess := 0, -1
		for k, x := range p {
			if float64(x) >= bound[k]-tolerance {
				if confident++; guess < 0 {
					guess = k
				}
			}
		}
		if confident > 1 {
			guess = predicted
		}
		issues[i] = guess >= 0 && guess != int(given)
	}
	return issues
}

// thresholds are the mean self-confidence of each class's samples; above every
// probability for a class without any.
func (e *Evidence) thresholds() []float64 {
	const never = 2
	sum, n := make([]float64, e.Classes), make([]float64, e.Classes)
	for i, given := range e.Given {
		if x := e.Of(i)[given]; x == x {
			sum[given] += float64(x)
			n[given]++
		}
	}
	for k := range sum {
		if n[k] == 0 {
			sum[k] = never
			continue
		}
		sum[k] = max(sum[k]/n[k], 2*tolerance)
	}
	return sum
}
