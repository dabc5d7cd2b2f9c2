package runtime

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/runtime/install"
)

// sharedLibrary compiles C source into a shared library.
func sharedLibrary(t *testing.T, name, source string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Fatalf("the C compiler that the package needs too: %v", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	noError(t, os.WriteFile(file+".c", []byte(source), 0o600))
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", file, file+".c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

func touch(t *testing.T, path string) string {
	t.Helper()
	noError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	noError(t, os.WriteFile(path, []byte("x"), 0o600))
	return path
}

func TestLibraryIsFoundInOrder(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv(LibraryEnv, "")
	want := func(asked, path string) {
		t.Helper()
		got, err := find(asked)
		noError(t, err)
		if got != path {
			t.Errorf("found %q, want %q", got, path)
		}
	}
	want("", "") // left to the system loader
	dir := filepath.Join(cache, "winnow", "onnxruntime", install.Version)
	names := libraryNames()
	second := touch(t, filepath.Join(dir, names[1]))
	want("", second)
	installed := touch(t, filepath.Join(dir, names[0]))
	want("", installed)
	named := touch(t, filepath.Join(t.TempDir(), "env.so"))
	t.Setenv(LibraryEnv, named)
	want("", named)
	asked := touch(t, filepath.Join(t.TempDir(), "asked.so"))
	want(asked, asked)

	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", cache)
	t.Setenv(LibraryEnv, "")
	home := touch(t, filepath.Join(cache, ".cache", "winnow", "onnxruntime", install.Version, names[0]))
	want("", home)
}

// A path that was named and is wrong is an error, not a reason to look on.
func TestMissingLibrary(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.so")
	_, err := load(missing)
	wantError(t, err, ErrNoLibrary.Error(), "--runtime-library", missing, "no such file", "winnow setup")
	if !errors.Is(err, ErrNoLibrary) {
		t.Errorf("%v is not ErrNoLibrary", err)
	}
	_, err = load(t.TempDir())
	wantError(t, err, "is a directory")

	t.Setenv(LibraryEnv, missing)
	_, err = load("")
	wantError(t, err, LibraryEnv, missing)

	garbage := touch(t, filepath.Join(t.TempDir(), "garbage.so"))
	_, err = load(garbage)
	wantError(t, err, ErrDamaged.Error(), garbage, "winnow setup")
	_, err = load(sharedLibrary(t, "other.so", "int other(void) { return 1; }"))
	wantError(t, err, ErrNoLibrary.Error(), "OrtGetApiBase")
}

const fakeRuntime = `
typedef struct { const void *(*api)(unsigned); const char *(*version)(void); } base;
static const void *api(unsigned v) { return 0; }
static const char *version(void) { return "VERSION"; }
static const base b = { api, version };
const base *OrtGetApiBase(void) { return &b; }
`

func TestOldLibrary(t *testing.T) {
	for _, version := range []string{"1.23.2", "0.9.0", "strange"} {
		_, err := load(sharedLibrary(t, "old.so", strings.ReplaceAll(fakeRuntime, "VERSION", version)))
		wantError(t, err, version, "1.24 or later", "old.so", "winnow setup")
		if !errors.Is(err, ErrOldLibrary) {
			t.Errorf("%v is not ErrOldLibrary", err)
		}
	}
	// New enough by its version, yet it does not serve the API.
	lib, err := load(sharedLibrary(t, "new.so", strings.ReplaceAll(fakeRuntime, "VERSION", "1.24.0")))
	noError(t, err)
	defer lib.close()
	if _, err := lib.native(); !errors.Is(err, ErrOldLibrary) {
		t.Errorf("%v is not ErrOldLibrary", err)
	}
}

// The library is loaded once; another file cannot take its place.
func TestSecondLibraryIsRefused(t *testing.T) {
	d := device(t, Options{})
	other := touch(t, filepath.Join(t.TempDir(), "other.so"))
	_, err := Open(Options{Device: "cpu", Library: other})
	wantError(t, err, other, "already loaded")

	link := filepath.Join(t.TempDir(), "link.so")
	noError(t, os.Symlink(d.LibraryPath(), link))
	same, err := Open(Options{Device: "cpu", Library: link})
	noError(t, err)
	noError(t, same.Close())
}

func TestOptions(t *testing.T) {
	for name, want := range map[string]string{
		"": "auto 0", "auto": "auto 0", "cpu": "cpu 0", "cuda": "cuda 0", "cuda:0": "cuda 0", "cuda:12": "cuda 12",
	} {
		kind, index, err := parseDevice(name)
		noError(t, err)
		if got := fmt.Sprint(kind, " ", index); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:01", "CPU"} {
		wantError(t, Options{Device: name}.Validate(), name, "auto, cpu, cuda or cuda:N")
	}
	cuda := func(device, key, v string) error {
		return Options{Device: device, CUDA: map[string]string{key: v}}.Validate()
	}
	wantError(t, Options{Threads: -1}.Validate(), `"threads": -1`)
	wantError(t, cuda("cpu", "use_tf32", "0"), "CUDA options")
	wantError(t, cuda("cuda:1", "device_id", "2"), "device_id")
	wantError(t, cuda("cuda", "enable_cuda_graph", "1"), "enable_cuda_graph", "--cuda-graph")
	wantError(t, cuda("cuda", "use_tf3", "0"), `"use_tf3"`, strings.Join(CUDAOptions(), ", "))
	wantError(t, cuda("cuda", "user_compute_stream", "1"), "there is none of that name")
	wantError(t, cuda("auto", "use_tf32", "no"), `"use_tf32"`, `"no"`, "0 or 1")
	wantError(t, cuda("cuda", "gpu_mem_limit", "1G"), "gpu_mem_limit", "a number")
	wantError(t, cuda("cuda", "cudnn_conv_algo_search", "FAST"), "EXHAUSTIVE or HEURISTIC or DEFAULT")
	wantError(t, Options{Device: "cpu", CUDAGraph: true}.Validate(), "CUDA graph")
	for _, err := range []error{
		cuda("cuda", "use_tf3", "0"), cuda("cpu", "use_tf32", "0"), Options{Device: "gpu"}.Validate(), Options{Threads: -1}.Validate(),
	} {
		if !errors.Is(err, ErrOptions) {
			t.Errorf("%v is not ErrOptions", err)
		}
	}
	noError(t, Options{CUDAGraph: true}.Validate())
	noError(t, cuda("cuda:1", "device_id", "1"))
	noError(t, cuda("auto", "use_tf32", "0"))
}

func TestDeviceTellsWhatItIs(t *testing.T) {
	d := device(t, Options{Threads: 2})
	if d.Name() != "cpu" || d.Provider() != CPUProvider || d.Threads() != 2 {
		t.Errorf("device is %s, %s, %d threads", d.Name(), d.Provider(), d.Threads())
	}
	if minor, ok := minorVersion(d.LibraryVersion()); !ok || minor < apiVersion {
		t.Errorf("library version is %q", d.LibraryVersion())
	}
	if !filepath.IsAbs(d.LibraryPath()) {
		t.Errorf("library path %q is not absolute", d.LibraryPath())
	}
	if all, err := Open(Options{Device: "cpu"}); err != nil || all.Threads() < 1 {
		t.Errorf("default threads: %v", err)
	} else {
		noError(t, all.Close())
	}
}

func TestDoctor(t *testing.T) {
	d := device(t, Options{})
	r := Doctor(Options{})
	if r.Err != nil || r.Library != d.LibraryPath() || r.Version != d.LibraryVersion() || r.API < r.RequiredAPI {
		t.Errorf("report: %+v", r)
	}
	if !slices.Contains(r.Providers, CPUProvider) {
		t.Errorf("providers %v lack %s", r.Providers, CPUProvider)
	}
	if r.CUDA == (r.CUDAReason != "") {
		t.Errorf("cuda %v for the reason %q", r.CUDA, r.CUDAReason)
	}
	if (len(r.GPUs) == 0) != (r.DriverReason != "") {
		t.Errorf("GPUs %v for the reason %q", r.GPUs, r.DriverReason)
	}
	for _, part := range []string{r.Library, r.Version, "API", CPUProvider, "threads"} {
		if !strings.Contains(r.String(), part) {
			t.Errorf("the text lacks %q:\n%s", part, r)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.so")
	r = Doctor(Options{Library: missing})
	if !errors.Is(r.Err, ErrNoLibrary) || !strings.Contains(r.String(), missing) {
		t.Errorf("report on a missing library: %v\n%s", r.Err, r)
	}
}
