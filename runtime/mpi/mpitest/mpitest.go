// Package mpitest starts jobs of MPI for the tests of other packages.
package mpitest

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/internal/missing"
)

// Launcher starts jobs.
type Launcher struct {
	Name string // Open MPI or MPICH
	path string
}

// Launchers are those that are installed, of each kind one. Without any the
// test is skipped, or fails under CI=true.
func Launchers(t testing.TB) []Launcher {
	t.Helper()
	var found []Launcher
	seen := map[string]bool{}
	for _, name := range []string{"mpirun", "mpirun.openmpi", "mpirun.mpich", "mpiexec.hydra"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, "--version")
		cmd.Env = environment()
		out, _ := cmd.CombinedOutput() // what it says decides
		kind := ""
		switch text := string(out); {
		case strings.Contains(text, "Open MPI"), strings.Contains(text, "OpenRTE"):
			kind = "Open MPI"
		case strings.Contains(text, "HYDRA"):
			kind = "MPICH"
		}
		if kind != "" && !seen[kind] {
			seen[kind] = true
			found = append(found, Launcher{kind, path})
		}
	}
	if found == nil {
		missing.Skip(t, "no mpirun of Open MPI or MPICH; make setup-mpi installs one")
	}
	return found
}

// Command starts n processes of a program; the end of ctx kills the launcher.
func (l Launcher) Command(ctx context.Context, n int, program string, args ...string) *exec.Cmd {
	all := []string{"-n", strconv.Itoa(n)}
	if l.Name == "Open MPI" {
		all = append(all, "--oversubscribe", "--bind-to", "none")
	}
	cmd := exec.CommandContext(ctx, l.path, append(append(all, program), args...)...)
	cmd.Env = environment()
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// environment lets Open MPI run as root, where containers do.
func environment() []string {
	return append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
		"OMPI_MCA_rmaps_base_oversubscribe=1", "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe")
}
