//go:build unix

package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"winnow/runtime/ortest"
)

// contents are the files below a folder, by path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			all[path] = "-> " + to
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unchanged returns a check that a folder is to the byte what it is now.
func unchanged(t *testing.T, dir string) func(what string) {
	t.Helper()
	before := contents(t, dir)
	return func(what string) {
		t.Helper()
		after := contents(t, dir)
		for path, data := range before {
			if after[path] != data && filepath.Base(path) != ".winnow-lock" { // which says who held it last
				t.Errorf("%s: %s changed", what, path)
			}
		}
		for path := range after {
			if _, ok := before[path]; !ok && !strings.HasPrefix(filepath.Base(path), ".winnow-") {
				t.Errorf("%s: %s is new", what, path)
			}
		}
	}
}

func trainMLP(out string, more ...string) []string {
	return append([]string{"train", "--bundle", "mlp", "--data", tinyData, "--epochs", "1", "--device", "cpu", "--threads", "1",
		"--prune", "none", "--out", out}, more...)
}

// started is a process that is killed when the test ends.
func started(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		kill.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // an error where the test has waited
	})
	return cmd
}

// await waits until a path is there.
func await(t *testing.T, path string) {
	t.Helper()
	for range 3000 {
		if _, err := os.Lstat(path); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not appear", path)
}

func code(cmd *exec.Cmd) int {
	_ = cmd.Wait() // the exit code is what is checked
	return cmd.ProcessState.ExitCode()
}

func link(t *testing.T, how func(string, string) error, to, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := how(to, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// The model that is trained is never replaced, under no path to it.
func TestOverwriteSourceModel(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("p/model.onnx"), lenet(t))
	link(t, os.Symlink, in("p"), in("folder"))
	link(t, os.Symlink, in("p/model.onnx"), in("soft/model.onnx"))
	link(t, os.Symlink, in("p/model.onnx"), in("elsewhere/source.onnx"))
	link(t, os.Link, in("p/model.onnx"), in("hard/model.onnx"))
	winnow(t, "export", in("p/model.onnx"), "-o", in("bundle")).succeeds(t)
	winnow(t, trainMLP(in("run"))...).succeeds(t)
	same := unchanged(t, dir)
	for _, c := range [][2]string{
		{"p/model.onnx", "p"}, {"p/model.onnx", "folder"}, {"folder/model.onnx", "p"}, {"p/model.onnx", "soft"}, {"p/model.onnx", "hard"},
		{"soft/model.onnx", "soft"}, {"elsewhere/source.onnx", "p"}, {"hard/model.onnx", "p"}, {"elsewhere/source.onnx", "elsewhere"},
		{"bundle", "bundle"},
	} {
		for _, more := range [][]string{nil, {"--overwrite"}} {
			args := append([]string{"train", "--bundle", in(c[0]), "--data", tinyData, "--epochs", "1", "--device", "cpu", "-q", "--out", in(c[1])}, more...)
			winnow(t, args...).fails(t, exitUsage, c[1], "--out")
			same(fmt.Sprint(c, more))
		}
	}
}

// A file with a run's name that no run wrote is never replaced.
func TestOverwriteStrangers(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	winnow(t, trainMLP(run)...).succeeds(t)
	metrics, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	ownModel, err := os.ReadFile(filepath.Join(run, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name string
		data []byte
		own  bool // beside the files of a run
	}{
		{"model.onnx", lenet(t), false},
		{"model.onnx", ownModel, false}, // trained by us, kept by itself
		{"model.onnx", lenet(t), true},
		{"model.onnx", nil, true},
		{"summary.json", []byte(`{"config":{"epochs":3,"lr":0.1}}`), false},
		{"summary.json", []byte("{"), true},
		{"metrics.jsonl", []byte(`{"epoch":1,"loss":0.5,"test_accuracy":0.5}` + "\n"), false},
		{"metrics.jsonl", append(slices.Clone(metrics), "a note\n"...), true},
		{"metrics.jsonl", append(slices.Clone(metrics), "a note"...), true},
		{"checkpoint.safetensors", []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"), true},
		{"checkpoint.prune", []byte("a list of trees"), true},
	} {
		folder := filepath.Join(dir, fmt.Sprint(i))
		if c.own {
			if err := os.CopyFS(folder, os.DirFS(run)); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(folder, c.name), c.data)
		same := unchanged(t, folder)
		for _, more := range [][]string{nil, {"--overwrite"}} {
			winnow(t, trainMLP(folder, more...)...).fails(t, exitUsage, c.name, "never replaced", "--out")
			same(fmt.Sprint(i, " ", c.name, more))
		}
	}
	cut := filepath.Join(dir, "cut") // a run that was killed as it wrote a line
	write(t, filepath.Join(cut, "metrics.jsonl"), metrics[:len(metrics)-9])
	write(t, filepath.Join(cut, "notes.txt"), []byte("kept"))
	winnow(t, trainMLP(cut, "--overwrite")...).fails(t, exitUsage, "metrics.jsonl")
	write(t, filepath.Join(cut, "metrics.jsonl"), append(metrics, metrics[:40]...))
	winnow(t, trainMLP(cut, "--overwrite")...).succeeds(t)
	if notes, err := os.ReadFile(filepath.Join(cut, "notes.txt")); err != nil || string(notes) != "kept" {
		t.Errorf("a file beside the run: %q, %v", notes, err)
	}
}

// An earlier run stays until the new one has its first epoch.
func TestOverwriteKeepsRun(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	out := filepath.Join(dir, "run")
	winnow(t, trainMLP(out)...).succeeds(t)
	same := unchanged(t, dir)

	winnow(t, trainMLP(out, "-q", "--lr", "100000", "--epochs", "2", "--data", "glyphs:train=600,test=200", "--overwrite")...).fails(t, exitFailed, "not finite")
	same("diverged")

	long := trainMLP(out, "--overwrite", "--data", "glyphs:train=20000,test=64", "--batch-size", "1", "--bundle", "resnet8")
	for _, how := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, os.Kill} {
		cmd := started(t, program(long...))
		await(t, filepath.Join(out, ".winnow-new"))
		if err := cmd.Process.Signal(how); err != nil {
			t.Fatal(err)
		}
		want := exitInterrupted
		if how == os.Kill {
			want = -1
		}
		if got := code(cmd); got != want {
			t.Errorf("%v: exit code %d, want %d", how, got, want)
		}
		same(fmt.Sprint("ended by ", how))
	}

	blocked := filepath.Join(dir, "blocked")
	if err := os.CopyFS(blocked, os.DirFS(out)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(blocked, "metrics.jsonl")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(blocked, "metrics.jsonl", "inside"), []byte("x"))
	sameBlocked := unchanged(t, blocked)
	winnow(t, trainMLP(blocked, "--overwrite")...).fails(t, exitUsage, "metrics.jsonl")
	sameBlocked("an entry that cannot be removed")

	winnow(t, trainMLP(out, "--epochs", "3", "--overwrite")...).succeeds(t)
	if lines, err := os.ReadFile(filepath.Join(out, "metrics.jsonl")); err != nil || bytes.Count(lines, []byte("\n")) != 3 {
		t.Errorf("%v, metrics of the new run:\n%s", err, lines)
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	linked := link(t, os.Symlink, out, filepath.Join(dir, "linked"))
	winnow(t, trainMLP(linked, "--epochs", "2", "--overwrite")...).succeeds(t)
	if to, err := os.Readlink(linked); err != nil || to != out {
		t.Errorf("the link to the run folder is %q, %v", to, err)
	}
}

// Whatever is written has the permissions that the umask leaves.
func TestUmask(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	model := write(t, in("lenet.onnx"), lenet(t))
	for _, mask := range []fs.FileMode{0o077, 0o027, 0} {
		top := in(fmt.Sprintf("%03o", mask))
		if err := os.Mkdir(top, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			trainMLP(filepath.Join(top, "deep", "run"), "-q"),
			trainMLP(filepath.Join(top, "deep", "run"), "-q", "--overwrite"),
			{"export", model, "-o", filepath.Join(top, "bundle")},
			{"compare", filepath.Join(top, "deep", "run"), "--plot", filepath.Join(top, "p.svg")},
			{"compare", filepath.Join(top, "deep", "run"), "--plot", filepath.Join(top, "p.svg")},
		} {
			cmd := program(args...)
			sh := exec.Command("sh", append([]string{"-c", fmt.Sprintf(`umask %03o; exec "$@"`, mask), "sh"}, cmd.Args...)...)
			sh.Env = cmd.Env
			if text, err := sh.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, text)
			}
		}
		seen := 0
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == top {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			want := 0o666 &^ mask
			if d.IsDir() {
				want = 0o777 &^ mask
			}
			if seen++; info.Mode().Perm() != want {
				t.Errorf("umask %03o: %s is %03o, want %03o", mask, path, info.Mode().Perm(), want)
			}
			return nil
		})
		if err != nil || seen < 13 {
			t.Errorf("%v, %d files seen", err, seen)
		}
	}
}

// Export replaces a bundle by its own files and touches no other.
func TestExportOverwrite(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	export := func(out string, more ...string) outcome {
		return winnow(t, append([]string{"export", in("lenet.onnx"), "-o", out, "--layout", "portable"}, more...)...)
	}
	write(t, in("lenet.onnx"), lenet(t))

	for name, c := range map[string]map[string]string{
		"foreign manifest": {"bundle.json": `{"web":"bundle"}`, "llm.safetensors": "w", "forward.onnx": string(lenet(t))},
		"no manifest":      {"llm.safetensors": "w"},
		"other format":     {"bundle.json": `{"format":"other/1","weights":"llm.safetensors"}`, "llm.safetensors": "w"},
	} {
		for file, data := range c {
			write(t, filepath.Join(in(name), file), []byte(data))
		}
		same := unchanged(t, in(name))
		for _, more := range [][]string{nil, {"--overwrite"}} {
			export(in(name), more...).fails(t, exitUsage, name, "choose another")
			same(name)
		}
	}

	bundle := in("bundle")
	export(bundle).succeeds(t)
	own := contents(t, bundle)
	write(t, filepath.Join(bundle, "llm.safetensors"), []byte("w"))
	write(t, filepath.Join(bundle, "README.md"), []byte("mine"))
	same := unchanged(t, bundle)
	export(bundle).fails(t, exitUsage, "--overwrite")
	same("without --overwrite")
	linked := link(t, os.Symlink, "bundle", in("linked"))
	for _, out := range []string{bundle, linked} {
		export(out, "--overwrite", "--smoothing", "0.1").succeeds(t)
		after := contents(t, bundle)
		if after[filepath.Join(bundle, "llm.safetensors")] != "w" || after[filepath.Join(bundle, "README.md")] != "mine" || len(after) != len(own)+2 {
			t.Errorf("%s: files beside the bundle: %v", out, slices.Collect(maps.Keys(after)))
		}
		manifest := filepath.Join(bundle, "bundle.json")
		if after[manifest] == own[manifest] {
			t.Errorf("%s: the bundle was not replaced", out)
		}
	}
	if to, err := os.Readlink(linked); err != nil || to != "bundle" {
		t.Errorf("the link is %q, %v", to, err)
	}

	// The source model, and a model that has the name of a bundle's file.
	inside := write(t, filepath.Join(bundle, "source.onnx"), lenet(t))
	same = unchanged(t, bundle)
	for _, model := range []string{inside, filepath.Join(linked, "source.onnx"), filepath.Join(bundle, "forward.onnx")} {
		winnow(t, "export", model, "-o", bundle, "--overwrite").fails(t, exitUsage, "holds the model", "--out")
		same(model)
	}
	write(t, filepath.Join(bundle, "forward.onnx"), lenet(t))
	same = unchanged(t, bundle)
	export(bundle, "--overwrite").fails(t, exitUsage, "forward.onnx")
	same("a forward.onnx from elsewhere")
}

// A command replaces what this program wrote, as a build replaces a program, and
// nothing of others, however alike.
func TestReplacesItsOwnFilesAlone(t *testing.T) {
	ortest.CPU(t, 1)
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	winnow(t, trainMLP(run)...).succeeds(t)
	zipOf := func(names ...string) []byte { // as NumPy writes them, but for its numbers
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range names {
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte("numbers"))
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	drawing := []byte("<?xml version=\"1.0\"?>\n<!-- Generated by SVGo and Plotinum VG -->\n<svg width=\"9\"></svg>\n")
	compare := func(out string) []string { return []string{"compare", run, "--plot", out} }
	scores := func(out string) []string { return []string{"scores", run, "-o", out} }
	costs := func(out string) []string {
		return []string{"inspect", "mlp", "--costs", "--steps", "3", "--device", "cpu", "--profile-out", out}
	}
	audit := func(out string) []string { return []string{"audit", run, "-o", filepath.Dir(out)} }
	experiment := func(out string) []string {
		return []string{"experiment", "--bundle", "mlp", "--data", tinyData, "--epochs", "1", "--methods", "none", "--seeds", "1", "--device", "cpu", "-o", filepath.Dir(out)}
	}
	for _, c := range []struct {
		name    string
		command func(string) []string
		others  []byte
	}{
		{"p.svg", compare, drawing},
		{"p.png", compare, picture.Bytes()},
		{"s.csv", scores, []byte("index,label\n0,1\n")},
		{"s.npz", scores, zipOf("epoch.npy", "index.npy")},
		{"t.json", costs, []byte(`[{"cat": "Persian", "weight": 4}]`)},
		{"report.html", func(out string) []string { return []string{"report", run, "-o", out} }, []byte("<!doctype html>\n<title>mine</title>")},
		{"labels.npz", audit, zipOf("given_label.npy", "order.npy")},
		{"labels.csv", audit, []byte("index,file,given_label,note\n")},
		{"labels.jsonl", audit, []byte(`{"index":0,"given_label":3}`)},
		{"audit.json", audit, []byte("{\n  \"run\": 3\n}")},
		{"suspects.png", audit, picture.Bytes()},
		{"suspects.html", audit, []byte("<html></html>")},
		{"accuracy.svg", experiment, drawing},
		{"results.md", experiment, []byte("| pruning | of roses |\n")},
		{"results.csv", experiment, []byte("name,method,yield\n")},
		{"results.json", experiment, []byte(`{"runs": []}`)},
	} {
		others := filepath.Join(dir, c.name+" of others", c.name)
		write(t, others, c.others)
		same := unchanged(t, filepath.Dir(others))
		winnow(t, c.command(others)...).fails(t, exitUsage, c.name, "choose another name")
		same(c.name)
		own := filepath.Join(dir, c.name+" of its own", c.name)
		if err := os.Mkdir(filepath.Dir(own), 0o755); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if text, err := program(c.command(own)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", c.name, err, text)
			}
		}
	}
	write(t, filepath.Join(dir, "d.png", "inside"), nil)
	winnow(t, "compare", run, "--plot", filepath.Join(dir, "d.png")).fails(t, exitUsage, "d.png", "not a regular file")
}
