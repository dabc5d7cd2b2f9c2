//go:build cgo && (linux || darwin)

package raster

/*
#cgo linux LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

// The functions of the TurboJPEG API 2.0 that are used; 2.1 and 3 have them too.
typedef struct {
	void *(*init)(void);
	int (*header)(void *, const unsigned char *, unsigned long, int *, int *, int *, int *);
	int (*decompress)(void *, const unsigned char *, unsigned long, unsigned char *, int, int, int, int, int);
	char *(*message)(void *);
	void *library;
} tj_api;

static int tj_load(tj_api *api, const char *name) {
	api->library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
	if (!api->library) return 0;
	api->init = (void *(*)(void))dlsym(api->library, "tjInitDecompress");
	api->header = (int (*)(void *, const unsigned char *, unsigned long, int *, int *, int *, int *))dlsym(api->library, "tjDecompressHeader3");
	api->decompress = (int (*)(void *, const unsigned char *, unsigned long, unsigned char *, int, int, int, int, int))dlsym(api->library, "tjDecompress2");
	api->message = (char *(*)(void *))dlsym(api->library, "tjGetErrorStr2");
	return 1;
}

static int tj_whole(const tj_api *api) { return api->init && api->header && api->decompress && api->message; }
static void *tj_init(const tj_api *api) { return api->init(); }
static const char *tj_message(const tj_api *api, void *h) { return api->message(h); }

static const char *tj_file(const tj_api *api) {
	Dl_info info;
	return dladdr((void *)api->decompress, &info) ? info.dli_fname : NULL;
}

typedef struct { int w, h, subsampling, space; } tj_header;

static int tj_read(const tj_api *api, void *h, const unsigned char *data, unsigned long n, tj_header *out) {
	return api->header(h, data, n, &out->w, &out->h, &out->subsampling, &out->space);
}

static int tj_decode(const tj_api *api, void *h, const unsigned char *data, unsigned long n, unsigned char *pixels, int w, int height, int format, int flags) {
	return api->decompress(h, data, n, pixels, w, 0, height, format, flags);
}
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"unsafe"
)

// Constants of turbojpeg.h.
const (
	tjRGB        = 0       // TJPF_RGB
	tjGrey       = 6       // TJPF_GRAY
	tjSpaceGrey  = 2       // TJCS_GRAY
	tjSpaceCMYK  = 3       // TJCS_CMYK; TJCS_YCCK is 4
	tjLimitScans = 1 << 15 // TJFLAG_LIMITSCANS: a progressive file of very many scans is an error
)

// turboNames are where the library is looked for, by the system's loader.
func turboNames() []string {
	if name := os.Getenv(TurboVariable); name != "" {
		return []string{name}
	}
	if goruntime.GOOS == "darwin" {
		return []string{"libturbojpeg.dylib", "/opt/homebrew/opt/jpeg-turbo/lib/libturbojpeg.dylib", "/usr/local/opt/jpeg-turbo/lib/libturbojpeg.dylib"}
	}
	return []string{"libturbojpeg.so.0", "libturbojpeg.so"}
}

// turbo is the loaded library, and the decoders of it that are not in use: as
// many as ever worked at the same time.
type turbo struct {
	api  C.tj_api
	file string
	mu   sync.Mutex
	idle []*turboHandle
}

// turboHandle decodes one file at a time.
type turboHandle struct {
	p      unsafe.Pointer
	head   C.tj_header
	packed Image // of a user who wants planes
}

// loadTurbo loads the library once for the process; it stays.
var loadTurbo = sync.OnceValues(func() (*turbo, error) {
	goruntime.LockOSThread() // the loader keeps its reason by thread
	defer goruntime.UnlockOSThread()
	var reasons []string
	for _, name := range turboNames() {
		t := &turbo{}
		cName := C.CString(name)
		loaded := C.tj_load(&t.api, cName) != 0
		C.free(unsafe.Pointer(cName))
		switch {
		case !loaded:
			reasons = append(reasons, strings.ReplaceAll(C.GoString(C.dlerror()), "\n", " "))
		case C.tj_whole(&t.api) == 0:
			C.dlclose(t.api.library)
			reasons = append(reasons, fmt.Sprintf("%s: not TurboJPEG 2.0 or later", name))
		default:
			t.file = name
			if file := C.tj_file(&t.api); file != nil {
				t.file = C.GoString(file)
			}
			if real, err := filepath.EvalSymlinks(t.file); err == nil {
				t.file = real // its name has the version
			}
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoTurbo, strings.Join(reasons, "; "))
})

func (t *turbo) take() (*turboHandle, error) {
	t.mu.Lock()
	if n := len(t.idle); n > 0 {
		h := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.mu.Unlock()
		return h, nil
	}
	t.mu.Unlock()
	p := C.tj_init(&t.api)
	if p == nil {
		return nil, fmt.Errorf("%w: JPEG: libturbojpeg has no memory for a decoder", ErrImage)
	}
	return &turboHandle{p: p}, nil
}

func (t *turbo) give(h *turboHandle) {
	if cap(h.packed.Pix) > keptPixels {
		h.packed = Image{}
	}
	t.mu.Lock()
	t.idle = append(t.idle, h)
	t.mu.Unlock()
}

// keptPixels bounds the memory that a decoder keeps from one image to the next.
const keptPixels = 1 << 26

// errRefused says that a file is for Go's decoder.
var errRefused = fmt.Errorf("%w: libturbojpeg does not take it", ErrImage)

// header reads size and colour space; errRefused where the library does not
// know them, or has no conversion to RGB.
func (t *turbo) header(h *turboHandle, data []byte) error {
	h.head = C.tj_header{} // a file of tables alone sets nothing
	if C.tj_read(&t.api, h.p, (*C.uchar)(&data[0]), C.ulong(len(data)), &h.head) != 0 ||
		h.head.w < 1 || h.head.h < 1 || h.head.space >= tjSpaceCMYK {
		return errRefused
	}
	return checkSize("JPEG", int(h.head.h), int(h.head.w))
}

// size is the height and width of a JPEG file.
func (t *turbo) size(data []byte) (height, width int, err error) {
	h, err := t.take()
	if err != nil {
		return 0, 0, err
	}
	defer t.give(h)
	if err := t.header(h, data); err != nil {
		return 0, 0, err
	}
	return int(h.head.h), int(h.head.w), nil
}

// decode fills dst with a JPEG file shrunk by 1, 2, 4 or 8, packed where it may
// be and has three channels. What the library warns of is an error.
func (t *turbo) decode(dst *Image, data []byte, channels, shrink int, packed bool) error {
	h, err := t.take()
	if err != nil {
		return err
	}
	defer t.give(h)
	if err := t.header(h, data); err != nil {
		return err
	}
	height, width := shrunk(int(h.head.h), shrink), shrunk(int(h.head.w), shrink)
	if h.head.space == tjSpaceGrey {
		dst.Reset(channels, height, width)
		if err := t.pixels(h, data, dst.Plane(0), height, width, tjGrey); err != nil {
			return err
		}
		for k := 1; k < channels; k++ {
			copy(dst.Plane(k), dst.Plane(0))
		}
		return nil
	}
	whole := &h.packed
	if packed && channels == 3 {
		whole = dst
	}
	whole.Reset(3, height, width)
	whole.Packed = true
	if err := t.pixels(h, data, whole.Pix, height, width, tjRGB); err != nil || whole == dst {
		return err
	}
	dst.Reset(channels, height, width)
	if channels == 3 {
		Crop(dst, whole, whole.Whole())
		return nil
	}
	for i := range dst.Pix {
		p := whole.Pix[3*i:][:3]
		dst.Pix[i] = luma(p[0], p[1], p[2])
	}
	return nil
}

// pixels decodes the file whose header was read.
func (t *turbo) pixels(h *turboHandle, data, pixels []byte, height, width, format int) error {
	if C.tj_decode(&t.api, h.p, (*C.uchar)(&data[0]), C.ulong(len(data)), (*C.uchar)(&pixels[0]), C.int(width), C.int(height), C.int(format), tjLimitScans) != 0 {
		text := strings.ReplaceAll(C.GoString(C.tj_message(&t.api, h.p)), "\n", " ")
		return fmt.Errorf("%w: JPEG: %s", ErrImage, text)
	}
	return nil
}
