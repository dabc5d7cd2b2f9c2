//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/race"
	"winnow/runtime/ortest"
)

// ended waits for a process and gives what it said last, in one line.
func ended(t *testing.T, cmd *exec.Cmd, stderr *bytes.Buffer) (int, string) {
	t.Helper()
	got := code(cmd)
	text := strings.TrimSpace(stderr.String())
	if strings.Contains(text, "goroutine ") || strings.Contains(text, "SIG") || strings.Count(text, "winnow: ") != 1 {
		t.Errorf("want one line that starts with winnow:, got\n%s", text)
	}
	return got, text[strings.LastIndex(text, "\n")+1:]
}

// under runs the program in a shell after a command of its, such as a limit.
func under(limit string, args ...string) *exec.Cmd {
	cmd := program(args...)
	inner := exec.Command("sh", append([]string{"-c", limit + `; exec "$@"`, "sh"}, cmd.Args...)...)
	inner.Env = cmd.Env
	return inner
}

// Whatever happens to a run from outside, it ends with one sentence and the right
// exit code, and goes on from its last checkpoint.
func TestGuards(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	data := "idx:" + idxFiles(t, in("images"), 256)
	long := func(out string) (*exec.Cmd, *bytes.Buffer) {
		cmd, stderr := program("train", "--bundle", "mlp", "--data", data, "--batch-size", "16", "--epochs", "60000", "--device", "cpu", "--threads", "1", "-q", "--out", out), &bytes.Buffer{}
		cmd.Stderr = stderr
		started(t, cmd)
		await(t, filepath.Join(out, "checkpoints", "2-0"))
		return cmd, stderr
	}
	goesOn := func(t *testing.T, run string) {
		t.Helper()
		before, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := program("train", "--resume", run, "-q")
		started(t, cmd)
		for range 1_000_000 { // a run that cannot go on adds nothing
			if now, _ := os.ReadFile(filepath.Join(run, "metrics.jsonl")); len(now) > len(before)+400 {
				break
			}
		}
		_ = cmd.Process.Signal(os.Interrupt)
		if got := code(cmd); got != exitInterrupted {
			t.Errorf("going on: exit code %d", got)
		}
	}

	t.Run("folder removed", func(t *testing.T) {
		cmd, stderr := long(in("removed"))
		if err := os.RemoveAll(in("removed")); err != nil {
			_ = os.RemoveAll(in("removed")) // a checkpoint came between
		}
		if got, said := ended(t, cmd, stderr); got != exitFailed || !strings.Contains(said, in("removed")) || !strings.Contains(said, "no such file") {
			t.Errorf("exit code %d, %s", got, said)
		}
	})
	t.Run("folder moved", func(t *testing.T) {
		cmd, stderr := long(in("moved"))
		if err := os.Rename(in("moved"), in("there")); err != nil {
			t.Fatal(err)
		}
		if got, said := ended(t, cmd, stderr); got != exitFailed || !strings.Contains(said, in("moved")) {
			t.Errorf("exit code %d, %s", got, said)
		}
		goesOn(t, in("there"))
	})
	t.Run("lines removed", func(t *testing.T) {
		cmd, stderr := long(in("lines"))
		if err := os.Remove(in("lines/metrics.jsonl")); err != nil {
			t.Fatal(err)
		}
		if got, said := ended(t, cmd, stderr); got != exitFailed || !strings.Contains(said, "metrics.jsonl of ") {
			t.Errorf("exit code %d, %s", got, said)
		}
		winnow(t, "train", "--resume", in("lines"), "-q").fails(t, exitInput, "metrics.jsonl", "--init")
		winnow(t, "train", "--init", in("lines"), "--bundle", "mlp", "--data", data, "--epochs", "1", "--device", "cpu", "-q", "--out", in("from lines")).succeeds(t)
	})
	t.Run("disk full", func(t *testing.T) {
		out := in("full")
		cmd, stderr := long(out)
		_ = cmd.Process.Signal(os.Interrupt)
		if got := code(cmd); got != exitInterrupted {
			t.Fatalf("exit code %d, %s", got, stderr)
		}
		stderr = &bytes.Buffer{}
		cmd = under("ulimit -f 64", "train", "--resume", out, "-q") // as a full disk: no file may grow
		cmd.Stderr = stderr
		started(t, cmd)
		if got, said := ended(t, cmd, stderr); got != exitFailed || !strings.Contains(said, out) || !strings.Contains(said, "too large") {
			t.Errorf("exit code %d, %s", got, said)
		}
		goesOn(t, out)
	})
	t.Run("data cut", func(t *testing.T) {
		out, file := in("cut"), in("images/train-images-idx3-ubyte")
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cmd, stderr := long(out)
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
		if got, said := ended(t, cmd, stderr); got != exitInput || !strings.Contains(said, "changed while it was in use") {
			t.Errorf("exit code %d, %s", got, said)
		}
		winnow(t, "train", "--resume", out, "-q").fails(t, exitInput, file)
		write(t, file, whole)
		goesOn(t, out)
		whole[len(whole)/2] ^= 0xff
		whole[16] ^= 0xff
		write(t, file, whole)
		winnow(t, "train", "--resume", out, "-q").fails(t, exitInput, "changed", "--init")
	})
	if !race.Enabled { // which takes all addresses
		t.Run("memory", func(t *testing.T) {
			out, stderr := in("memory"), &bytes.Buffer{}
			cmd := under("ulimit -v 6000000", "train", "--bundle", "resnet20", "--data", "glyphs:color=rgb,train=6000,test=10", "--batch-size", "6000",
				"--epochs", "1", "--device", "cpu", "--threads", "1", "-q", "--out", out)
			cmd.Stderr = stderr
			started(t, cmd)
			if got, said := ended(t, cmd, stderr); got != exitFailed || !strings.Contains(said, "out of memory") || !strings.Contains(said, "--batch-size") {
				t.Errorf("exit code %d, %s", got, said)
			}
			absent(t, out)
		})
	}
}

// Data that does not fit is refused before the run is announced.
func TestRefusedFirst(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	o := winnow(t, "train", "--bundle", "resnet20", "--data", "glyphs:train=64,test=32", "--device", "cpu", "--out", out)
	o.fails(t, exitInput, "1x28x28")
	if strings.Contains(o.stderr, "recipe") {
		t.Errorf("announced, and then refused:\n%s", o.stderr)
	}
	absent(t, out)
}
