package cli

import (
	"testing"
	"time"

	"winnow/run"
)

// The time left is that of an epoch so far, times the epochs left, less what
// went by since the last epoch ended.
func TestTimeLeftOfAnExperiment(t *testing.T) {
	now := time.Unix(1000, 0)
	e := estimate{now: func() time.Time { return now }}
	ask := func(after time.Duration, epochs, left int, want float64) {
		t.Helper()
		now = now.Add(after * time.Second)
		e.at("a", epochs)
		got, ok := e.seconds(left)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%v, %v, want %v", got, ok, want)
		}
	}
	e.begin("a", 0)
	ask(5, 0, 8, -1)  // nothing known
	ask(5, 1, 7, 70)  // one epoch took 10 s
	ask(4, 1, 7, 66)  // counts down
	ask(10, 2, 6, 72) // two took 24 s
	s := run.Summary{}
	s.WallSeconds, s.Epochs = 80, 4
	e.end("a", &s)
	e.begin("a", 1)      // goes on after its first epoch
	ask(3, 1, 3, 60)     // 20 s an epoch
	ask(7, 2, 2, 2*90/5) // (80+10)/5 s
	ask(100, 2, 2, 0)
	e.begin("b", 0)
	e.at("b", 2)
	ask(9, 2, 4, (80+119+9)/7.*4/2) // 7 epochs; two runs halve what is left
}
