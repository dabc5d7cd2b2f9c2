package cli

import (
	"bytes"
	"context"
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
