package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	runs "winnow/run"
	"winnow/runtime/mpi/mpitest"
	"winnow/runtime/ortest"
)

// jobKills asks TestJobsSurviveKills for so many kills.
const jobKills = "WINNOW_TEST_JOB_KILLS"

// jobProgram is the program as processes of a job.
func jobProgram(ctx context.Context, t *testing.T, l mpitest.Launcher, n int, args ...string) *exec.Cmd {
	t.Helper()
	cmd := l.Command(ctx, n, os.Args[0], args...)
	cmd.Env = append(cmd.Env, asProgram+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals of a test reach the launcher's children through it alone
	return cmd
}

func jobArgs(out string, more ...string) []string {
	return append([]string{"train", "--bundle", "mlp", "--data", "glyphs:train=320,test=32", "--epochs", "5", "--batch-size", "16",
		"--seed", "3", "--prune", "infobatch", "--device", "cpu", "--threads", "1", "--save-every", "1e,9s", "--out", out}, more...)
}

// A job of two is what one process is, to the user: one table, one run, its
// losses; and an error comes once, with its exit code, from whichever rank.
func TestJobsSpeakOnce(t *testing.T) {
	ortest.CPU(t, 1)
	for _, l := range mpitest.Launchers(t) {
		t.Run(l.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			dir := t.TempDir()
			alone, both := filepath.Join(dir, "alone"), filepath.Join(dir, "both")
			winnow(t, jobArgs(alone)...).succeeds(t)
			out, err := jobProgram(ctx, t, l, 2, jobArgs(both)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if n := strings.Count(string(out), "test loss accuracy"); n != 1 || !strings.Contains(string(out), "2 processes") {
				t.Errorf("%d tables in\n%s", n, out)
			}
			a, err := runs.Read(alone)
			if err != nil {
				t.Fatal(err)
			}
			b, err := runs.Read(both)
			if err != nil {
				t.Fatal(err)
			}
			for i := range a.Epochs {
				x, y := a.Epochs[i], b.Epochs[i]
				if d := x.TrainLoss - y.TrainLoss; d > 1e-5 || d < -1e-5 || x.SamplesUsed != y.SamplesUsed || x.Steps != y.Steps {
					t.Errorf("epoch %d: %+v, alone %+v", i+1, y, x)
				}
			}
			for name, c := range map[string]struct {
				code  int
				words string
				args  []string
			}{
				"usage": {exitUsage, "--lr", jobArgs(filepath.Join(dir, "u"), "--lr", "-1")},
				"taken": {exitUsage, "overwrite", jobArgs(both)},
				"data":  {exitInput, "nothing-here", append(jobArgs(filepath.Join(dir, "d")), "--data", "folder:"+filepath.Join(dir, "nothing-here"))},
			} {
				began := time.Now()
				var stderr bytes.Buffer
				cmd := jobProgram(ctx, t, l, 2, c.args...)
				cmd.Stderr = &stderr
				err := cmd.Run()
				took := time.Since(began)
				text := stderr.String()
				if cmd.ProcessState.ExitCode() != c.code || strings.Count(text, "winnow: ") != 1 || !strings.Contains(text, c.words) {
					t.Errorf("%s: %v after %v: %s", name, err, took, text)
				}
			}
		})
	}
}

// A job that gets SIGINT at one rank stops at a step, and another number of
// ranks goes on with it.
func TestJobsStopAtAStep(t *testing.T) {
	const epochs = 40
	ortest.CPU(t, 1)
	l := mpitest.Launchers(t)[0]
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := filepath.Join(t.TempDir(), "run")
	args := jobArgs(out, "--epochs", strconv.Itoa(epochs), "--checkpoint-hist", strconv.Itoa(epochs)) // the first is kept for awaitFile
	cmd := jobProgram(ctx, t, l, 2, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, filepath.Join(out, runs.CheckpointDir, "1-0"))
	for _, pid := range ranksOf(t, out) {
		_ = syscall.Kill(pid, syscall.SIGINT)
		break
	}
	_ = cmd.Wait() // the launcher's own affair
	p, err := runs.Last(out)
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if r, err := runs.Read(out); err != nil || !r.Summary.Interrupted && p.Epoch < epochs {
		t.Errorf("%+v, %v: %s", p, err, stderr.String())
	}
	winnow(t, "train", "--resume", out).succeeds(t)
	if r, err := runs.Read(out); err != nil || r.Summary.Epochs != epochs || r.Summary.Interrupted {
		t.Errorf("%v", err)
	}
}

// awaitFile waits for a file that a run writes.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	for range 6000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not come", path)
}

// ranksOf are the processes of a job, known by the run folder in their command line.
func ranksOf(t *testing.T, out string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")) // gone already, or another user's
		if err == nil && bytes.Contains(line, []byte(out)) && bytes.HasPrefix(line, []byte(os.Args[0])) && (bytes.Contains(env, []byte("PMI_RANK=")) || bytes.Contains(env, []byte("OMPI_COMM_WORLD_RANK="))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A rank that is killed at any instant ends its job, and the run goes on.
func TestJobsSurviveKills(t *testing.T) {
	ortest.CPU(t, 1)
	kills := 3
	if n, err := strconv.Atoi(os.Getenv(jobKills)); err == nil {
		kills = n
	}
	launchers := mpitest.Launchers(t)
	random := rand.New(rand.NewPCG(17, 3))
	killed := 0
	for attempt := 0; killed < kills; attempt++ {
		l := launchers[attempt%len(launchers)]
		out := filepath.Join(t.TempDir(), fmt.Sprint("run", attempt))
		for done := false; !done; {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			cmd := jobProgram(ctx, t, l, 2, jobArgs(out, "--resume", "auto", "--epochs", "40")...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			if killed < kills {
				time.Sleep(time.Duration(500+random.IntN(2500)) * time.Millisecond)
				if pids := ranksOf(t, out); len(pids) > 0 && syscall.Kill(pids[random.IntN(len(pids))], syscall.SIGKILL) == nil {
					killed++
				}
			}
			err := <-ended
			if ctx.Err() != nil {
				t.Fatalf("%s: the job did not end after kill %d: %s", l.Name, killed, stderr.String())
			}
			cancel()
			done = err == nil
			if err != nil && killed >= kills {
				break
			}
		}
		if r, err := runs.Read(out); err == nil && !r.Summary.Interrupted && r.Summary.Epochs == 40 {
			continue
		}
		winnow(t, append(jobArgs(out), "--resume", "auto", "--epochs", "40")...).succeeds(t)
		if r, err := runs.Read(out); err != nil || r.Summary.Epochs != 40 {
			t.Errorf("after %d kills: %v", killed, err)
		}
	}
	t.Logf("%d ranks killed", killed)
}
