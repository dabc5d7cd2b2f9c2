package prune

import (
	"math"
	"math/rand/v2"
	"testing"
)

// perceptron is a network of two layers, tanh and softmax cross-entropy, whose
// gradients are written out: enough to hold the weights to the gradient.
type perceptron struct {
	in, hidden, out int
	w1, w2          []float64 // hidden x in, out x hidden
}

// gradient gives the loss of one sample and its gradient by every parameter.
func (p *perceptron) gradient(x []float64, label int) (loss float64, grad []float64) {
	h := make([]float64, p.hidden)
	for j := range h {
		for k, v := range x {
			h[j] += p.w1[j*p.in+k] * v
		}
		h[j] = math.Tanh(h[j])
	}
	z := make([]float64, p.out)
	sum := 0.0
	for c := range z {
		for j, v := range h {
			z[c] += p.w2[c*p.hidden+j] * v
		}
		sum += math.Exp(z[c])
	}
	grad = make([]float64, len(p.w1)+len(p.w2))
	dh := make([]float64, p.hidden)
	for c := range z {
		d := math.Exp(z[c]) / sum
		if c == label {
			loss = -math.Log(d)
			d--
		}
		for j, v := range h {
			grad[len(p.w1)+c*p.hidden+j] = d * v
			dh[j] += d * p.w2[c*p.hidden+j]
		}
	}
	for j, v := range h {
		for k, xk := range x {
			grad[j*p.in+k] = dh[j] * (1 - v*v) * xk
		}
	}
	return loss, grad
}

// With the network's own losses as fixed scores, the expected weighted gradient
// over many InfoBatch plans is the gradient of all samples, in each of the
// parameters; without the weights it is not. A plan keeps k of the m samples of
// P with weight 2: twice a sum of draws without replacement, of variance
// 4 k (1-k/m) S^2, which gives each mean its standard error. All parameters are
// tested at once at error rate 1e-6 (Bonferroni). Where m is odd, floor(m/2)
// samples of weight 2 count for m-1: that known share is put back.
func TestInfoBatchGradientOfANetwork(t *testing.T) {
	const n, plans, alpha = 301, 3000, 1e-6
	rnd := rand.New(rand.NewPCG(21, 22))
	net := perceptron{in: 4, hidden: 6, out: 3}
	normal := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rnd.NormFloat64()
		}
		return v
	}
	net.w1, net.w2 = normal(net.in*net.hidden), normal(net.hidden*net.out)
	params := len(net.w1) + len(net.w2)
	all, losses := make([]uint32, n), make([]float32, n)
	grads := make([][]float64, n)
	mean := 0.0
	for i := range all {
		all[i] = uint32(i)
		var loss float64
		loss, grads[i] = net.gradient(normal(net.in), rnd.IntN(net.out))
		losses[i] = float32(loss)
		mean += float64(losses[i]) / n
	}
	p := mustNew(t, Options{Samples: n, Epochs: plans + 1, Scorer: ScorerLoss, Policy: PolicyInfoBatch, Ratio: 0.5, Delta: 1, Seed: 4})
	mustPlan(t, p, 1)
	must(t, p.ObserveSamples(all, losses))
	must(t, p.EndEpoch(1))
	weighted, plain := make([]float64, params), make([]float64, params)
	kept := 0
	for e := 2; e <= plans+1; e++ {
		plan := mustPlan(t, p, e)
		for k, i := range plan.Indices {
			for j, g := range grads[i] {
				weighted[j] += float64(plan.Weights[k]) * g / plans
				plain[j] += g / plans
			}
		}
		kept = len(plan.Indices)
		must(t, p.EndEpoch(e))
	}
	m := 0.0
	for _, l := range losses {
		if float64(l) < mean {
			m++
		}
	}
	k := float64(kept) - (n - m)
	quantile := normalQuantile(1 - alpha/(2*float64(params)))
	wrong := 0
	for j := range params {
		var full, below, square float64
		for i, g := range grads {
			full += g[j]
			if float64(losses[i]) < mean {
				below += g[j]
				square += g[j] * g[j]
			}
		}
		want := full - below*(1-2*k/m)
		s2 := (square - below*below/m) / (m - 1)
		bound := quantile * 2 * math.Sqrt(k*(1-k/m)*s2/plans)
		if math.Abs(weighted[j]-want) > bound {
			t.Errorf("parameter %d: expected gradient %.5f, full %.5f, bound %.5f", j, weighted[j], want, bound)
		}
		if math.Abs(plain[j]-want) > bound {
			wrong++
		}
	}
	if wrong < params/2 {
		t.Errorf("without weights only %d of %d parameters are off: the test sees nothing", wrong, params)
	}
	// The network's own gradient, by central differences.
	x, label := normal(net.in), 1
	_, g := net.gradient(x, label)
	for j := range params {
		w := &net.w1
		at := j
		if j >= len(net.w1) {
			w, at = &net.w2, j-len(net.w1)
		}
		const h = 1e-5
		old := (*w)[at]
		(*w)[at] = old + h
		up, _ := net.gradient(x, label)
		(*w)[at] = old - h
		down, _ := net.gradient(x, label)
		(*w)[at] = old
		if diff := (up - down) / (2 * h); math.Abs(diff-g[j]) > 1e-8 {
			t.Fatalf("parameter %d: gradient %v, differences %v", j, g[j], diff)
		}
	}
}
