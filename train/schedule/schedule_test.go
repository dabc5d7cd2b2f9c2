package schedule

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestScheduleAgainstPyTorch reads what testdata/schedules.py wrote.
func TestScheduleAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/schedules.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Epochs int
		LR     float64
		Cases  []struct {
			Schedule Schedule
			Want     [][2]float64
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 6 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		if err := c.Schedule.Validate(file.Epochs); err != nil {
			t.Errorf("%+v: %v", c.Schedule, err)
		}
		for _, w := range c.Want {
			if got := c.Schedule.At(w[0], file.Epochs, file.LR); !(math.Abs(got-w[1]) <= 1e-4*file.LR) {
				t.Errorf("%+v at %v: %v, PyTorch has %v", c.Schedule, w[0], got, w[1])
			}
		}
	}
}

func TestScheduleEnds(t *testing.T) {
	s := Default()
	s.MinLR, s.WarmupEpochs = 0.001, 1
	for name, want := range map[string][3]float64{ // before, at the end of warm-up, at the end
		Constant: {DefaultWarmupLR, 0.1, 0.1},
		Step:     {DefaultWarmupLR, 0.1, 0.1},
		Cosine:   {DefaultWarmupLR, 0.1, 0.001},
		OneCycle: {0.1 / 25, 0.004 + 0.096*(1-math.Cos(math.Pi*2/3))/2, 0.1 / 25 / 1e4},
	} {
		s.Name = name
		for i, at := range []float64{0, 1, 5} {
			if got := s.At(at, 5, 0.1); !(math.Abs(got-want[i]) <= 1e-12) {
				t.Errorf("%s at %v: %v, want %v", name, at, got, want[i])
			}
		}
	}
	s.Name, s.WarmupEpochs = Cosine, 5 // nothing follows warm-up
	if got := s.At(5, 5, 0.1); got != 0.1 {
		t.Errorf("cosine after a warm-up of all epochs: %v", got)
	}
}
