package main

import (
	_ "embed"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"winnow/prune"
)

//go:embed bls-theory.md.tmpl
var blsPage string

const (
	blsSamples = 32768
	blsSeed    = 20260404
)

// blsRun is one simulated training without pruning.
type blsRun struct {
	alpha   float64
	batch   int
	epochs  int
	noise   float64 // deviation, over epochs, of a sample's loss about its own level
	shuffle bool    // new batches each epoch
}

// gain is the noise gain of the filter after t values, the sum of its squared
// weights: the first value has weight alpha^(t-1), the k-th from the end
// (1-alpha) alpha^k.
func gain(alpha float64, t int) float64 {
	a := math.Pow(alpha, 2*float64(t-1))
	return a + (1-alpha)/(1+alpha)*(1-a)
}

// theory is the expected rank correlation for Gaussian levels of variance 1.
func (r blsRun) theory(t int) float64 {
	g := gain(r.alpha, t)
	signal := 1 + g*r.noise*r.noise
	if !r.shuffle {
		g = 1
	}
	rho := math.Sqrt(signal / (signal + float64(r.batch-1)*g*(1+r.noise*r.noise)))
	return 6 / math.Pi * math.Asin(rho/2) // Pearson to Spearman, bivariate normal
}

// measure plays the run through the package's own scorer and gives the rank
// correlation with the true smoothed loss after each of the epochs in at.
func (r blsRun) measure(at []int) (map[int]float64, error) {
	p, err := prune.New(prune.Options{Samples: blsSamples, Epochs: r.epochs, Scorer: prune.ScorerBLS, Alpha: r.alpha})
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(blsSeed, uint64(r.batch)))
	level := make([]float64, blsSamples)
	for i := range level {
		level[i] = rnd.NormFloat64()
	}
	truth, loss, score := make([]float64, blsSamples), make([]float64, blsSamples), make([]float64, blsSamples)
	order := make([]uint32, blsSamples)
	for i := range order {
		order[i] = uint32(i)
	}
	out := map[int]float64{}
	var buf []float32
	for t := 1; t <= r.epochs; t++ {
		if _, err := p.Plan(t); err != nil {
			return nil, err
		}
		for i := range loss {
			loss[i] = 10 + level[i] + r.noise*rnd.NormFloat64()
			if t == 1 {
				truth[i] = loss[i]
			} else {
				truth[i] = r.alpha*truth[i] + (1-r.alpha)*loss[i]
			}
		}
		if r.shuffle || t == 1 {
			rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		for lo := 0; lo < len(order); lo += r.batch {
			b := order[lo:min(lo+r.batch, len(order))]
			sum := 0.0
			for _, i := range b {
				sum += loss[i]
			}
			if err := p.ObserveBatch(b, float32(sum/float64(len(b)))); err != nil {
				return nil, err
			}
		}
		if err := p.EndEpoch(t); err != nil {
			return nil, err
		}
		for _, e := range at {
			if e == t {
				buf = p.Scores(buf)
				for i, s := range buf {
					score[i] = float64(s)
				}
				out[t] = spearman(score, truth)
			}
		}
	}
	return out, nil
}

func studyBLS(out string) error {
	at := []int{1, 2, 3, 5, 10, 20, 50, 100}
	var worst float64
	head := []string{"alpha", "batch"}
	for _, t := range at {
		head = append(head, fmt.Sprintf("t=%d", t))
	}
	var curves []curve
	var rows [][]string
	add := func(r blsRun, label string) error {
		m, err := r.measure(at)
		if err != nil {
			return err
		}
		row := []string{label, fmt.Sprint(r.batch)}
		c := curve{name: fmt.Sprintf("batch %d", r.batch)}
		for _, t := range at {
			th := r.theory(t)
			worst = max(worst, math.Abs(th-m[t]))
			row = append(row, fmt.Sprintf("%.3f (%.3f)", m[t], th))
			c.x, c.y = append(c.x, float64(t)), append(c.y, m[t])
		}
		for t := 1; t <= r.epochs; t++ {
			c.theoryX, c.theoryY = append(c.theoryX, float64(t)), append(c.theoryY, r.theory(t))
		}
		rows = append(rows, row)
		curves = append(curves, c)
		return nil
	}
	for _, alpha := range []float64{0.9, 0.7, 0.98} {
		for _, batch := range []int{4, 16, 64, 128, 512} {
			if err := add(blsRun{alpha: alpha, batch: batch, epochs: 100, shuffle: true}, fmt.Sprint(alpha)); err != nil {
				return err
			}
		}
		if alpha == 0.9 {
			if err := savePlot(filepath.Join(out, "bls-theory.svg"), "BLS, alpha 0.9: points simulated, lines theory",
				"epochs", "rank correlation with the smoothed loss", true, curves); err != nil {
				return err
			}
		}
	}
	fixed := table(head, rows)
	fixedWorst := worst

	rows, worst = nil, 0
	for _, r := range []blsRun{
		{alpha: 0.9, batch: 128, epochs: 100, shuffle: true, noise: 1},
		{alpha: 0.9, batch: 128, epochs: 100},
	} {
		label := "0.9, losses noisy over epochs"
		if !r.shuffle {
			label = "0.9, never reshuffled"
		}
		if err := add(r, label); err != nil {
			return err
		}
	}
	return writePage(out, "bls-theory.md", blsPage, map[string]any{
		"Samples": blsSamples, "Fixed": fixed, "Others": table(head, rows),
		"FixedWorst": num(fixedWorst), "OthersWorst": num(worst),
	})
}
