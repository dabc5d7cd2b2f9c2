package eval

import (
	"context"
	"errors"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"winnow/loader"
)

// table plays a model: the first byte of an image says which row of logits it has.
type table struct {
	rows [][]float32
	err  error
}

var _ Runner = (*table)(nil)

func (m *table) Run(n int, images []byte) ([]float32, error) {
	var out []float32
	for _, i := range images[:n] {
		out = append(out, m.rows[i]...)
	}
	return out, m.err
}

// list delivers given batches.
type list []*loader.Batch

var _ Batches = (*list)(nil)

func (l *list) Next() (*loader.Batch, error) {
	if len(*l) == 0 {
		return nil, io.EOF
	}
	b := (*l)[0]
	*l = (*l)[1:]
	return b, nil
}

func batches(labels []int64, size int) *list {
	l := &list{}
	for lo := 0; lo < len(labels); lo += size {
		hi := min(lo+size, len(labels))
		b := &loader.Batch{N: hi - lo, Labels: labels[lo:hi]}
		for i := lo; i < hi; i++ {
			b.Images = append(b.Images, byte(i))
			b.Indices = append(b.Indices, uint32(i))
		}
		*l = append(*l, b)
	}
	return l
}

func TestEvaluateAgainstSorting(t *testing.T) {
	const classes, n = 7, 200
	random := rand.New(rand.NewPCG(1, 2))
	m, labels := &table{}, make([]int64, n)
	want := Result{Samples: n, PerClass: make([]Class, classes)}
	for i := range labels {
		row := make([]float32, classes)
		for k := range row {
			row[k] = float32(random.IntN(6)) // ties are frequent
		}
		m.rows = append(m.rows, row)
		labels[i] = int64(random.IntN(classes))
		order := []int{0, 1, 2, 3, 4, 5, 6}
		sort.SliceStable(order, func(a, b int) bool { return row[order[a]] > row[order[b]] })
		c := &want.PerClass[labels[i]]
		c.Samples++
		if order[0] == int(labels[i]) {
			want.Top1 += 1.0 / n
			c.Correct++
		}
		for _, k := range order[:5] {
			if k == int(labels[i]) {
				want.Top5 += 1.0 / n
			}
		}
		sum := 0.0
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		want.Loss -= math.Log(math.Exp(float64(row[labels[i]]))/sum) / n
	}
	for _, size := range []int{1, 32, 200} {
		got, err := Evaluate(context.Background(), m, batches(labels, size), classes)
		if err != nil {
			t.Fatal(err)
		}
		if got.Samples != n || !(math.Abs(got.Top1-want.Top1)+math.Abs(got.Top5-want.Top5)+math.Abs(got.Loss-want.Loss) <= 1e-9) {
			t.Errorf("batches of %d: %+v, want %+v", size, got, want)
		}
		for k, c := range got.PerClass {
			if c != want.PerClass[k] {
				t.Errorf("class %d: %+v, want %+v", k, c, want.PerClass[k])
			}
		}
	}
}

