package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs setup.sh with an empty cache and a PATH that has nothing but the
// tools it needs and the given stand-ins, shell scripts by name.
type script struct {
	t     *testing.T
	cache string
	bin   string
}

func newScript(t *testing.T, standIns map[string]string) *script {
	t.Helper()
	s := &script{t: t, cache: t.TempDir(), bin: t.TempDir()}
	for _, tool := range []string{
		"bash", "awk", "base64", "cat", "chmod", "cp", "cut", "gzip", "mkdir", "mktemp", "mv", "od",
		"rm", "sha256sum", "sha512sum", "shasum", "tail", "tar", "tr", "uname",
	} {
		if path, err := exec.LookPath(tool); err == nil {
			noError(t, os.Symlink(path, filepath.Join(s.bin, tool)))
		}
	}
	for name, body := range standIns {
		file := filepath.Join(s.bin, name)
		noError(t, os.RemoveAll(file))
		noError(t, os.WriteFile(file, []byte("#!/usr/bin/env bash\n"+body+"\n"), 0o700))
	}
	return s
}

func (s *script) run(args ...string) (string, error) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		s.t.Fatalf("the bash that the Makefile needs too: %v", err)
	}
	cmd := exec.Command(bash, append([]string{"setup.sh"}, args...)...)
	cmd.Env = []string{"PATH=" + s.bin, "XDG_CACHE_HOME=" + s.cache, "HOME=/nonexistent", "TMPDIR=" + s.t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *script) dir() string {
	return filepath.Join(s.cache, "winnow", "onnxruntime", LibraryVersion)
}

func (s *script) fails(parts ...string) {
	s.t.Helper()
	out, err := s.run()
	if err == nil {
		s.t.Errorf("it ended well: %s", out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			s.t.Errorf("%q does not say %q", out, part)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir(), "*")); len(left) > 0 {
		s.t.Errorf("a failed run left %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir(), ".*")); len(left) > 0 {
		s.t.Errorf("a failed run left %v", left)
	}
}

const (
	onLinux = `[ "$1" = -s ] && echo Linux || echo x86_64`
	pinned  = "sha512-WjiVVB72riILz8HbYvxvmjKyE/WmkYoSfKY++axo5jAR609HQg8MwiG/HhShpTcJfmmAdzxxmB+MMST3A+SiPA=="
)

func TestSetupRefusesWhatIsNotPinned(t *testing.T) {
	npm := func(integrity, pack string) map[string]string {
		return map[string]string{"uname": onLinux, "npm": `case $1 in
view) echo "` + integrity + `" ;;
pack) ` + pack + ` ;;
esac`}
	}
	for name, c := range map[string]struct {
		standIns map[string]string
		want     []string
	}{
		"another integrity":  {npm("sha512-AAAA", "exit 1"), []string{"npm reports integrity sha512-AAAA"}},
		"npm fails":          {npm(pinned, "echo 'no network' >&2; exit 1"), []string{"npm pack", "no network"}},
		"another archive":    {npm(pinned, "echo bad >bad.tgz; echo bad.tgz"), []string{"SHA-512 is"}},
		"nothing to fetch":   {map[string]string{"uname": onLinux}, []string{"npm or curl is needed"}},
		"curl fails":         {map[string]string{"uname": onLinux, "curl": "echo refused >&2; exit 22"}, []string{"cannot download", "refused"}},
		"another release":    {map[string]string{"uname": onLinux, "curl": `while [ "$1" != -o ]; do shift; done; echo bad >"$2"`}, []string{"SHA-256 is", "nothing was installed"}},
		"unknown platform":   {map[string]string{"uname": "echo Plan9"}, []string{"Plan9", "--runtime-library"}},
		"unwritable library": {map[string]string{"uname": onLinux, "mkdir": "exit 1"}, []string{"cannot create"}},
	} {
		t.Run(name, func(t *testing.T) { newScript(t, c.standIns).fails(c.want...) })
	}
	s := newScript(t, nil)
	if out, err := s.run("gpu"); err == nil || !strings.Contains(out, `unknown argument "gpu"`) {
		t.Errorf("an unknown argument gives %q, %v", out, err)
	}
}

// What is in place is left alone, without npm, curl or the network; what is
// damaged is not taken for it.
func TestSetupIsSafeToRepeat(t *testing.T) {
	dir, err := installedDir()
	noError(t, err)
	installed := filepath.Join(dir, libraryNames()[0])
	if _, err := os.Stat(installed); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("setup.sh has not been run: %v", err)
		}
		t.Skipf("setup.sh has not been run: %v", err)
	}
	s := newScript(t, nil)
	noError(t, os.MkdirAll(s.dir(), 0o750))
	target := filepath.Join(s.dir(), libraryNames()[0])
	noError(t, os.Symlink(installed, target))
	if _, err := os.Stat(installed + ".sha256"); err == nil {
		noError(t, os.Symlink(installed+".sha256", target+".sha256"))
	}
	out, err := s.run()
	if err != nil || !strings.Contains(out, "in place") {
		t.Fatalf("a second run: %v: %s", err, out)
	}
	noError(t, os.Remove(target))
	touch(t, target)
	if out, err := s.run(); err == nil || !strings.Contains(out, "npm or curl is needed") {
		t.Errorf("a damaged library passed: %v: %s", err, out)
	}
}

func TestSetupPinsTheVersionThatIsLookedFor(t *testing.T) {
	text, err := os.ReadFile("setup.sh")
	noError(t, err)
	if !strings.Contains(string(text), "\nversion="+LibraryVersion+"\n") {
		t.Errorf("setup.sh does not install %s", LibraryVersion)
	}
	if !strings.Contains(string(text), "name="+libraryNames()[0]) {
		t.Errorf("setup.sh does not install %s", libraryNames()[0])
	}
}
