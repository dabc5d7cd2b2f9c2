package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"winnow/run"
	"winnow/train"
)

// fixedProgress writes to buffers, on a terminal or not, by a clock of its own.
func fixedProgress(ctx context.Context, tty bool) (p *progress, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	out := newOutput(stdout, stderr)
	out.tty = tty
	p = newProgress(ctx, out, 2, false)
	now := time.Unix(0, 0)
	p.now = func() time.Time { now = now.Add(time.Second); return now }
	return p, stdout, stderr
}

func course(p *progress) {
	p.Notice("a decision")
	for step := 0; step <= 4; step++ {
		p.Progress(train.Progress{Phase: train.PhaseTrain, Epoch: 1, Epochs: 2, Step: step, Steps: 4,
			Samples: 100 * step, Loss: 1.5, LearningRate: 0.05, Used: 300, Full: 400})
	}
	p.Progress(train.Progress{Phase: train.PhaseEval, Epoch: 1, Epochs: 2, Step: 1, Steps: 1, Samples: 50})
	p.Epoch(run.Epoch{Epoch: 1, TrainLoss: 1.5, TestLoss: 1.25, TestAccuracy: 0.8125, LearningRate: 0.05,
		SamplesUsed: 12300, SamplesTotal: 16400, SavedRatio: 0.25, Seconds: run.Seconds{StepSeconds: 2, WallSeconds: 3}})
	p.clear()
}

func TestPlainProgress(t *testing.T) {
	p, stdout, stderr := fixedProgress(t.Context(), false)
	course(p)
	if got := stderr.String(); got != "note: a decision\n" {
		t.Errorf("stderr %q", got)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) != 2 || strings.Contains(stdout.String(), "\x1b") {
		t.Fatalf("want a head and one plain line, got\n%s", stdout)
	}
	for _, want := range []string{"1/2", "1.5000", "1.2500", "81.25%", "0.05", "12,300", "25.00%", "6,150", "3.0s"} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("the epoch's line lacks %s: %s", want, lines[1])
		}
	}
}

func TestBars(t *testing.T) {
	p, stdout, stderr := fixedProgress(t.Context(), true)
	course(p)
	for _, want := range []string{"epochs", "(0/2)", "(1/2)", "saved 25.00%", "(2/4)", "(0/2)  6.0s left", "(1/2)  5.0s left", "loss 1.5000", "lr 0.05", "100 images/s", "eval"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the bars never show %q:\n%q", want, stderr)
		}
	}
	if !strings.HasSuffix(stderr.String(), "\r\x1b[2K\x1b[1A\x1b[2K") {
		t.Errorf("the bars were not cleared: %q", stderr)
	}
	if strings.Contains(stdout.String(), "\x1b") {
		t.Errorf("colours without a terminal on stdout: %q", stdout)
	}
}

func TestBarsAfterInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, _, stderr := fixedProgress(ctx, true)
	p.Progress(train.Progress{Phase: train.PhaseTrain, Epoch: 1, Epochs: 2, Step: 1, Steps: 4})
	cancel()
	before := stderr.Len()
	p.Progress(train.Progress{Phase: train.PhaseTrain, Epoch: 1, Epochs: 2, Step: 4, Steps: 4})
	p.clear()
	if stderr.Len() != before {
		t.Errorf("drawn over the notice that the run stops: %q", stderr.String()[before:])
	}
}

func TestQuiet(t *testing.T) {
	p, stdout, stderr := fixedProgress(t.Context(), true)
	p.quiet = true
	course(p)
	if stdout.Len()+stderr.Len() > 0 {
		t.Errorf("quiet wrote %q %q", stdout, stderr)
	}
}

func TestColor(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"TERM": "xterm"}, true},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{map[string]string{"TERM": "dumb"}, false},
	} {
		if got := colorful(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
	o := newOutput(new(bytes.Buffer), new(bytes.Buffer))
	if o.color || o.style(styleBold, "x") != "x" {
		t.Error("colours without a terminal")
	}
	o.color = true
	if o.style(styleBold, "x") == "x" {
		t.Error("no style where colours are wanted")
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{countText(0), "0"}, {countText(999), "999"}, {countText(1281167), "1,281,167"}, {countText(-1234), "-1,234"},
		{bytesText(999), "999 B"}, {bytesText(312_400), "312 KB"}, {bytesText(4_100_000), "4.1 MB"},
		{seconds(4.21), "4.2s"}, {seconds(723), "12m03s"}, {seconds(11100), "3h05m"},
		{cut("abcdef", 3), "abc"}, {cut("abc", 10), "abc"},
		{dashes("o"), "-o"}, {dashes("out"), "--out"},
		{retype(`invalid value "x" for flag -lr: parse error`), `invalid value "x" for flag --lr: parse error`},
		{retype("flag needs an argument: -out"), "flag needs an argument: --out"},
		{runName("a b/c", "glyphs", "auto", 3), "runs/a_b_c-glyphs-auto-s3"},
		{drawImage([]byte{0, 255, 0, 255}, 1, 2, 2), "   @\n"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
