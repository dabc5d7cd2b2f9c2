package report

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"math"
	"regexp"
	"strings"
	"testing"

	"winnow/run"
)

var (
	policy  = regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`)
	inline  = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	sources = regexp.MustCompile(`<script type="application/json">(.*?)</script>`)
)

// The only script is the one whose hash the policy has; it is there only where a
// chart can be zoomed, and what it reads are the run's numbers and no markup.
func TestZoom(t *testing.T) {
	r := sample(t, 12, 3)
	r.Run.Summary.Scalars = []string{"</script><b>"}
	r.Run.Epochs[4].TestLoss, r.Run.Epochs[5].TestLoss = math.NaN(), math.Inf(-1)
	text := page1(t, r)
	scripts := inline.FindAllStringSubmatch(text, -1)
	if len(scripts) != 1 || strings.Count(text, "<script") != 1+strings.Count(text, `<script type="application/json">`) {
		t.Fatalf("%d scripts", len(scripts))
	}
	sum := sha256.Sum256([]byte(scripts[0][1]))
	want := "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if got := html.UnescapeString(policy.FindStringSubmatch(text)[1]); got != want {
		t.Errorf("policy %s, not %s", got, want)
	}
	type source struct {
		Bars   bool
		Name   string
		Epochs []int
		Series []struct{ Values []*float64 }
	}
	var all []source
	for _, m := range sources.FindAllStringSubmatch(text, -1) {
		var s source
		if err := json.Unmarshal([]byte(m[1]), &s); err != nil {
			t.Fatal(err, m[1])
		}
		all = append(all, s)
	}
	if len(all) != 7 || all[3].Name != "</script><b>" { // the spread of scores is not of them
		t.Fatalf("%d charts: %+v", len(all), all)
	}
	loss, samples := all[1], all[4]
	for i, e := range r.Run.Epochs {
		got := loss.Series[0].Values[i]
		if there := e.TestLoss-e.TestLoss == 0; there != (got != nil) || there && math.Abs(*got-e.TestLoss) > 1e-5*e.TestLoss || loss.Epochs[i] != i+1 {
			t.Errorf("epoch %d: loss %v, not %v", i+1, got, e.TestLoss)
		}
		if *samples.Series[0].Values[i] != float64(e.SamplesUsed) || *samples.Series[1].Values[i] != float64(e.SamplesTotal-e.SamplesUsed) {
			t.Errorf("epoch %d: samples", i+1)
		}
	}
	if long := sources.FindAllStringSubmatch(page1(t, sample(t, 3*maxZoom+1, 3)), -1); len(long) == 0 || strings.Count(long[0][1], ",") > 3*maxZoom {
		t.Error("as many numbers as epochs")
	}
	for _, r := range []*Report{sample(t, minZoom-1, 3), {Run: &run.Run{Name: "bare"}}} {
		if text := page1(t, r); strings.Contains(text, "<script") || strings.Contains(text, "script-src") {
			t.Error("a script without a chart to zoom")
		}
	}
}
