package loader

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"testing"

	"winnow/internal/random"
)

// mixCase is a case of testdata/mix.py.
type mixCase struct {
	N, C, H, W, Classes int
	Smoothing           float64
	Kind                string
	Lam                 float64
	Center              [2]int
	Share               float64
	Images              []int
	Target, Losses      []float64
	Loss                float64
}

// TestMixIsTimms: batches, targets and losses of what timm drew.
func TestMixIsTimms(t *testing.T) {
	text, err := os.ReadFile("testdata/mix.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []mixCase
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err)
	}
	for _, c := range cases {
		pix := make([]byte, 0, len(c.Images))
		for i := range c.N * c.C * c.H * c.W {
			x, y := i%c.W, i/c.W%c.H
			k, s := i/(c.W*c.H)%c.C, i/(c.W*c.H*c.C)
			pix = append(pix, byte(s*71+k*37+y*y*13+x*29+(s*x)%5*50))
		}
		targets := make([]float32, c.N*c.Classes)
		for i := range c.N {
			oneHot(targets[i*c.Classes:][:c.Classes], int64(i*i+1)%int64(c.Classes), c.Smoothing)
		}
		m := mixing{share: c.Lam}
		if c.Kind == "cutmix" {
			side := math.Sqrt(1 - c.Lam)
			m = boxAt(c.Center[0], c.Center[1], int(float64(c.H)*side), int(float64(c.W)*side), c.H, c.W)
		}
		if m.share != c.Share {
			t.Errorf("%s %v: share %v, want %v", c.Kind, c.Lam, m.share, c.Share)
		}
		m.images(pix, c.N, c.C, c.H, c.W, false)
		m.vectors(targets, c.N, c.Classes, false)
		for i, v := range pix {
			if int(v) != c.Images[i] {
				t.Fatalf("%s %v: byte %d is %d, want %d", c.Kind, c.Lam, i, v, c.Images[i])
			}
		}
		for i, v := range targets {
			if math.Abs(float64(v)-c.Target[i]) > 1e-6 {
				t.Fatalf("%s %v: target %d is %v, want %v", c.Kind, c.Lam, i, v, c.Target[i])
			}
		}
		mean := 0.0
		for i := range c.N {
			loss := linearLoss(pix[i*c.C*c.H*c.W:][:c.C*c.H*c.W], targets[i*c.Classes:][:c.Classes])
			if math.Abs(loss-c.Losses[i]) > 1e-5 {
				t.Errorf("%s %v: loss of sample %d is %v, want %v", c.Kind, c.Lam, i, loss, c.Losses[i])
			}
			mean += loss / float64(c.N)
		}
		if math.Abs(mean-c.Loss) > 1e-5 {
			t.Errorf("%s %v: loss %v, want %v", c.Kind, c.Lam, mean, c.Loss)
		}
	}
}

// linearLoss is the cross-entropy of the script's linear model.
func linearLoss(image []byte, target []float32) float64 {
	logits := make([]float64, len(target))
	for j, v := range image {
		for k := range logits {
			logits[k] += float64(v) / 255 * float64((j*7+k*11)%13-6) / 13
		}
	}
	sum, top := 0.0, slices.Max(logits)
	for _, x := range logits {
		sum += math.Exp(x - top)
	}
	loss := 0.0
	for k, x := range logits {
		loss -= float64(target[k]) * (x - top - math.Log(sum))
	}
	return loss
}

// TestBeta holds the draws against the moments of Beta(a, a): variance
// 1/(4(2a+1)), fourth central moment 3/(16(2a+1)(2a+3)), kurtosis alike.
func TestBeta(t *testing.T) {
	for _, a := range []float64{0.01, 0.2, 0.5, 0.51, 0.8, 1, 4, 100} {
		r := random.Stream(17)
		const n = 40000
		mean, second, fourth := 0.0, 0.0, 0.0
		for range n {
			x := beta(&r, a)
			if !(x >= 0 && x <= 1) {
				t.Fatalf("alpha %v: %v", a, x)
			}
			d := x - 0.5
			mean, second, fourth = mean+d/n, second+d*d/n, fourth+d*d*d*d/n
		}
		v, f := 1/(4*(2*a+1)), 3/(16*(2*a+1)*(2*a+3))
		if math.Abs(mean) > 5*math.Sqrt(v/n) || math.Abs(second/v-1) > 0.03 || math.Abs(fourth/f-1) > 0.05 {
			t.Errorf("alpha %v: mean %.4f, variance %.5f (want %.5f), fourth moment %.6f (want %.6f)", a, 0.5+mean, second, v, fourth, f)
		}
	}
}

// TestMixDraws: how often, which of the two, and where the box lies.
func TestMixDraws(t *testing.T) {
	m := Mix{Mixup: 0.8, Cutmix: 1, Prob: 0.75, Switch: 0.4}
	const n, h, w = 20000, 30, 50
	mixed, cut, share := 0, 0, 0.0
	seen := map[mixing]bool{}
	for step := range uint32(n) {
		d := m.draw(Draw{Seed: 5, Epoch: 2, Index: step}.stream(purposeMix), h, w)
		seen[d] = true
		switch {
		case d.cut:
			cut++
			mixed++
			share += d.share
			if d.y0 < 0 || d.y1 > h || d.x0 < 0 || d.x1 > w || d.y0 > d.y1 || d.x0 > d.x1 {
				t.Fatalf("box %+v", d)
			}
		case d.share != 1:
			mixed++
		}
	}
	// A uniform share leaves 1/2 where the box never crosses an edge, and more as it does.
	if p := float64(mixed) / n; math.Abs(p-0.75) > 0.013 {
		t.Errorf("%.3f of the batches are mixed, want 0.75", p)
	}
	if p := float64(cut) / float64(mixed); math.Abs(p-0.4) > 0.017 {
		t.Errorf("%.3f of them are cut, want 0.4", p)
	}
	if s := share / float64(cut); s < 0.6 || s > 0.8 {
		t.Errorf("mean share of cuts %.3f", s)
	}
	if len(seen) < n*6/10 {
		t.Errorf("%d different draws of %d", len(seen), n)
	}
	base := m.draw(Draw{1, 2, 3}.stream(purposeMix), h, w)
	for _, d := range []Draw{{2, 2, 3}, {1, 3, 3}, {1, 2, 4}} {
		if m.draw(d.stream(purposeMix), h, w) == base {
			t.Errorf("%+v draws the same", d)
		}
	}
	if d := (&Mix{Prob: 1, Switch: 1}).draw(3, h, w); d != (mixing{share: 1}) {
		t.Errorf("without alphas: %+v", d)
	}
}

