package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/runtime/ortest"
)

// tripped panics at a write that contains the words, as a fault of the code
// that prints would.
type tripped struct{ words string }

func (w tripped) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.words)) {
		return len(w.words[len(p):]), nil // the words are the shorter ones
	}
	return len(p), nil
}

// A panic in the first goroutine ends the command in one sentence, with the stack
// in a file; the run goes on from its last checkpoint to the end of a whole one.
func TestPanics(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	t.Setenv("TMPDIR", in("tmp"))
	if err := os.Mkdir(in("tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	train := func(out string) []string { return trainMLP(out, "--epochs", "4", "--prune", "infobatch") }
	winnow(t, train(in("whole"))...).succeeds(t)

	words := tripped{" 3/4 "}
	var stderr bytes.Buffer
	broken := outcome{code: run(context.Background(), append([]string{"winnow"}, train(in("broken"))...), words, &stderr), stderr: stderr.String()}
	broken.fails(t, exitFailed, "a fault of the program: runtime error: slice bounds out of range", "at winnow.tripped.Write (main_panic_test.go:", "report it with "+in("tmp"))
	files, err := filepath.Glob(in("tmp/winnow-fault-*.txt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of stacks: %q, %v", files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), "main_panic_test.go") || !strings.Contains(string(text), "winnow/train.") {
		t.Errorf("%v, the file of the stack:\n%s", err, text)
	}

	winnow(t, "train", "--resume", in("broken")).succeeds(t)
	sameRun(t, "after a panic", in("broken"), in("whole"), 4)

	// Where the stack cannot be written, it is not.
	t.Setenv("TMPDIR", in("none"))
	stderr.Reset()
	code := run(context.Background(), []string{"winnow", "version"}, tripped{"winnow"}, &stderr)
	outcome{code: code, stderr: stderr.String()}.fails(t, exitFailed, "a fault of the program", "please report it")
}
