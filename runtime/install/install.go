package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"winnow/internal/atomicfile"
)

// Options say what to install.
type Options struct {
	CUDA bool                             // the CUDA provider too
	Say  func(format string, args ...any) // hears of each step; nil is silent

	system string // as here gives it; "" is this one
	site   string // of the assets; "" is the releases page
}

// installer is one installation into one folder.
type installer struct {
	Options
	dir  string
	work string // a temporary folder
}

// Run installs what is missing and leaves what is in place as it is. It
// returns the path of the library.
func Run(ctx context.Context, o Options) (string, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.system == "" {
		o.system = here()
	}
	if o.site == "" {
		o.site = releases
	}
	p, ok := platforms[o.system]
	if !ok {
		return "", fmt.Errorf("install: %s: %w: build it, then pass --runtime-library", o.system, ErrPlatform)
	}
	if o.CUDA && o.system != cudaPlatform {
		return "", fmt.Errorf("install: the CUDA provider on %s: %w: it is for %s; pass --runtime-library with a GPU build", o.system, ErrPlatform, cudaPlatform)
	}
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	work, err := os.MkdirTemp("", "winnow-setup-*")
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	defer os.RemoveAll(work)
	in := &installer{Options: o, dir: dir, work: work}
	if err := in.library(ctx, p); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	if o.CUDA {
		if err := in.cuda(ctx); err != nil {
			return "", fmt.Errorf("install: %w", err)
		}
	}
	return filepath.Join(dir, p.library.name), nil
}

// library installs the library itself.
func (in *installer) library(ctx context.Context, p platform) error {
	lib, path := p.library, filepath.Join(in.dir, p.library.name)
	if in.right(lib) || !in.CUDA && in.noted(lib.name) {
		in.Say("ONNX Runtime %s is in place: %s", Version, path)
		return nil
	}
	if npm, err := exec.LookPath("npm"); err == nil {
		archive, err := in.fetchPack(ctx, npm, libraryPack)
		if err != nil {
			return err
		}
		if err := in.unpack(archive, lib); err != nil {
			return err
		}
		if err := in.place(lib.name); err != nil {
			return err
		}
		_ = os.Remove(in.note(lib.name)) // of a library that was there before
		in.Say("installed ONNX Runtime %s: %s", Version, path)
		return nil
	}
	archive, err := in.fetchAsset(ctx, p.asset)
	if err != nil {
		return err
	}
	member := file{member: p.asset.name + "/" + p.asset.member, name: lib.name}
	if err := in.unpack(archive, member); err != nil {
		return err
	}
	sum, err := fileSHA256(filepath.Join(in.work, lib.name))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(in.work, filepath.Base(in.note(lib.name))), []byte(sum+"\n"), 0o666); err != nil {
		return err
	}
	if err := errors.Join(in.place(lib.name), in.place(filepath.Base(in.note(lib.name)))); err != nil {
		return err
	}
	in.Say("installed ONNX Runtime %s: %s", Version, path)
	return nil
}

// cuda installs the CUDA provider beside the library.
func (in *installer) cuda(ctx context.Context) error {
	missing := false
	for _, f := range cudaFiles {
		missing = missing || !in.right(f)
	}
	if !missing {
		in.Say("the CUDA provider is in place: %s", in.dir)
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is needed to download the CUDA provider; or pass --runtime-library with a GPU build of ONNX Runtime")
	}
	archive, err := in.fetchPack(ctx, npm, cudaPack)
	if err != nil {
		return err
	}
	if err := in.unpack(archive, cudaFiles...); err != nil {
		return err
	}
	for _, f := range cudaFiles {
		if err := in.place(f.name); err != nil {
			return err
		}
	}
	in.Say("installed the CUDA provider (CUDA 13, cuDNN 9): %s", in.dir)
	return nil
}

// right is whether the file is there and is the pinned one.
func (in *installer) right(f file) bool {
	sum, err := fileSHA256(filepath.Join(in.dir, f.name))
	return err == nil && sum == f.sha256
}

func (in *installer) note(name string) string { return filepath.Join(in.dir, name+".sha256") }

// noted is whether a library is the one that was taken out of a checked asset.
func (in *installer) noted(name string) bool {
	want, err := os.ReadFile(in.note(name))
	if err != nil {
		return false
	}
	sum, err := fileSHA256(filepath.Join(in.dir, name))
	return err == nil && sum == strings.TrimSpace(string(want))
}

// place copies a checked file into the folder.
func (in *installer) place(name string) error {
	from, err := os.Open(filepath.Join(in.work, name))
	if err != nil {
		return err
	}
	defer from.Close()
	return atomicfile.Write(filepath.Join(in.dir, name), func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
}

// fileSHA256 is the SHA-256 of a regular file, in hex.
func fileSHA256(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%q: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
