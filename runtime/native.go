package runtime

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// The C API is one table of function pointers. Entries are only ever appended,
// so a position means the same in every version that has it.
enum {
	ortGetErrorMessage               = 2,
	ortSessionGetInputCount          = 30,
	ortSessionGetOutputCount         = 31,
	ortSessionGetInputName           = 36,
	ortSessionGetOutputName          = 37,
	ortCreateRunOptions              = 39,
	ortCreateTensorAsOrtValue        = 48,
	ortCreateTensorWithDataAsOrtValue = 49,
	ortGetTensorMutableData          = 51,
	ortCreateMemoryInfo              = 68,
	ortMemoryInfoGetName             = 71,
	ortAllocatorFree                 = 76,
	ortGetAllocatorWithDefaultOptions = 78,
	ortReleaseStatus                 = 93,
	ortReleaseMemoryInfo             = 94,
	ortReleaseValue                  = 96,
	ortReleaseRunOptions             = 97,
	ortGetAvailableProviders         = 125,
	ortReleaseAvailableProviders     = 126,
	ortCreateAllocator               = 131,
	ortReleaseAllocator              = 132,
	ortRunWithBinding                = 133,
	ortAddRunConfigEntry             = 165,
	ortGetTensorMemoryInfo           = 194,
	ortMemoryInfoGetDeviceType       = 225,
	ortSessionGetMemoryInfoForInputs = 380,
	ortSessionGetMemoryInfoForOutputs = 381,
};

typedef void *const *ort_api;
typedef struct {
	ort_api (*get_api)(uint32_t version);
	const char *(*get_version)(void);
} ort_base;

static const ort_base *winnow_base(void *library) {
	const ort_base *(*get)(void) = (const ort_base *(*)(void))dlsym(library, "OrtGetApiBase");
	return get ? get() : NULL;
}
static const char *winnow_version(const ort_base *b) { return b->get_version(); }
static ort_api winnow_api(const ort_base *b, uint32_t v) { return b->get_api(v); }

static char *winnow_file_of(void *library) {
	Dl_info info;
	void *symbol = dlsym(library, "OrtGetApiBase");
	if (!symbol || !dladdr(symbol, &info) || !info.dli_fname) return NULL;
	return (char *)info.dli_fname;
}

#define CALL(pos, type) ((type)api[pos])

static const char *winnow_message(ort_api api, void *status) {
	return CALL(ortGetErrorMessage, const char *(*)(const void *))(status);
}
static void winnow_release(ort_api api, int pos, void *p) {
	if (p) CALL(pos, void (*)(void *))(p);
}
static void *winnow_count(ort_api api, int pos, void *session, size_t *n) {
	return CALL(pos, void *(*)(const void *, size_t *))(session, n);
}
static void *winnow_default_allocator(ort_api api, void **out) {
	return CALL(ortGetAllocatorWithDefaultOptions, void *(*)(void **))(out);
}
static void *winnow_name(ort_api api, int pos, void *session, size_t i, void *allocator, char **out) {
	return CALL(pos, void *(*)(const void *, size_t, void *, char **))(session, i, allocator, out);
}
static void *winnow_free(ort_api api, void *allocator, void *p) {
	return CALL(ortAllocatorFree, void *(*)(void *, void *))(allocator, p);
}
static void *winnow_memory_info(ort_api api, const char *name, int kind, int id, int mem, void **out) {
	return CALL(ortCreateMemoryInfo, void *(*)(const char *, int, int, int, void **))(name, kind, id, mem, out);
}
static void *winnow_allocator(ort_api api, void *session, void *info, void **out) {
	return CALL(ortCreateAllocator, void *(*)(const void *, const void *, void **))(session, info, out);
}
static void *winnow_tensor(ort_api api, void *allocator, const int64_t *shape, size_t rank, int dtype, void **out) {
	return CALL(ortCreateTensorAsOrtValue, void *(*)(void *, const int64_t *, size_t, int, void **))
		(allocator, shape, rank, dtype, out);
}
static void *winnow_tensor_over(ort_api api, void *info, void *data, size_t bytes, const int64_t *shape, size_t rank, int dtype, void **out) {
	return CALL(ortCreateTensorWithDataAsOrtValue, void *(*)(const void *, void *, size_t, const int64_t *, size_t, int, void **))
		(info, data, bytes, shape, rank, dtype, out);
}
static void *winnow_data(ort_api api, void *value, void **out) {
	return CALL(ortGetTensorMutableData, void *(*)(void *, void **))(value, out);
}
static void *winnow_providers(ort_api api, char ***names, int *n) {
	return CALL(ortGetAvailableProviders, void *(*)(char ***, int *))(names, n);
}
static void *winnow_release_providers(ort_api api, char **names, int n) {
	return CALL(ortReleaseAvailableProviders, void *(*)(char **, int))(names, n);
}
static void *winnow_session_memory(ort_api api, int pos, void *session, const void **infos, size_t n) {
	return CALL(pos, void *(*)(const void *, const void **, size_t))(session, infos, n);
}
static void *winnow_value_memory(ort_api api, void *value, const void **info) {
	return CALL(ortGetTensorMemoryInfo, void *(*)(const void *, const void **))(value, info);
}
static void *winnow_memory_name(ort_api api, const void *info, const char **name) {
	return CALL(ortMemoryInfoGetName, void *(*)(const void *, const char **))(info, name);
}
static int winnow_device_type(ort_api api, const void *info) {
	int type = -1;
	CALL(ortMemoryInfoGetDeviceType, void (*)(const void *, int *))(info, &type);
	return type;
}
static void *winnow_run_options(ort_api api, void **out) {
	return CALL(ortCreateRunOptions, void *(*)(void **))(out);
}
static void *winnow_run_entry(ort_api api, void *options, const char *key, const char *value) {
	return CALL(ortAddRunConfigEntry, void *(*)(void *, const char *, const char *))(options, key, value);
}
static void *winnow_run(ort_api api, void *session, void *options, void *binding) {
	return CALL(ortRunWithBinding, void *(*)(void *, const void *, const void *))(session, options, binding);
}

