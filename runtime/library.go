package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"winnow/runtime/install"
)

const (
	// LibraryEnv names the environment variable that points at a library.
	LibraryEnv = "ONNXRUNTIME_SHARED_LIBRARY_PATH"

	wayOut = "run `winnow setup` or pass --runtime-library"
)

// libraryNames are the file names tried, in order: what winnow setup writes first.
func libraryNames() []string {
	if goruntime.GOOS == "darwin" {
		return []string{"libonnxruntime.1.dylib", "libonnxruntime.dylib"}
	}
	return []string{"libonnxruntime.so.1", "libonnxruntime.so"}
}

// find gives the path of the library: the one asked for, the one of the
// environment variable, the one installed by winnow setup, else "" for whatever
// the system loader knows. A path that was named must exist: there is no
// falling through to another library behind the user's back.
func find(asked string) (string, error) {
	from := "--runtime-library"
	if asked == "" {
		asked, from = os.Getenv(LibraryEnv), LibraryEnv
	}
	if asked != "" {
		info, err := os.Stat(asked)
		if err == nil && info.IsDir() {
			err = errors.New("is a directory")
		}
		if err != nil {
			var cause *fs.PathError
			if errors.As(err, &cause) {
				err = cause.Err
			}
			return "", fmt.Errorf("runtime: %w: %s %q: %w; %s", ErrNoLibrary, from, asked, err, wayOut)
		}
		return filepath.Abs(asked)
	}
	if dir, err := install.Dir(); err == nil {
		for _, name := range libraryNames() {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	return "", nil
}

// load finds and loads the library and checks its version.
func load(asked string) (*library, error) {
	path, err := find(asked)
	if err != nil {
		return nil, err
	}
	candidates := []string{path}
	if path != "" {
		if err := checkLibrary(path); err != nil {
			return nil, fmt.Errorf("runtime: %w: %q: %w; %s", ErrDamaged, path, err, wayOut)
		}
	} else {
		candidates = libraryNames()
	}
	var l *library
	for _, name := range candidates {
		if l, err = loadLibrary(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("runtime: %w: %w; %s", ErrNoLibrary, err, wayOut)
	}
	if minor, ok := minorVersion(l.version); !ok || minor < apiVersion {
		defer l.close()
		return nil, fmt.Errorf("runtime: %w: %q is version %s, 1.%d or later is needed; %s",
			ErrOldLibrary, l.path, l.version, apiVersion, wayOut)
	}
	return l, nil
}

// minorVersion reads the N of "1.N.P", which is also the newest API served.
func minorVersion(version string) (int, bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 || parts[0] != "1" {
		return 0, false
	}
	minor, err := strconv.Atoi(parts[1])
	return minor, err == nil
}

// environment is ONNX Runtime's process-wide state. It is started by the first
// Open and never stopped: the library does not survive being unloaded.
var environment struct {
	sync.Mutex
	lib    *library
	native native
}

// start loads the library once. A later call must mean the same file.
func start(asked string) (*library, native, error) {
	environment.Lock()
	defer environment.Unlock()
	if lib := environment.lib; lib != nil {
		path, err := find(asked)
		if err != nil {
			return nil, native{}, err
		}
		if path != "" && path != lib.path && !sameFile(path, lib.path) {
			return nil, native{}, fmt.Errorf("runtime: library %q: %q is already loaded in this process", path, lib.path)
		}
		return lib, environment.native, nil
	}
	lib, err := load(asked)
	if err != nil {
		return nil, native{}, err
	}
	n, err := lib.native()
	if err != nil {
		lib.close()
		return nil, native{}, fmt.Errorf("runtime: library %q: %w", lib.path, err)
	}
	if !ort.IsInitialized() {
		// Errors reach the caller as values; the library's own log would say
		// each of them a second time on standard error.
		ort.SetSharedLibraryPath(lib.path)
		if err := noTelemetry(); err != nil {
			lib.close()
			return nil, native{}, fmt.Errorf("runtime: library %q: %w", lib.path, err)
		}
		if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
			lib.close()
			return nil, native{}, fmt.Errorf("runtime: library %q: %s", lib.path, oneLine(err.Error()))
		}
	}
	environment.lib, environment.native = lib, n
	return lib, n, nil
}

// telemetrySwitch turns ONNX Runtime's telemetry off when set before the
// library starts (microsoft/onnxruntime pull request 27379): builds for Linux
// and macOS from 1.29 on report sessions and models, and keep an identifier
// and a log on disk.
const telemetrySwitch = "ORT_DISABLE_TELEMETRY"

// noTelemetry keeps the library from reporting what is trained here, unless
// the environment says otherwise.
func noTelemetry() error {
	if _, set := os.LookupEnv(telemetrySwitch); set {
		return nil
	}
	return os.Setenv(telemetrySwitch, "1")
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
