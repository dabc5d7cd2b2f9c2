package eval

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

// scipy's paired t-test (testdata/stats.py).
func TestPaired(t *testing.T) {
	text, err := os.ReadFile("testdata/stats.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Paired []struct {
			Differences             []float64
			Mean, Std, Low, High, P float64
		}
		McNemar []struct {
			A, B int
			P    float64
		}
	}
	if err := json.Unmarshal(text, &want); err != nil || len(want.Paired) == 0 {
		t.Fatal(err, len(want.Paired))
	}
	for i, c := range want.Paired {
		d := Paired(c.Differences)
		if d.Pairs != len(c.Differences) || !near(d.Mean, c.Mean) || !near(*d.Deviation, c.Std) || !near(*d.Low, c.Low) || !near(*d.High, c.High) ||
			math.Abs(*d.P-c.P) > 1e-9+1e-6*c.P {
			t.Errorf("case %d: %+v low %v high %v p %v, want %+v", i, d, *d.Low, *d.High, *d.P, c)
		}
		if got, want := d.Within(0.5), c.Low > -0.5; got != want {
			t.Errorf("case %d: within 0.5 is %v", i, got)
		}
	}
	if len(want.McNemar) == 0 {
		t.Fatal("no tests of McNemar's")
	}
	for _, c := range want.McNemar {
		if got := McNemar(c.A, c.B); math.Abs(got-c.P) > 1e-9 {
			t.Errorf("%d and %d: %v, want %v", c.A, c.B, got, c.P)
		}
	}
	if got := McNemar(0, 0); got != 1 {
		t.Error(got)
	}
}

// Calibration is checked by hand: bins (0.6, 0.667] and (0.933, 1].
func TestCalibration(t *testing.T) {
	var c Calibration
	if c.Error() != 0 {
		t.Error(c.Error())
	}
	c.Add(0.62, true)
	c.Add(0.64, false)
	c.Add(0.95, true)
	c.Add(1, true)
	// |0.5-0.63| of 2 of 4, |1-0.975| of 2 of 4
	if got := c.Error(); !near(got, 0.5*0.13+0.5*0.025) {
		t.Error(got)
	}
}

// A verdict needs two pairs that differ.
func TestPairedWithoutInterval(t *testing.T) {
	for _, x := range [][]float64{{0.3}, {0.25, 0.25, 0.25}} {
		if d := Paired(x); d.Low != nil || d.High != nil || d.P != nil || d.Within(10) || d.Seeds(10) != 0 {
			t.Errorf("%v: %+v", x, d)
		}
	}
}

// Seeds is the first number at which mean - t s/sqrt(n) clears the margin.
func TestSeeds(t *testing.T) {
	// t(0.975) of 2 to 12 degrees of freedom, from a table.
	quantile := []float64{4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788}
	d := Paired([]float64{-0.6, 0.5, 0.1})
	want := 0
	for k, q := range quantile {
		if n := k + 3; want == 0 && d.Mean-q**d.Deviation/math.Sqrt(float64(n)) > -0.5 {
			want = n
		}
	}
	if got := d.Seeds(0.5); want < 4 || got != want {
		t.Errorf("%d seeds, want %d", got, want)
	}
	if got := d.Seeds(0.001); got != 0 {
		t.Errorf("%d seeds for what would take more than a thousand", got)
	}
	if d := Paired([]float64{-0.6, -0.7}); d.Seeds(0.5) != 0 {
		t.Errorf("%d seeds, and the mean is below the margin", d.Seeds(0.5))
	}
}