static void *winnow_aligned(size_t bytes) {
	void *p = NULL;
	return posix_memalign(&p, 64, bytes) == 0 ? p : NULL;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	goruntime "runtime"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
)

// apiVersion is the C API that onnxruntime_go v1.27 asks for. ONNX Runtime
// 1.N serves every API up to N.
const apiVersion = 24

// Allocator and memory kinds of the C API.
const (
	arenaAllocator = 1 // OrtArenaAllocator
	defaultMemory  = 0 // OrtMemTypeDefault
	deviceTypeCPU  = 0 // OrtMemoryInfoDeviceType_CPU
)

// library is a loaded ONNX Runtime library.
type library struct {
	handle  unsafe.Pointer
	base    *C.ort_base
	path    string
	version string
}

// loadLibrary loads the file, or what the system loader finds under that name,
// and asks for its version. It makes no call that an old library lacks.
func loadLibrary(name string) (*library, error) {
	handle, err := dlopen(name)
	if err != nil {
		return nil, err
	}
	base := C.winnow_base(handle)
	if base == nil {
		C.dlclose(handle)
		return nil, errors.New("the file has no OrtGetApiBase: not an ONNX Runtime library")
	}
	l := &library{handle: handle, base: base, path: name}
	l.version = C.GoString(C.winnow_version(base))
	if file := C.winnow_file_of(handle); file != nil {
		l.path = C.GoString(file)
	}
	return l, nil
}

func (l *library) close() { C.dlclose(l.handle) }

// dlopen loads a shared library and gives the loader's reason when it cannot.
func dlopen(name string) (unsafe.Pointer, error) {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	goruntime.LockOSThread() // the reason is kept by thread
	defer goruntime.UnlockOSThread()
	handle := C.dlopen(cName, C.RTLD_LAZY)
	if handle == nil {
		return nil, errors.New(oneLine(C.GoString(C.dlerror())))
	}
	return handle, nil
}

func dlsym(handle unsafe.Pointer, name string) unsafe.Pointer {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	return C.dlsym(handle, cName)
}

// native is the function table, for what onnxruntime_go does not offer.
type native struct{ api C.ort_api }

func (l *library) native() (native, error) {
	api := C.winnow_api(l.base, apiVersion)
	if api == nil {
		return native{}, fmt.Errorf("%w: %s serves no API %d", ErrOldLibrary, l.version, apiVersion)
	}
	return native{api}, checkLayout()
}

// table is the function table, for C code of other packages.
func (n native) table() unsafe.Pointer { return unsafe.Pointer(n.api) }

