package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/random"
	"winnow/loader"
	"winnow/loader/loadertest"
)

// formatCase makes a small set of a format.
type formatCase struct {
	// write lays the files down and gives the spec behind the kind.
	write func(t *testing.T, dir string) (spec string)
	train func(t testing.TB) loadertest.Want
	// guessed is whether the path alone stands for the kind.
	guessed bool
}

// formatCases has one for each kind of the table.
var formatCases = map[string]formatCase{
	"glyphs": {
		write: func(*testing.T, string) string { return ":train=40,test=10,classes=36" },
		train: func(testing.TB) loadertest.Want { return loadertest.Want{Labels: glyphLabels()} },
	},
	"fashion-mnist": {write: writeIDXCase, train: idxWant},
	"mnist":         {write: writeIDXCase, train: idxWant},
	"idx":           {write: writeIDXCase, train: idxWant, guessed: true},
	"folder":        {write: writeFolderCase, train: folderWant, guessed: true},
	"csv":           {write: writeManifestCase("csv", csvCase), train: manifestWant, guessed: true},
	"jsonl":         {write: writeManifestCase("jsonl", jsonlCase), train: manifestWant, guessed: true},
	"cifar10":       {write: writeCIFAR(&cifar10), train: cifarWant(&cifar10), guessed: true},
	"cifar100":      {write: writeCIFAR(&cifar100), train: cifarWant(&cifar100), guessed: true},
	"npz":           {write: writeNpzCase, train: arrayWant(3), guessed: true},
	"npy":           {write: writeNpyCase, train: arrayWant(1), guessed: true},
	"safetensors":   {write: writeTensorsCase, train: arrayWant(3), guessed: true},
	"tar":           {write: writeTarCase, train: archiveWant(12), guessed: true},
	"parquet":       {write: writeParquetCase, train: archiveWant(13), guessed: true},
}

// glyphLabels are rounds of all classes, each from a start that is drawn.
func glyphLabels() []int64 {
	g := &glyphs{classes: make([]string, 36), seed: random.Mix(0)}
	labels := make([]int64, 40)
	for i := range labels {
		start := g.label(uint32(i / 36 * 36))
		labels[i] = (start + int64(i%36)) % 36
	}
	return labels
}

func writeIDXCase(t *testing.T, dir string) string {
	for name, data := range map[string][]byte{
		trainImages: idxBytes(count(20*24), 20, 4, 6), trainLabels: idxBytes(labelBytes(20), 20),
		testImages: idxBytes(count(5*24), 5, 4, 6), testLabels: idxBytes(labelBytes(5), 5),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return ":" + dir
}

func idxWant(testing.TB) (w loadertest.Want) {
	pixels := count(20 * 24)
	for i := range 20 {
		w.Labels = append(w.Labels, int64(labelBytes(20)[i]))
		w.Images = append(w.Images, pixels[i*24:][:24])
	}
	return w
}

// classless are the kinds whose samples have no class, tested with their targets.
var classless = map[string]bool{"pairs": true}

func TestFormats(t *testing.T) {
	for _, kind := range Kinds() {
		if classless[kind] {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			c, ok := formatCases[kind]
			if !ok {
				t.Fatal("a format without a case in the conformance suite")
			}
			rest := c.write(t, t.TempDir())
			loadertest.Records(t, func(t *testing.T) loader.Records { return open(t, kind+rest).Train }, c.train(t))
			if f, _ := find(kind); c.guessed != (f.sniff != nil) {
				t.Fatalf("known by its path: %v, want %v", f.sniff != nil, c.guessed)
			}
			if !c.guessed {
				return
			}
			if d := open(t, strings.TrimPrefix(rest, ":")); d.Guess != kind || d.Name != kind {
				t.Errorf("the path alone is taken for %q", d.Guess)
			}
		})
	}
}

// TestFormatsDocumented holds docs/data.md to the table of formats.
func TestFormatsDocumented(t *testing.T) {
	const page = "../docs/data.md"
	file, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	table := func(head string, lines []string) {
		before, rest, found := strings.Cut(text, head)
		_, after, _ := strings.Cut(rest, "\n\n")
		if !found {
			t.Fatalf("no table %q", head)
		}
		text = before + head + strings.Join(lines, "\n") + "\n\n" + after
	}
	cell := func(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
	var kinds, settings []string
	for _, i := range List() {
		kinds = append(kinds, fmt.Sprintf("| `%s` | %s | `winnow train --bundle BUNDLE --data %s` |", i.Name, cell(i.About), i.Example))
		if s, _, err := parseExample(i.Example); err != nil || s != i.Name {
			t.Errorf("the example of %s is %q: %v", i.Name, i.Example, err)
		}
		for _, s := range i.Options[:len(i.Options)-len(commonSettings())] {
			settings = append(settings, fmt.Sprintf("| `%s` | `%s` | %s | %s | %s |", i.Name, s.Name, cell(s.Values), s.Default, cell(s.About)))
		}
	}
	table("| kind | what | for example |\n| --- | --- | --- |\n", kinds)
	table("| kind | setting | values | default | what |\n| --- | --- | --- | --- | --- |\n", settings)
	if text == string(file) {
		return
	}
	if !*update {
		t.Fatalf("the tables of %s are not those of the code; go test ./datasets -run Documented -update writes them", page)
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// parseExample holds a spec against the settings of its kind.
func parseExample(text string) (kind, path string, err error) {
	s, err := parseSpec(text, Kinds())
	if err != nil {
		return "", "", err
	}
	f, err := find(s.name)
	if err != nil {
		return "", "", err
	}
	var names []string
	for _, o := range f.info.Options {
		names = append(names, o.Name)
	}
	return s.name, s.path, s.allow(f.path, names)
}
