package cli

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestCompletionScripts has each shell that is here read its script.
func TestCompletionScripts(t *testing.T) {
	for shell := range completions {
		var out bytes.Buffer
		if err := Run(context.Background(), []string{"winnow", "completion", shell}, &out, &out); err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		if !strings.Contains(out.String(), "winnow") {
			t.Errorf("%s: %q", shell, out.String())
		}
		if path, err := exec.LookPath(shell); err == nil && shell != "man" {
			cmd := exec.Command(path, "-n", "/dev/stdin")
			cmd.Stdin = &out
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s does not take it: %v: %s", shell, err, text)
			}
		}
	}
	var out bytes.Buffer
	if err := Run(context.Background(), []string{"winnow", "completion", "tcsh"}, &out, &out); err == nil || !strings.Contains(err.Error(), "zsh") {
		t.Errorf("an unknown shell gives %v", err)
	}
}

// The manual has every flag of every command, and groff, where it is, has
// nothing to say against it.
func TestManPage(t *testing.T) {
	app := newApp(newOutput(io.Discard, io.Discard))
	page, err := manPage(app)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range app.Commands {
		if !strings.Contains(page, ".SH WINNOW "+strings.ToUpper(c.Name)) {
			t.Errorf("no section for %s", c.Name)
		}
		for _, f := range c.Flags {
			if !strings.Contains(page, roff(dashes(f.Names()[0]))) {
				t.Errorf("%s: no --%s", c.Name, f.Names()[0])
			}
		}
	}
	if path, err := exec.LookPath("groff"); err == nil {
		cmd := exec.Command(path, "-man", "-ww", "-z", "-Tutf8")
		cmd.Stdin = strings.NewReader(page)
		if text, err := cmd.CombinedOutput(); err != nil || len(text) > 0 {
			t.Errorf("groff: %v: %s", err, text)
		}
	}
}