// checkLayout confirms what this file assumes of onnxruntime_go's private
// fields, so that an upgrade fails with a message and not in native code.
func checkLayout() error {
	session := reflect.TypeFor[ort.DynamicAdvancedSession]().Field(0)
	value := reflect.TypeFor[ort.ValueInternalData]()
	binding := reflect.TypeFor[ort.IoBinding]()
	options := reflect.TypeFor[ort.SessionOptions]()
	if session.Type != reflect.TypeFor[*ort.AdvancedSession]() ||
		session.Type.Elem().Field(0).Name != "ortSession" ||
		options.NumField() != 1 || options.Field(0).Type.Kind() != reflect.Pointer ||
		binding.NumField() != 1 || binding.Field(0).Type.Kind() != reflect.Pointer ||
		value.NumField() != 1 || value.Field(0).Type.Kind() != reflect.Pointer {
		return errors.New("onnxruntime_go: private fields are not those of v1.27")
	}
	return nil
}

// err turns a status into an error and releases it.
func (n native) err(status unsafe.Pointer) error {
	if status == nil {
		return nil
	}
	message := C.GoString(C.winnow_message(n.api, status))
	C.winnow_release(n.api, C.ortReleaseStatus, status)
	return nativeError(message)
}

// sessionPointer is the OrtSession behind a session of onnxruntime_go.
func sessionPointer(s *ort.DynamicAdvancedSession) unsafe.Pointer {
	return **(**unsafe.Pointer)(unsafe.Pointer(s))
}

