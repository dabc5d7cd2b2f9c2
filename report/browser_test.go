//go:build browser

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// probe opens a page in a frame of a width and writes down what a reader would
// see: the page itself runs no script.
const probe = `<!doctype html><body style="margin:0"><iframe id="f" src="%s" style="border:0;width:%dpx;height:900px"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").onload = e => {
  const d = e.target.contentDocument, w = e.target.contentWindow, seen = x => { const r = x.getBoundingClientRect(); return r.width > 20 && r.height > 20 }
  const boxes = s => [...s.querySelectorAll("text")].map(x => x.getBoundingClientRect())
  const cross = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1
  const style = w.getComputedStyle(d.body)
  document.getElementById("out").textContent = JSON.stringify({
    charts: [...d.querySelectorAll("svg")].filter(s => seen(s) && [...s.querySelectorAll("polyline,rect")].some(x => x.getBoundingClientRect().height > 1)).length,
    pictures: [...d.images].filter(i => i.complete && i.naturalWidth > 0 && seen(i)).length,
    over: [...d.querySelectorAll("svg")].map(boxes).reduce((n, of) => n + of.filter((a, i) => of.slice(i + 1).some(b => cross(a, b))).length, 0),
    wide: d.documentElement.scrollWidth, back: style.backgroundColor, ink: style.color,
    line: w.getComputedStyle(d.querySelector("svg .line") || d.body).stroke })
}
</script>`

var (
	found   = regexp.MustCompile(`<pre id="out">(.*?)</pre>`)
	console = regexp.MustCompile(`(?m)^.*:CONSOLE.*$`)
)

// Every chart and picture is drawn, at 400 and 1600 pixels, in the reader's
// scheme, and the browser has nothing to say against the page.
func TestBrowser(t *testing.T) {
	program := os.Getenv("WINNOW_TEST_CHROMIUM")
	if program == "" {
		t.Fatal("WINNOW_TEST_CHROMIUM names no browser")
	}
	dir := t.TempDir()
	report := filepath.Join(dir, "report.html")
	r := sample(t, 12, 10)
	for i := range r.Run.Epochs { // long numbers along the axes
		e := &r.Run.Epochs[i]
		e.LearningRate, e.SamplesUsed, e.SamplesTotal = e.LearningRate/1e3, e.SamplesUsed*20_000, e.SamplesTotal*20_000
	}
	if err := os.WriteFile(report, []byte(page1(t, r)), 0o666); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Charts, Pictures, Wide int
		Over                   int // words of charts that cover each other
		Back, Ink, Line        string
	}
	got := map[string]seen{}
	for _, width := range []int{400, 1600} {
		for scheme, setting := range map[string]string{"dark": "0", "light": "1"} {
			path := filepath.Join(dir, "probe.html")
			if err := os.WriteFile(path, fmt.Appendf(nil, probe, "report.html", width), 0o666); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--user-data-dir="+filepath.Join(dir, "profile"),
				"--enable-logging=stderr", "--blink-settings=preferredColorScheme="+setting, fmt.Sprintf("--window-size=%d,1000", width), "--virtual-time-budget=5000", "--dump-dom", "file://"+path)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			dom, err := cmd.Output()
			if err != nil {
				t.Fatal(err, stderr.String())
			}
			if said := console.FindString(stderr.String()); said != "" {
				t.Errorf("%s, %d wide: %s", scheme, width, said)
			}
			m := found.FindSubmatch(dom)
			if m == nil {
				t.Fatalf("no answer:\n%s", dom)
			}
			var s seen
			if err := json.Unmarshal([]byte(html.UnescapeString(string(m[1]))), &s); err != nil {
				t.Fatal(err, string(m[1]))
			}
			if s.Charts != 7 || s.Pictures != 24 || s.Wide > width || s.Over > 0 {
				t.Errorf("%s, %d wide: %+v", scheme, width, s)
			}
			got[fmt.Sprint(scheme, width)] = s
		}
	}
	light, dark := got["light400"], got["dark400"]
	if !strings.Contains(light.Back, "255, 255, 255") || dark.Back == light.Back || dark.Ink == light.Ink || dark.Line == light.Line {
		t.Errorf("light %+v, dark %+v", light, dark)
	}
}
