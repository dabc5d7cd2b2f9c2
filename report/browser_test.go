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

// probe opens a page in a frame of a width and writes down what a reader sees,
// before and after a drag from the fourth epoch to the ninth in every chart that
// says it can be zoomed, then reading the seventh, then a double click.
const probe = `<!doctype html><body style="margin:0"><iframe id="f" src="%s" style="border:0;width:%dpx;height:900px"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").onload = e => {
  const d = e.target.contentDocument, w = e.target.contentWindow, seen = x => { const r = x.getBoundingClientRect(); return r.width > 20 && r.height > 20 }
  const boxes = s => [...s.querySelectorAll("text")].map(x => x.getBoundingClientRect())
  const cross = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1
  const style = w.getComputedStyle(d.body)
  const over = () => [...d.querySelectorAll("svg")].map(boxes).reduce((n, of) => n + of.filter((a, i) => of.slice(i + 1).some(b => cross(a, b))).length, 0)
  const middle = x => { const r = x.getBoundingClientRect(); return (r.left + r.right) / 2 }
  const zooms = [...d.querySelectorAll("figure")].filter(f => f.querySelector(".at")).map(f => {
    const svg = f.querySelector("svg"), box = svg.getBoundingClientRect(), old = svg.innerHTML
    const shapes = () => svg.querySelectorAll("circle,rect:not(.picked)")
    const of = n => [...shapes()].filter(x => x.textContent.startsWith("epoch " + n + ":"))
    const send = (kind, x) => svg.dispatchEvent(new w[kind == "dblclick" ? "MouseEvent" : "PointerEvent"](kind, {bubbles: true, button: 0, clientX: x, clientY: box.top + box.height / 2}))
    const first = middle(of(4)[0]), last = middle(of(9)[0]), before = shapes().length, want = of(7).map(x => x.textContent.split(" ").pop()).map(v => v.replace("e-0", "e-"))
    send("pointermove", first); send("pointerdown", first); send("pointermove", last)
    const picked = svg.querySelector(".picked").getBoundingClientRect().width
    send("pointerup", last)
    const seen = [...shapes()], edge = [middle(seen[0]), middle(seen[5])]
    send("pointermove", edge[0] + (edge[1] - edge[0]) * 3 / 5)
    const got = [f.querySelector(".at").innerText, ...[...f.querySelectorAll(".key i")].map(x => x.textContent)].join(" ")
    const names = [...svg.querySelectorAll('text[y="226"]')].map(x => +x.textContent) // along the axis of epochs
    const zoomed = over()
    send("dblclick", first)
    return {before, after: seen.length, picked: picked / box.width, wider: (edge[1] - edge[0]) / (last - first), want, got, names, over: zoomed, back: svg.querySelectorAll("circle,rect:not(.picked)").length == before && svg.innerHTML.startsWith(old.slice(0, 500)) }
  })
  document.getElementById("out").textContent = JSON.stringify({
    charts: [...d.querySelectorAll("svg")].filter(s => seen(s) && [...s.querySelectorAll("polyline,rect")].some(x => x.getBoundingClientRect().height > 1)).length,
    pictures: [...d.images].filter(i => i.complete && i.naturalWidth > 0 && seen(i)).length,
    over: over(), zooms,
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
		Zooms                  []zoomed
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
			if len(s.Zooms) != 6 {
				t.Errorf("%s, %d wide: %d charts can be zoomed", scheme, width, len(s.Zooms))
			}
			for i, z := range s.Zooms {
				z.check(t, fmt.Sprintf("%s, %d wide, zoom %d", scheme, width, i))
			}
			got[fmt.Sprint(scheme, width)] = s
		}
	}
	light, dark := got["light400"], got["dark400"]
	if !strings.Contains(light.Back, "255, 255, 255") || dark.Back == light.Back || dark.Ink == light.Ink || dark.Line == light.Line {
		t.Errorf("light %+v, dark %+v", light, dark)
	}
}

// zoomed is what a drag over six of twelve epochs did to a chart.
type zoomed struct {
	Before, After, Over int
	Picked, Wider       float64 // of the chart's width, and of the six epochs' former width
	Want                []string
	Got                 string
	Names               []int
	Back                bool
}

func (z *zoomed) check(t *testing.T, where string) {
	if z.Before == 0 || z.After*2 != z.Before || z.Over > 0 || z.Picked < 0.2 || z.Wider < 1.5 || !z.Back {
		t.Errorf("%s: %+v", where, z)
	}
	if len(z.Names) < 3 || z.Names[0] < 4 || z.Names[len(z.Names)-1] > 9 {
		t.Errorf("%s: epochs %v along the axis", where, z.Names)
	}
	for _, value := range append(z.Want, "epoch 7", "double click") {
		if !strings.Contains(z.Got, value) {
			t.Errorf("%s: no %q in %q", where, value, z.Got)
		}
	}
}
