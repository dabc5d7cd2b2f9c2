package experiment

import (
	"os/exec"
	"syscall"
)

// endsWithParent ends a child cleanly where its parent is killed, so that no run
// goes on that nobody waits for.
func endsWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
