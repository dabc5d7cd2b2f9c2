//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"winnow/runtime/ortest"
)

// What a run folder promises holds for a run that goes on: one process at a time,
// by a lock that dies with it; the end of the terminal ends it as Ctrl-C does.
func TestGoingOn(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	cmd := started(t, program(trainMLP(out, "-q", "--epochs", "60000")...))
	await(t, filepath.Join(out, "checkpoints", "1-0"))
	for _, args := range [][]string{{"train", "--resume", out}, trainMLP(out, "--resume", "auto", "--epochs", "60000")} {
		winnow(t, args...).fails(t, exitUsage, "in use", fmt.Sprint("process ", cmd.Process.Pid))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	code(cmd)
	if _, err := os.Lstat(filepath.Join(out, ".winnow-lock")); err != nil {
		t.Fatal("the dead owner's lock is gone, so this shows nothing")
	}
	for _, signals := range [][]os.Signal{{syscall.SIGHUP, syscall.SIGHUP}, {syscall.SIGTERM}, {os.Interrupt}} {
		if err := os.Remove(filepath.Join(out, "summary.json")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		before, err := os.ReadFile(filepath.Join(out, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := started(t, program("train", "--resume", out, "-q"))
		for range 100_000 { // until it trains
			if now, _ := os.ReadFile(filepath.Join(out, "metrics.jsonl")); len(now) > len(before)+600 {
				break
			}
		}
		winnow(t, "train", "--resume", out).fails(t, exitUsage, "in use", fmt.Sprint("process ", cmd.Process.Pid))
		for _, s := range signals {
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		if got := code(cmd); got != exitInterrupted {
			t.Errorf("%v: exit code %d", signals, got)
		}
		if text, err := os.ReadFile(filepath.Join(out, "summary.json")); err != nil || !bytes.Contains(text, []byte(`"interrupted": true`)) {
			t.Errorf("%v: %v, summary.json:\n%s", signals, err, text)
		}
	}
}

// --resume auto starts in place of files of a run that came to no checkpoint, once
// its own first epoch is saved, and never in place of what is no run's.
func TestAutoTakesOurs(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	winnow(t, trainMLP(in("r"), "-q")...).succeeds(t)
	for _, c := range []struct{ name, file, text string }{
		{"model", "model.onnx", "somebody's model"}, {"metrics", "metrics.jsonl", "somebody's lines\n"}, {"config", "config.yaml", "somebody: true\n"},
		{"folder", "checkpoints/notes.txt", "somebody's notes"},
	} {
		write(t, in(c.name+"/"+c.file), []byte(c.text))
		same := unchanged(t, in(c.name))
		winnow(t, trainMLP(in(c.name), "--resume", "auto")...).fails(t, exitUsage, "never replaced")
		same(c.name)
	}

	// Without the lines that a checkpoint was taken with, and with a path that leads nowhere.
	winnow(t, trainMLP(in("lines"), "-q")...).succeeds(t)
	if err := os.Remove(in("lines/metrics.jsonl")); err != nil {
		t.Fatal(err)
	}
	same := unchanged(t, in("lines"))
	winnow(t, "train", "--resume", in("lines"), "--epochs", "3").fails(t, exitInput, in("lines"), "metrics.jsonl", "--init")
	same("without its lines") // summary.json with the rest
	if err := os.Symlink("loop", in("loop")); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"folder", "csv", "tar", "npz", "idx", "parquet"} {
		winnow(t, "data", "check", kind+":"+in("loop")).fails(t, exitInput, "loop")
	}

	// A run of ours without its checkpoints, and without its end.
	for _, path := range []string{"checkpoints", "summary.json"} {
		if err := os.RemoveAll(filepath.Join(in("r"), path)); err != nil {
			t.Fatal(err)
		}
	}
	same = unchanged(t, in("r"))
	winnow(t, trainMLP(in("r"), "--resume", "auto", "--lr", "100000", "--epochs", "2", "--data", "glyphs:train=600,test=200")...).fails(t, exitFailed, "not finite")
	same("before the first epoch was saved")
	winnow(t, trainMLP(in("r"), "-q", "--resume", "auto")...).succeeds(t)
	winnow(t, "compare", in("r")).succeeds(t)
}
