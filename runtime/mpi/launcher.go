package mpi

import (
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
)

// Variable chooses the library, by path or name; "off" trains alone whatever
// the launcher says.
const Variable = "WINNOW_MPI"

// CUDAVariable says "off" where a library that adds up what lies on a GPU is not
// to, and "on" where one that does not say so is; else the library's word counts.
const CUDAVariable = "WINNOW_MPI_CUDA"

const off = "off"

// family is whose library a launcher belongs to.
type family int

const (
	openMPI family = iota
	mpich
)

// launchers are how launchers tell a process that it is one of several, in the
// order in which they are looked for: mpirun of Open MPI and of MPICH, which
// sets what srun --mpi=pmi2 does too, then srun --mpi=pmix.
var launchers = []struct {
	rank, size string // variables; "" where the size is not told
	family     family
}{
	{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", openMPI},
	{"PMI_RANK", "PMI_SIZE", mpich},
	{"PMIX_RANK", "", openMPI},
}

// localRanks are the variables with a process's number on its own machine.
var localRanks = []string{"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "SLURM_LOCALID"}

// localSizes are those with how many there are.
var localSizes = []string{"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"}

// launched is what the environment says of a job.
type launched struct {
	rank, size int // size 0: not told
	family     family
}

// find reads the environment; ok is false for a process alone.
func find(get func(string) string) (l launched, ok bool, err error) {
	if get(Variable) == off {
		return l, false, nil
	}
	for _, k := range launchers {
		rank, err := strconv.Atoi(get(k.rank))
		if err != nil || rank < 0 {
			continue
		}
		l = launched{rank: rank, family: k.family}
		if k.size != "" {
			if l.size, err = strconv.Atoi(get(k.size)); err != nil {
				l.size = 0
			}
		}
		return l, l.size != 1, nil
	}
	if n, err := strconv.Atoi(get("SLURM_STEP_NUM_TASKS")); err == nil && n > 1 {
		return l, false, jobError("srun started %d tasks that cannot find each other; start them with srun --mpi=pmix or --mpi=pmi2, or set %s=%s for %d runs of their own", n, Variable, off, n)
	}
	return l, false, nil
}

// InJob is whether a launcher started this process with others, and its rank as
// the environment has it. Nothing is opened.
func InJob() (rank int, ok bool) {
	l, ok, err := find(os.Getenv)
	return l.rank, ok && err == nil
}

// libraryNames are the libraries of each family by the names that the system's
// loader knows, the standard's own ABI last.
var libraryNames = map[family][]string{
	openMPI: {"libmpi.so.40", "libmpi.so.80"},
	mpich:   {"libmpi.so.12", "libmpich.so.12", "libmpi_abi.so.1", "libmpi_abi.so.0"},
}

// candidates are where a family's library may be, in order: what the user
// names, what lies beside the launcher, and what the loader finds.
func candidates(f family, get func(string) string) []string {
	if name := get(Variable); name != "" {
		return []string{name}
	}
	if goruntime.GOOS == "darwin" {
		return []string{"libmpi.dylib", "/opt/homebrew/lib/libmpi.dylib", "/usr/local/lib/libmpi.dylib"}
	}
	var names []string
	if path, err := exec.LookPath("mpirun"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			for _, name := range libraryNames[f] {
				path := filepath.Join(filepath.Dir(filepath.Dir(real)), "lib", name)
				if _, err := os.Stat(path); err == nil {
					names = append(names, path)
				}
			}
		}
	}
	other := mpich
	if f == mpich {
		other = openMPI
	}
	names = append(append(names, libraryNames[f]...), libraryNames[other]...)
	return append(names, "libmpi.so")
}
