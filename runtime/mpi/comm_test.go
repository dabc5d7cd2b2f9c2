//go:build cgo && linux

package mpi

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// stub is an MPI library with one process of two in it, which adds the other's
// numbers: the same.
const stub = `
#include <string.h>
int MPI_Init_thread(int *a, char ***b, int want, int *got) { *got = want; return 0; }
int MPI_Initialized(int *f) { *f = 0; return 0; }
int MPI_Comm_rank(int c, int *r) { *r = 0; return 0; }
int MPI_Comm_size(int c, int *n) { *n = 2; return 0; }
int MPI_Allreduce(const void *in, void *out, int n, int t, int op, int c) { for (int i = 0; i < n; i++) ((float *)out)[i] *= 2; return 0; }
int MPI_Bcast(void *p, int n, int t, int root, int c) { return 0; }
int MPI_Abort(int c, int code) { return 0; }
int MPI_Finalize(void) { return 0; }
int MPI_Get_library_version(char *s, int *n) { strcpy(s, "MPICH Version: stub"); *n = strlen(s); return 0; }
`

// A library that says it adds what lies on a GPU is taken at its word, unless the
// user says otherwise; one that says nothing is not.
func TestCUDAQuery(t *testing.T) {
	says := func(answer string) string {
		return stub + "int MPIX_Query_cuda_support(void) { return " + answer + "; }"
	}
	for _, c := range []struct {
		source, variable string
		want             bool
	}{
		{stub, "", false}, {says("0"), "", false}, {says("1"), "", true}, {says("1"), "off", false}, {stub, "on", true}, {says("0"), "on", true},
	} {
		dir := t.TempDir()
		source, file := filepath.Join(dir, "stub.c"), filepath.Join(dir, "libmpi.so")
		if err := os.WriteFile(source, []byte(c.source), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", file, source).CombinedOutput(); err != nil {
			t.Fatalf("the C compiler that the package needs too: %v %s", err, out)
		}
		t.Setenv(Variable, file)
		t.Setenv(CUDAVariable, c.variable)
		comm := &Comm{}
		if err := comm.begin(launched{size: 2, family: mpich}); err != nil {
			t.Fatal(err)
		}
		if comm.CUDA != c.want {
			t.Errorf("%s=%q: CUDA is %v, want %v", CUDAVariable, c.variable, comm.CUDA, c.want)
		}
	}
}
