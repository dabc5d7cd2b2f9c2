//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"winnow/runtime/ortest"
)

// One process at a time writes a run folder; readers are free.
func TestOneRunAFolder(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	cmd := started(t, program(trainMLP(out, "-q", "--epochs", "60000")...))
	await(t, filepath.Join(out, "metrics.jsonl"))
	for _, more := range [][]string{nil, {"--overwrite"}} {
		winnow(t, trainMLP(out, more...)...).fails(t, exitUsage, "in use", fmt.Sprint("process ", cmd.Process.Pid), "since")
	}
	winnow(t, "eval", filepath.Join(out, "model.onnx"), "--data", tinyData, "--device", "cpu").succeeds(t)
	winnow(t, "inspect", filepath.Join(out, "model.onnx"))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := code(cmd); got != exitInterrupted {
		t.Errorf("the first run: exit code %d", got)
	}

	cmd = started(t, program(trainMLP(out, "-q", "--epochs", "60000", "--overwrite")...))
	await(t, filepath.Join(out, ".winnow-lock"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	code(cmd)
	winnow(t, trainMLP(out, "--overwrite")...).succeeds(t)
	winnow(t, "compare", out).succeeds(t)
}

// Runs without --out that begin at once have a folder each.
func TestDefaultFolders(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	var all []*exec.Cmd
	for range 3 {
		cmd := program("train", "--bundle", "mlp", "--data", tinyData, "--epochs", "3", "--device", "cpu", "--threads", "1", "-q")
		cmd.Dir = dir
		all = append(all, started(t, cmd))
	}
	for _, cmd := range all {
		if got := code(cmd); got != 0 {
			t.Errorf("exit code %d", got)
		}
	}
	runs, err := filepath.Glob(filepath.Join(dir, "runs", "*", "metrics.jsonl"))
	if err != nil || len(runs) != len(all) {
		t.Fatalf("%v, %v", runs, err)
	}
	for _, run := range runs {
		if lines, err := os.ReadFile(run); err != nil || bytes.Count(lines, []byte("\n")) != 3 {
			t.Errorf("%v, %s:\n%s", err, run, lines)
		}
	}
}

// The end of the terminal ends a run as Ctrl-C does, unless nohup says otherwise.
func TestHangup(t *testing.T) {
	ortest.CPU(t, 1)
	for _, c := range []struct {
		name    string
		ignored bool
		signals []os.Signal
	}{
		{"hangup", false, []os.Signal{syscall.SIGHUP, syscall.SIGHUP}}, // of the terminal and of the shell
		{"terminated", false, []os.Signal{syscall.SIGTERM, syscall.SIGTERM}},
		{"nohup", true, []os.Signal{syscall.SIGHUP}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			cmd := program(trainMLP(out, "--epochs", "60000")...)
			if c.ignored {
				args := append([]string{"-c", `trap "" HUP; exec "$@"`, "sh"}, cmd.Args...)
				env := cmd.Env
				cmd = exec.Command("sh", args...)
				cmd.Env = env
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			started(t, cmd)
			lines := bufio.NewReader(stdout)
			read := func(n int) {
				for range n {
					if _, err := lines.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
			}
			read(2)
			for _, s := range c.signals {
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			if c.ignored {
				read(30) // it goes on
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = io.Copy(io.Discard, lines)
			if got := code(cmd); got != exitInterrupted {
				t.Errorf("exit code %d, want %d", got, exitInterrupted)
			}
			if data, err := os.ReadFile(filepath.Join(out, "summary.json")); err != nil || !bytes.Contains(data, []byte(`"interrupted": true`)) {
				t.Errorf("%v, summary.json:\n%s", err, data)
			}
		})
	}
}

// A reader of the output that leaves, as head does, does not end a run.
func TestClosedOutput(t *testing.T) {
	ortest.CPU(t, 1)
	for _, stream := range []string{"stdout", "both"} {
		out := filepath.Join(t.TempDir(), "run")
		cmd := program(trainMLP(out, "--epochs", "40")...)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = w
		if stream == "both" {
			cmd.Stderr = w
		}
		started(t, cmd)
		if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := code(cmd); got != exitDone {
			t.Errorf("%s: exit code %d", stream, got)
		}
		winnow(t, "compare", out).succeeds(t)
		if lines, err := os.ReadFile(filepath.Join(out, "metrics.jsonl")); err != nil || bytes.Count(lines, []byte("\n")) != 40 {
			t.Errorf("%s: %v, %d lines", stream, err, bytes.Count(lines, []byte("\n")))
		}
	}
}

// broke is an output that takes nothing.
type broke struct{ err error }

func (b broke) Write([]byte) (int, error) { return 0, b.err }

// Results that arrive nowhere are an error, but where their reader has left; a run
// is trained to its end all the same.
func TestLostResults(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	for _, args := range [][]string{trainMLP(out, "-q"), trainMLP(out, "--overwrite"), {"eval", "--device", "cpu", out}, {"compare", out}, {"scores", out}, {"inspect", "mlp"}, {"version"}, {"--help"}} {
		for _, c := range []struct {
			err  error
			code int
		}{{syscall.ENOSPC, exitFailed}, {syscall.EPIPE, exitDone}} {
			if slices.Contains(args, "-q") { // prints nothing
				c.code = exitDone
				args = append(args, "--overwrite")
			}
			var stderr bytes.Buffer
			got := run(context.Background(), append([]string{"winnow"}, args...), broke{c.err}, &stderr)
			if got != c.code || c.code == exitFailed && !strings.Contains(stderr.String(), "no space left") {
				t.Errorf("%q, %v: exit code %d, %s", args, c.err, got, &stderr)
			}
		}
	}
	winnow(t, "eval", "--device", "cpu", out).succeeds(t)
}
