package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/missing"
)

// sandbox is an empty cache and a PATH of stand-ins, shell scripts by name.
func sandbox(t *testing.T, standIns map[string]string) (dir string) {
	t.Helper()
	cache, bin := t.TempDir(), t.TempDir()
	for _, tool := range []string{"bash", "cat", "cp", "env"} {
		if path, err := exec.LookPath(tool); err == nil {
			must(t, os.Symlink(path, filepath.Join(bin, tool)))
		}
	}
	for name, body := range standIns {
		must(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/usr/bin/env bash\n"+body+"\n"), 0o700))
	}
	t.Setenv("PATH", bin)
	t.Setenv("XDG_CACHE_HOME", cache)
	dir, err := Dir()
	must(t, err)
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused runs an installation that must fail, say so, and leave nothing.
func refused(t *testing.T, dir string, o Options, parts ...string) {
	t.Helper()
	_, err := Run(context.Background(), o)
	if err == nil {
		t.Fatal("it ended well")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("a failed run left %v", left)
	}
}

func TestRefusesWhatIsNotPinned(t *testing.T) {
	npm := func(integrity, pack string) map[string]string {
		return map[string]string{"npm": "case $1 in\nview) echo '" + integrity + "' ;;\npack) " + pack + " ;;\nesac"}
	}
	const linux = "linux/amd64"
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "bad") }))
	defer bad.Close()
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct {
		standIns map[string]string
		o        Options
		want     []string
	}{
		"another integrity": {npm("sha512-AAAA", "exit 1"), Options{system: linux}, []string{`npm reports integrity "sha512-AAAA"`}},
		"npm fails":         {npm(libraryPack.integrity, "echo 'no network' >&2; exit 1"), Options{system: linux}, []string{"npm pack", "no network"}},
		"another archive":   {npm(libraryPack.integrity, "echo bad >bad.tgz; echo bad.tgz"), Options{system: linux}, []string{"SHA-512 is"}},
		"archive elsewhere": {npm(libraryPack.integrity, "echo ../../etc/passwd"), Options{system: linux}, []string{"names no archive"}},
		"no such asset":     {nil, Options{system: linux, site: none.URL}, []string{"404"}},
		"no network":        {nil, Options{system: linux, site: gone.URL}, []string{"download", "npm"}},
		"another asset":     {nil, Options{system: linux, site: bad.URL}, []string{"SHA-256 is", "nothing was installed"}},
		"unknown system":    {nil, Options{system: "plan9/amd64"}, []string{"plan9", "--runtime-library"}},
		"cuda on a mac":     {nil, Options{system: "darwin/arm64", CUDA: true}, []string{"CUDA", "--runtime-library"}},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, sandbox(t, c.standIns), c.o, c.want...)
		})
	}
}

func TestUnwritableFolder(t *testing.T) {
	sandbox(t, nil)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	t.Setenv("XDG_CACHE_HOME", file)
	if _, err := Run(context.Background(), Options{system: "linux/amd64"}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a cache that is a file gives %v", err)
	}
}

// archive is a .tgz of one file.
func archive(t *testing.T, member string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	must(t, w.WriteHeader(&tar.Header{Name: "./" + member, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write(content)
	must(t, errors.Join(err, w.Close(), z.Close()))
	return b.Bytes()
}

// TestAsset installs from a stand-in of the releases page, and leaves it in
// place until it is damaged.
func TestAsset(t *testing.T) {
	const system = "linux/arm64"
	p := platforms[system]
	defer func() { platforms[system] = p }()
	tgz := archive(t, p.asset.name+"/"+p.asset.member, []byte("library"))
	sum := sha256.Sum256(tgz)
	q := p
	q.asset.sha256 = hex.EncodeToString(sum[:])
	platforms[system] = q
	asked := 0
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/"+p.asset.name+".tgz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_, _ = w.Write(tgz)
	}))
	defer site.Close()
	dir := sandbox(t, nil)
	for i, want := range []int{1, 1, 2} {
		path, err := Run(context.Background(), Options{system: system, site: site.URL})
		must(t, err)
		if got, _ := os.ReadFile(path); string(got) != "library" || asked != want || filepath.Dir(path) != dir {
			t.Fatalf("run %d: %q in %s, %d downloads, want %d", i, got, path, asked, want)
		}
		if i == 1 {
			must(t, os.WriteFile(path, []byte("damaged"), 0o600))
		}
	}
}

// TestInPlace: what is installed is left alone, without npm or the network;
// what is damaged is not taken for it.
func TestInPlace(t *testing.T) {
	p, ok := platforms[here()]
	if !ok {
		missing.Skip(t, "nothing is published for %s", here())
	}
	from, err := Dir()
	must(t, err)
	installed := filepath.Join(from, p.library.name)
	if _, err := os.Stat(installed); err != nil {
		missing.Skip(t, "winnow setup has not been run: %v", err)
	}
	dir := sandbox(t, nil)
	must(t, os.MkdirAll(dir, 0o750))
	target := filepath.Join(dir, p.library.name)
	must(t, os.Symlink(installed, target))
	if _, err := os.Stat(installed + ".sha256"); err == nil {
		must(t, os.Symlink(installed+".sha256", target+".sha256"))
	}
	var said []string
	o := Options{site: "http://127.0.0.1:1", Say: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }}
	if path, err := Run(context.Background(), o); err != nil || path != target || !strings.Contains(strings.Join(said, " "), "in place") {
		t.Fatalf("a second run: %s, %v, %q", path, err, said)
	}
	must(t, errors.Join(os.Remove(target), os.WriteFile(target, nil, 0o600)))
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "download") {
		t.Errorf("a damaged library passed: %v", err)
	}
}

// TestCancelled: Ctrl-C ends a download and leaves nothing.
func TestCancelled(t *testing.T) {
	dir := sandbox(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer site.Close()
	if _, err := Run(ctx, Options{system: "linux/amd64", site: site.URL}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}