func TestProbabilities(t *testing.T) {
	m := &table{rows: [][]float32{{1, 2, 3}, {1000, 0, -1000}, {5, 5, 5}}}
	var got [][]float32
	err := Probabilities(context.Background(), m, batches([]int64{0, 1, 2}, 2), 3, func(i uint32, label int64, p []float32) {
		if int(i) != len(got) || label != int64(i) {
			t.Errorf("sample %d with label %d", i, label)
		}
		got = append(got, slices.Clone(p))
	})
	e := math.E
	sum := 1 + e + e*e
	want := [][]float64{{1 / sum, e / sum, e * e / sum}, {1, 0, 0}, {1. / 3, 1. / 3, 1. / 3}}
	for i := range want {
		for k, p := range want[i] {
			if err != nil || math.Abs(float64(got[i][k])-p) > 1e-7 {
				t.Fatal(err, got)
			}
		}
	}
	m.rows[0] = []float32{1}
	if err := Probabilities(context.Background(), m, batches([]int64{0}, 1), 3, nil); !errors.Is(err, ErrLogits) {
		t.Error(err)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	m := &table{rows: [][]float32{{1, 2}}}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		ctx     context.Context
		m       *table
		label   int64
		classes int
		want    error
	}{
		"label":     {context.Background(), m, 2, 2, ErrLabel},
		"negative":  {context.Background(), m, -1, 2, ErrLabel},
		"logits":    {context.Background(), m, 0, 3, ErrLogits},
		"cancelled": {cancelled, m, 0, 2, context.Canceled},
		"model":     {context.Background(), &table{m.rows, broken}, 0, 2, broken},
	} {
		if _, err := Evaluate(c.ctx, c.m, batches([]int64{c.label}, 1), c.classes); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if res, err := Evaluate(context.Background(), m, &list{}, 2); err != nil || res.Samples != 0 || res.Loss != 0 {
		t.Errorf("no batches: %+v, %v", res, err)
	}
}

func TestRankOfNaN(t *testing.T) {
	nan := float32(math.NaN())
	if r := rank([]float32{nan, nan, nan}, 0); r != 3 {
		t.Errorf("a label whose logit is NaN has rank %d", r)
	}
	if r := rank([]float32{nan, 1, 2}, 1); r != 1 {
		t.Errorf("rank %d beside a NaN, want 1", r)
	}
}

// TestCrossEntropyAgainstBigFloats sums the exponentials' Taylor series in 200 bits.
func TestCrossEntropyAgainstBigFloats(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		row := make([]float32, 5)
		for k := range row {
			row[k] = float32(4 * random.NormFloat64())
		}
		sum := new(big.Float).SetPrec(200)
		for _, x := range row {
			sum.Add(sum, bigExp(float64(x)-float64(row[2])))
		}
		s, _ := sum.Float64()
		if got, want := crossEntropy(row, 2), math.Log(s); !(math.Abs(got-want) <= 1e-13*(1+want)) {
			t.Errorf("%v: %v, want %v", row, got, want)
		}
	}
	for _, c := range []struct {
		row  []float32
		want float64
	}{
		{[]float32{1000, 0}, 0}, {[]float32{-1000, 0}, 1000}, {[]float32{3e38, -3e38}, 0}, {[]float32{-5, -5}, math.Ln2},
	} {
		if got := crossEntropy(c.row, 0); !(math.Abs(got-c.want) <= 1e-12*(1+c.want)) {
			t.Errorf("%v: %v, want %v", c.row, got, c.want)
		}
	}
}

func bigExp(x float64) *big.Float {
	sum, term := big.NewFloat(1).SetPrec(200), big.NewFloat(1).SetPrec(200)
	for i := 1; i < 200; i++ {
		term.Mul(term, big.NewFloat(x).SetPrec(200))
		term.Quo(term, big.NewFloat(float64(i)).SetPrec(200))
		sum.Add(sum, term)
	}
	return sum
}

func TestCrossEntropy(t *testing.T) {
	dst := make([]float32, 2)
	if err := CrossEntropy(dst, []float32{0, 0, 0, 100}, []int64{1, 1}, 2); err != nil || math.Abs(float64(dst[0])-math.Ln2) > 1e-7 || dst[1] != 0 {
		t.Errorf("%v, %v", dst, err)
	}
	if err := CrossEntropy(dst, make([]float32, 3), []int64{0, 0}, 2); !errors.Is(err, ErrLogits) {
		t.Error(err)
	}
	if err := CrossEntropy(dst, make([]float32, 4), []int64{0, 2}, 2); !errors.Is(err, ErrLabel) {
		t.Error(err)
	}
}

// What is told of each sample is softmax's largest probability, and adds up to top-1.
func TestEvaluateTellsOfEach(t *testing.T) {
	m := &table{rows: [][]float32{{0, 1, 1}, {2, -1, 0}, {-300, 400, 0}}}
	var indices []uint32
	var right int
	r, err := Task{Classes: 3}.Evaluate(context.Background(), m, batches([]int64{1, 2, 1}, 2), func(index uint32, label, predicted int, confidence float64) {
		row, sum, top := m.rows[index], 0.0, 0.0
		for _, x := range row {
			sum += math.Exp(float64(x))
			top = max(top, math.Exp(float64(x)))
		}
		if want := top / sum; !(math.Abs(confidence-want) <= 1e-12) {
			t.Errorf("sample %d: confidence %v, want %v", index, confidence, want)
		}
		if indices = append(indices, index); label == predicted {
			right++
		}
	})
	if err != nil || len(indices) != 3 || indices[2] != 2 || right != 2 || r.Top1 != 2.0/3 {
		t.Errorf("%v, samples %v, %d right, top-1 %v", err, indices, right, r.Top1)
	}
}
