//go:build cgo && (linux || darwin)

package mpi

/*
#cgo linux LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Handles are addresses in Open MPI and numbers in MPICH and the standard ABI;
// either fits a register, and a function that takes a number reads its lower half.
typedef void *handle;

typedef struct {
	void *library;
	int (*init)(int *, char ***, int, int *);
	int (*initialized)(int *);
	int (*rank)(handle, int *);
	int (*size)(handle, int *);
	int (*allreduce)(const void *, void *, int, handle, handle, handle);
	int (*bcast)(void *, int, handle, int, handle);
	int (*abort)(handle, int);
	int (*finalize)(void);
	int (*version)(char *, int *);
	int (*abi)(int *, int *);
	int (*cuda)(void);
	handle world, float32, float64, bytes, sum;
	void *in_place;
	int funneled;
} mpi_api;

static void *mpi_open(const char *name) { return dlopen(name, RTLD_NOW | RTLD_GLOBAL); }

static int mpi_load(mpi_api *m, void *library) {
	memset(m, 0, sizeof *m);
	m->library = library;
	m->init = (int (*)(int *, char ***, int, int *))dlsym(library, "MPI_Init_thread");
	m->initialized = (int (*)(int *))dlsym(library, "MPI_Initialized");
	m->rank = (int (*)(handle, int *))dlsym(library, "MPI_Comm_rank");
	m->size = (int (*)(handle, int *))dlsym(library, "MPI_Comm_size");
	m->allreduce = (int (*)(const void *, void *, int, handle, handle, handle))dlsym(library, "MPI_Allreduce");
	m->bcast = (int (*)(void *, int, handle, int, handle))dlsym(library, "MPI_Bcast");
	m->abort = (int (*)(handle, int))dlsym(library, "MPI_Abort");
	m->finalize = (int (*)(void))dlsym(library, "MPI_Finalize");
	m->version = (int (*)(char *, int *))dlsym(library, "MPI_Get_library_version");
	m->abi = (int (*)(int *, int *))dlsym(library, "MPI_Abi_get_version");
	m->cuda = (int (*)(void))dlsym(library, "MPIX_Query_cuda_support"); // an extension that Open MPI and MPICH share
	return m->init && m->initialized && m->rank && m->size && m->allreduce && m->bcast && m->abort && m->finalize && m->version;
}

// Open MPI: handles are the addresses of its objects (mpi.h, OMPI_PREDEFINED_GLOBAL).
static int mpi_open_mpi(mpi_api *m) {
	m->world = dlsym(m->library, "ompi_mpi_comm_world");
	m->float32 = dlsym(m->library, "ompi_mpi_float");
	m->float64 = dlsym(m->library, "ompi_mpi_double");
	m->bytes = dlsym(m->library, "ompi_mpi_byte");
	m->sum = dlsym(m->library, "ompi_mpi_op_sum");
	m->in_place = (void *)1;
	m->funneled = 1;
	return m->world && m->float32 && m->float64 && m->bytes && m->sum;
}

// The standard ABI (MPI 5.0, annex A; mpi_abi.h).
static void mpi_standard(mpi_api *m) {
	m->world = (handle)(uintptr_t)0x101;
	m->float32 = (handle)(uintptr_t)0x210;
	m->float64 = (handle)(uintptr_t)0x214;
	m->bytes = (handle)(uintptr_t)0x247;
	m->sum = (handle)(uintptr_t)0x21;
	m->in_place = (void *)1;
	m->funneled = 1024;
}

// MPICH and what keeps its ABI (mpi.h; mpich.org/abi).
static void mpi_mpich(mpi_api *m) {
	m->world = (handle)(uintptr_t)0x44000000;
	m->float32 = (handle)(uintptr_t)0x4c00040a;
	m->float64 = (handle)(uintptr_t)0x4c00080b;
	m->bytes = (handle)(uintptr_t)0x4c00010d;
	m->sum = (handle)(uintptr_t)0x58000003;
	m->in_place = (void *)(intptr_t)-1;
	m->funneled = 1;
}

static int mpi_is_standard(const mpi_api *m) {
	int major = -1, minor = -1;
	return m->abi && m->abi(&major, &minor) == 0 && major >= 1;
}

static int mpi_init(const mpi_api *m, int *rank, int *size) {
	int given = 0, already = 0;
	if (m->initialized(&already)) return 1;
	if (!already && m->init(NULL, NULL, m->funneled, &given)) return 1;
	return m->rank(m->world, rank) || m->size(m->world, size);
}

static int mpi_version(const mpi_api *m, char *text, int *n) { return m->version(text, n); }
static int mpi_sum32(const mpi_api *m, void *x, int n) { return m->allreduce(m->in_place, x, n, m->float32, m->sum, m->world); }
static int mpi_sum64(const mpi_api *m, void *x, int n) { return m->allreduce(m->in_place, x, n, m->float64, m->sum, m->world); }
static int mpi_share(const mpi_api *m, void *x, int n) { return m->bcast(x, n, m->bytes, 0, m->world); }
static int mpi_takes_cuda(const mpi_api *m) { return m->cuda ? m->cuda() == 1 : 0; }
static int mpi_abort(const mpi_api *m, int code) { return m->abort(m->world, code); }
static int mpi_finalize(const mpi_api *m) { return m->finalize(); }
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// library is an MPI library that was opened; it stays.
type library struct {
	api  C.mpi_api
	name string
}

// open loads the first library that can be used. Call it on the thread that is
// to make all calls.
func open(f family) (*library, error) {
	if _, set := os.LookupEnv(signals); !set {
		if err := os.Setenv(signals, ""); err != nil {
			return nil, fmt.Errorf("mpi: %w", err)
		}
	}
	var reasons []string
	for _, name := range candidates(f, os.Getenv) {
		cName := C.CString(name)
		p := C.mpi_open(cName)
		C.free(unsafe.Pointer(cName))
		if p == nil {
			reasons = append(reasons, strings.ReplaceAll(C.GoString(C.dlerror()), "\n", " "))
			continue
		}
		l := &library{name: name}
		if C.mpi_load(&l.api, p) == 0 || !l.settle() {
			reasons = append(reasons, name+": neither Open MPI, MPICH nor of the standard's ABI")
			continue
		}
		return l, nil
	}
	return nil, fmt.Errorf("mpi: %w: %s; set %s to its path", ErrNoLibrary, strings.Join(reasons, "; "), Variable)
}

// signals is the variable by which UCX, which Open MPI may use, is kept from
// taking over the signals that Go makes its panics of.
const signals = "UCX_ERROR_SIGNALS"

// settle finds out whose handles the library takes.
func (l *library) settle() bool {
	switch {
	case C.mpi_open_mpi(&l.api) != 0:
	case C.mpi_is_standard(&l.api) != 0:
		C.mpi_standard(&l.api)
	case strings.Contains(l.name, "_abi"):
		C.mpi_standard(&l.api)
	default:
		v := l.version()
		if !strings.Contains(v, "MPICH") && !strings.Contains(v, "Intel(R) MPI") && !strings.Contains(v, "MVAPICH") {
			return false
		}
		C.mpi_mpich(&l.api)
	}
	return true
}

// version is what the library says of itself, in a line.
func (l *library) version() string {
	buf := make([]byte, 8192) // MPI_MAX_LIBRARY_VERSION_STRING of MPICH and the standard
	n := C.int(0)
	if C.mpi_version(&l.api, (*C.char)(unsafe.Pointer(&buf[0])), &n) != 0 || n < 0 || int(n) > len(buf) {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimRight(string(buf[:n]), "\x00"), "\n")
	return strings.Join(strings.Fields(line), " ")
}

func (l *library) init() (rank, size int, err error) {
	var r, s C.int
	if C.mpi_init(&l.api, &r, &s) != 0 {
		return 0, 0, fmt.Errorf("mpi: %s: MPI_Init_thread failed", l.name)
	}
	return int(r), int(s), nil
}

// maxCount bounds one call: the standard's counts are ints.
const maxCount = 1 << 30

// takesCUDA is whether the library says that it adds what lies on a GPU.
func (l *library) takesCUDA() bool { return C.mpi_takes_cuda(&l.api) != 0 }

func (l *library) sum32(p unsafe.Pointer, n int) error {
	for n > 0 {
		part := min(n, maxCount)
		if C.mpi_sum32(&l.api, p, C.int(part)) != 0 {
			return errors.New("mpi: MPI_Allreduce failed")
		}
		p, n = unsafe.Add(p, 4*part), n-part
	}
	return nil
}

func (l *library) sum64(x []float64) error {
	return each(x, func(p unsafe.Pointer, n int) bool { return C.mpi_sum64(&l.api, p, C.int(n)) == 0 }, "MPI_Allreduce")
}

func (l *library) share(x []byte) error {
	return each(x, func(p unsafe.Pointer, n int) bool { return C.mpi_share(&l.api, p, C.int(n)) == 0 }, "MPI_Bcast")
}

// each makes a call for each part of x that it can take.
func each[T any](x []T, call func(p unsafe.Pointer, n int) bool, name string) error {
	for len(x) > 0 {
		n := min(len(x), maxCount)
		if !call(unsafe.Pointer(&x[0]), n) {
			return fmt.Errorf("mpi: %s failed", name)
		}
		x = x[n:]
	}
	return nil
}

func (l *library) abort(code int) { C.mpi_abort(&l.api, C.int(code)) }

func (l *library) finalize() error {
	if C.mpi_finalize(&l.api) != 0 {
		return fmt.Errorf("mpi: MPI_Finalize failed")
	}
	return nil
}