// names lists the session's inputs, or its outputs, in graph order.
func (n native) names(s *ort.DynamicAdvancedSession, outputs bool) ([]string, error) {
	session := sessionPointer(s)
	countAt, nameAt := C.int(C.ortSessionGetInputCount), C.int(C.ortSessionGetInputName)
	if outputs {
		countAt, nameAt = C.ortSessionGetOutputCount, C.ortSessionGetOutputName
	}
	var count C.size_t
	if err := n.err(C.winnow_count(n.api, countAt, session, &count)); err != nil {
		return nil, err
	}
	var allocator unsafe.Pointer
	if err := n.err(C.winnow_default_allocator(n.api, &allocator)); err != nil {
		return nil, err
	}
	names := make([]string, count)
	for i := range names {
		var name *C.char
		if err := n.err(C.winnow_name(n.api, nameAt, session, C.size_t(i), allocator, &name)); err != nil {
			return nil, err
		}
		names[i] = C.GoString(name)
		if err := n.err(C.winnow_free(n.api, allocator, unsafe.Pointer(name))); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// onCPU says, in the order of names, which of the session's inputs, or of its
// outputs, are in CPU memory. A value bound from elsewhere is copied: an input
// when it is bound, an output after each run.
func (n native) onCPU(s *ort.DynamicAdvancedSession, outputs bool, count int) ([]bool, error) {
	if count == 0 {
		return nil, nil
	}
	at := C.int(C.ortSessionGetMemoryInfoForInputs)
	if outputs {
		at = C.ortSessionGetMemoryInfoForOutputs
	}
	infos := make([]unsafe.Pointer, count)
	status := C.winnow_session_memory(n.api, at, sessionPointer(s), &infos[0], C.size_t(count))
	if err := n.err(status); err != nil {
		return nil, err
	}
	onCPU := make([]bool, count)
	for i, info := range infos {
		onCPU[i] = info == nil || C.winnow_device_type(n.api, info) == deviceTypeCPU
	}
	return onCPU, nil
}

// runOptions are the settings of a run; nil are the defaults.
type runOptions struct {
	native
	p unsafe.Pointer
}

func (n native) runOptions(key, value string) (*runOptions, error) {
	o := &runOptions{native: n}
	if err := n.err(C.winnow_run_options(n.api, &o.p)); err != nil {
		return nil, err
	}
	cKey, cValue := C.CString(key), C.CString(value)
	defer C.free(unsafe.Pointer(cKey))
	defer C.free(unsafe.Pointer(cValue))
	return o, n.err(C.winnow_run_entry(n.api, o.p, cKey, cValue))
}

func (o *runOptions) close() {
	if o != nil {
		C.winnow_release(o.api, C.ortReleaseRunOptions, o.p)
		o.p = nil
	}
}

// run executes a session on what is bound.
func (n native) run(s *ort.DynamicAdvancedSession, b *ort.IoBinding, o *runOptions) error {
	var options unsafe.Pointer
	if o != nil {
		options = o.p
	}
	binding := *(*unsafe.Pointer)(unsafe.Pointer(b)) // its one field, see checkLayout
	if err := n.err(C.winnow_run(n.api, sessionPointer(s), options, binding)); err != nil {
		return sessionError(err.Error())
	}
	return nil
}

// providers lists the execution providers the library was built with.
func (n native) providers() ([]string, error) {
	var list **C.char
	var count C.int
	if err := n.err(C.winnow_providers(n.api, &list, &count)); err != nil {
		return nil, err
	}
	names := make([]string, count)
	for i, name := range unsafe.Slice(list, count) {
		names[i] = C.GoString(name)
	}
	return names, n.err(C.winnow_release_providers(n.api, list, count))
}

// memory describes a kind of memory by ONNX Runtime's own name: "Cpu", "Cuda".
type memory struct {
	native
	info unsafe.Pointer
}

func (n native) memory(name string, id int) (memory, error) {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	m := memory{native: n}
	status := C.winnow_memory_info(n.api, cName, arenaAllocator, C.int(id), defaultMemory, &m.info)
	return m, n.err(status)
}

func (m memory) close() { C.winnow_release(m.api, C.ortReleaseMemoryInfo, m.info) }

// allocator hands out tensors in a session's device memory. It must be closed
// before its session, and after every tensor it made.
type allocator struct {
	native
	p unsafe.Pointer
}

func (m memory) allocator(s *ort.DynamicAdvancedSession) (allocator, error) {
	a := allocator{native: m.native}
	return a, m.err(C.winnow_allocator(m.api, sessionPointer(s), m.info, &a.p))
}

func (a allocator) close() { C.winnow_release(a.api, C.ortReleaseAllocator, a.p) }

// tensor allocates an uninitialised tensor on the device.
func (a allocator) tensor(dtype DType, shape []int64) (*value, error) {
	v := &value{native: a.native}
	p, rank := shapePointer(shape)
	return v, a.err(C.winnow_tensor(a.api, a.p, p, rank, C.int(dtype), &v.handle))
}

// over makes a tensor of memory that the caller keeps alive and in place for
// as long as the tensor is bound.
func (m memory) over(data unsafe.Pointer, bytes int, dtype DType, shape []int64) (*value, error) {
	v := &value{native: m.native}
	p, rank := shapePointer(shape)
	return v, m.err(C.winnow_tensor_over(m.api, m.info, data, C.size_t(bytes), p, rank, C.int(dtype), &v.handle))
}

func shapePointer(shape []int64) (*C.int64_t, C.size_t) {
	if len(shape) == 0 { // a scalar: the callee reads none of it
		return (*C.int64_t)(unsafe.Pointer(new(int64))), 0
	}
	return (*C.int64_t)(unsafe.Pointer(&shape[0])), C.size_t(len(shape))
}

// value is an OrtValue that onnxruntime_go can bind. The embedded interface is
// never set: binding asks for GetInternals alone.
type value struct {
	ort.Value
	native
	handle unsafe.Pointer
}

// GetInternals gives onnxruntime_go the one pointer it wants.
func (v *value) GetInternals() *ort.ValueInternalData {
	return (*ort.ValueInternalData)(unsafe.Pointer(&v.handle))
}

// data is the address of the tensor's first element, in its own memory.
func (v *value) data() (unsafe.Pointer, error) {
	var p unsafe.Pointer
	return p, v.err(C.winnow_data(v.api, v.handle, &p))
}

// memory is ONNX Runtime's name of the memory that the value lies in: "Cpu",
// "Cuda".
func (v *value) memory() (string, error) {
	var info unsafe.Pointer
	if err := v.err(C.winnow_value_memory(v.api, v.handle, &info)); err != nil {
		return "", err
	}
	var name *C.char // the value's own
	if err := v.err(C.winnow_memory_name(v.api, info, &name)); err != nil {
		return "", err
	}
	return C.GoString(name), nil
}

// close releases the value. A binding that still holds it keeps it alive.
func (v *value) close() {
	if v != nil && v.handle != nil {
		C.winnow_release(v.api, C.ortReleaseValue, v.handle)
		v.handle = nil
	}
}

// alignedAlloc takes memory outside Go's heap, aligned for vector loads: the
// collector neither scans it nor counts it into its next target.
func alignedAlloc(bytes int) (unsafe.Pointer, error) {
	p := C.winnow_aligned(C.size_t(max(bytes, 1)))
	if p == nil {
		return nil, fmt.Errorf("out of memory: %d bytes", bytes)
	}
	return p, nil
}

func alignedFree(p unsafe.Pointer) { C.free(p) }