// TestMixedBatches: a batch is the plain one, mixed within itself, the last one
// and one with bad samples too, for any number of workers and from any step on.
func TestMixedBatches(t *testing.T) {
	const n, size, classes = 22, 6, 10
	mix := Mix{Mixup: 1, Cutmix: 1, Prob: 1, Switch: 0.5}
	open := func(m Mix, workers int) *Loader {
		src, err := NewSource(&holes{ramp{n: n}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := New(src, Options{BatchSize: size, Workers: workers, Prefetch: 2, Shuffle: true, Seed: 9, OneHot: classes, Smoothing: 0.1, Mix: m, Bad: &BadSamples{}})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	read := func(l *Loader, first int) (all []Batch) {
		it, err := l.EpochFrom(t.Context(), 4, first, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := it.Next()
			if err == io.EOF {
				return all
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, Batch{N: b.N, Indices: slices.Clone(b.Indices), Images: bytes.Clone(b.Images), Labels: slices.Clone(b.Labels),
				Targets: []Values{{Floats: slices.Clone(b.Targets[0].Floats)}}})
		}
	}
	same := func(a, b Batch) bool {
		return bytes.Equal(a.Images, b.Images) && slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Indices, b.Indices) && slices.Equal(a.Targets[0].Floats, b.Targets[0].Floats)
	}
	plain, mixed := read(open(Mix{}, 1), 0), read(open(mix, 1), 0)
	odd := 0
	for step, b := range mixed {
		want := plain[step]
		d := mix.draw(Draw{9, 4, uint32(step)}.stream(purposeMix), 3, 4)
		odd += b.N % 2
		if d.share < 1 && bytes.Equal(b.Images, want.Images) {
			t.Errorf("step %d is not mixed", step)
		}
		for i := range b.N {
			j := b.N - 1 - i
			for k, v := range b.Targets[0].Floats[i*classes:][:classes] {
				exact := d.share*float64(want.Targets[0].Floats[i*classes+k]) + (1-d.share)*float64(want.Targets[0].Floats[j*classes+k])
				if math.Abs(float64(v)-exact) > 1e-6 {
					t.Fatalf("step %d, sample %d: target %d is %v, want %v", step, i, k, v, exact)
				}
			}
		}
		d.images(want.Images, b.N, 2, 3, 4, false)
		if !bytes.Equal(b.Images, want.Images) || !slices.Equal(b.Labels, want.Labels) {
			t.Errorf("step %d: other images or labels", step)
		}
	}
	if odd == 0 || len(mixed) != 4 || mixed[3].N >= size {
		t.Errorf("%d steps, %d of them odd", len(mixed), odd)
	}
	for _, workers := range []int{1, 3} {
		for first := range 4 {
			for k, b := range read(open(mix, workers), first) {
				if !same(b, mixed[first+k]) {
					t.Errorf("%d workers, from step %d: step %d is another batch", workers, first, first+k)
				}
			}
		}
	}
}

// holes is ramp with a bad sample.
type holes struct{ ramp }

func (h *holes) Read(i uint32, r *Record) error {
	if i == 7 {
		return ErrBadData
	}
	return h.ramp.Read(i, r)
}

func TestMixAllocatesNothing(t *testing.T) {
	src, err := NewMemory("m", 1, 28, 28, make([]byte, 2048*784), make([]int64, 2048), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := NewSource(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(plain, Options{BatchSize: 8, Workers: 2, OneHot: 10, Mix: Mix{Mixup: 0.2, Cutmix: 1, Prob: 1, Switch: 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := l.Epoch(t.Context(), 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for range 8 {
		it.Next()
	}
	if n := testing.AllocsPerRun(200, func() { it.Next() }); n > 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestMixIsChecked(t *testing.T) {
	nan := math.NaN()
	for _, o := range []Options{
		{Mix: Mix{Mixup: -1}}, {Mix: Mix{Cutmix: nan}}, {Mix: Mix{Prob: 2}}, {Mix: Mix{Switch: nan}}, {Smoothing: 1}, {Smoothing: nan},
		{Mix: Mix{Mixup: 1, Prob: 1}, OneHot: 10, Shard: Shard{Index: 0, Of: 2}, Bad: &BadSamples{}},
		{Mix: Mix{Mixup: 1, Prob: 1}}, // classes are no vectors
	} {
		if _, err := New(plain(t, ramp{n: 4}), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func BenchmarkMixup(b *testing.B) {
	pix := make([]byte, 128*3*32*32)
	for i := range pix {
		pix[i] = byte(i * 7)
	}
	b.SetBytes(int64(len(pix)))
	for b.Loop() {
		mixing{share: 0.3}.images(pix, 128, 3, 32, 32, false)
	}
}
