package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Version is the ONNX Runtime version that is installed.
const Version = "1.29.0"

// pack is a pinned npm package.
type pack struct{ name, version, integrity string }

var (
	libraryPack = pack{"onnxruntime-node", Version, "sha512-WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA=="}
	cudaPack    = pack{"com.github.asus4.onnxruntime.linux-x64-gpu", "0.4.9", "sha512-FopIhNE/Ng+v2X65wVc9clPCBCvhvA53Hxo2U0Kf5fGdVsC7iCA+mZ0KLWggcQAj7TIZ6pNidR4AC10g74Xo6w=="}
)

// file is one file of a package and what it must be.
type file struct{ member, name, sha256 string }

// platform says what the library is on one system.
type platform struct {
	library file
	asset   file // of the releases page: the archive, its SHA-256, and the member that is the library
}

const releases = "https://github.com/microsoft/onnxruntime/releases/download/v" + Version

var platforms = map[string]platform{
	"linux/amd64": {
		library: file{"package/bin/napi-v6/linux/x64/libonnxruntime.so.1", "libonnxruntime.so.1", "89688f5cf51c7e31befbb7b9101bc027799009b18d1baa9a5b1146a72e69538d"},
		asset:   file{"lib/libonnxruntime.so." + Version, "onnxruntime-linux-x64-" + Version, "c3fddc4f139a045b0c4902c57410f0694f1c2fdf9b6939fbe38b1aeae7cd14ba"},
	},
	"linux/arm64": {
		library: file{"package/bin/napi-v6/linux/arm64/libonnxruntime.so.1", "libonnxruntime.so.1", "a27d21126db312aa8f02f3d5eaebe466e991f51f469882e6d0407d5a8b64afda"},
		asset:   file{"lib/libonnxruntime.so." + Version, "onnxruntime-linux-aarch64-" + Version, "e1799098ebc054b370f6176a450f158720f297818c613e5dc99b92e2ec82346f"},
	},
	"darwin/arm64": {
		library: file{"package/bin/napi-v6/darwin/arm64/libonnxruntime." + Version + ".dylib", "libonnxruntime.1.dylib", "3e4c63909e9fc6648c93c68741c1ccf1e3d89218dd1d6a7d4f3d629ffc7f9918"},
		asset:   file{"lib/libonnxruntime." + Version + ".dylib", "onnxruntime-osx-arm64-" + Version, "d0706fc34f315d8c88639d0a8c81f2e09e815f282cabed3493c06a054352cf92"},
	},
}

// cudaFiles lie beside the library, which looks for them there.
var cudaFiles = []file{
	{"package/Plugins/Linux/x64/libonnxruntime_providers_shared.so", "libonnxruntime_providers_shared.so", "c6a12593396095f5670160e284c35d1700b7708cf3037b7042e2a5200ccae772"},
	{"package/Plugins/Linux/x64/libonnxruntime_providers_cuda.so", "libonnxruntime_providers_cuda.so", "56cf3254b118ad837ccc4ed8f6d1b23504bbf7ef91b34cbc0b289cb7f10b3037"},
}

const cudaPlatform = "linux/amd64"

// ErrPlatform is for systems that no library is published for.
var ErrPlatform = errors.New("no ONNX Runtime " + Version + " is published for this system")

func here() string { return runtime.GOOS + "/" + runtime.GOARCH }

// Dir is the folder that libraries are installed to: below XDG_CACHE_HOME, or
// below .cache in the home folder, on every system.
func Dir() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("install: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "winnow", "onnxruntime", Version), nil
}
