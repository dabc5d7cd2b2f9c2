package cli

import (
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	"winnow/loader"
	"winnow/models"
)

func TestInterleave(t *testing.T) {
	app := newApp(newOutput(io.Discard, io.Discard))
	silent := func(old, now string) { t.Errorf("%s is taken for an old name of %s", old, now) }
	for _, c := range []struct{ in, want string }{
		{"winnow", "winnow"},
		{"winnow export m.onnx -o b", "winnow export -o b m.onnx"},
		{"winnow export m.onnx --overwrite", "winnow export --overwrite m.onnx"},
		{"winnow export m.onnx --out=b --nesterov", "winnow export --out=b --nesterov m.onnx"},
		{"winnow compare a b --json c --plot p.svg", "winnow compare --json --plot p.svg a b c"},
		{"winnow train --lr -1 --quiet", "winnow train --lr -1 --quiet"},
		{"winnow data show glyphs -n 2", "winnow data show -n 2 glyphs"},
		{"winnow data fetch data", "winnow data fetch data"},
		{"winnow inspect export --json", "winnow inspect --json export"},
		{"winnow export --unknown x", "winnow export --unknown x"},
		{"winnow export -o b -- -odd.onnx -x", "winnow export -o b -- -odd.onnx -x"},
		{"winnow trian export -o b", "winnow -o trian export b"},
		{"winnow inspect -", "winnow inspect -"},
		{"winnow audit runs/mine --folds 5 --help", "winnow audit --folds 5 --help"},
		{"winnow data list x -h", "winnow data list -h"},
	} {
		got, err := interleave(app, strings.Fields(c.in), silent)
		if err != nil || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q, %v, want %q", c.in, strings.Join(got, " "), err, c.want)
		}
	}
	if _, err := interleave(app, []string{"winnow", "export", "m.onnx", "-o"}, silent); !errors.Is(err, ErrUsage) {
		t.Errorf("a flag without its value: %v", err)
	}
}

// TestEveryCommandHasHelp holds what --help promises: a usage line for every
// command and every flag, and examples where there is something to give.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range newApp(newOutput(io.Discard, io.Discard)).Commands {
		if c.Usage == "" {
			t.Errorf("%s has no usage", c.Name)
		}
		if c.ArgsUsage != "" && !strings.Contains(c.Description, "Examples:") {
			t.Errorf("%s has no examples", c.Name)
		}
		for _, f := range c.Flags {
			if d, ok := f.(interface{ GetUsage() string }); !ok || d.GetUsage() == "" {
				t.Errorf("%s --%s has no usage", c.Name, f.Names()[0])
			}
		}
	}
}

// TestExamplesFit holds the examples of training a shipped bundle on generated
// images, in --help and the README: the images must have the bundle's shape.
func TestExamplesFit(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(readme) + newTrainCommand(newOutput(io.Discard, io.Discard)).Description
	found := regexp.MustCompile(`winnow train --bundle (\w+) --data (glyphs\S*)`).FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		t.Error("no example")
	}
	for _, m := range found {
		b, err := models.Builtin(m[1])
		if err != nil {
			t.Fatal(err)
		}
		d, err := datasets.Open(m[2], datasets.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c, h, w := loader.ShapeOf(d.Train)
		if got := [3]int64{int64(c), int64(h), int64(w)}; got != b.Manifest.ImageShape {
			t.Errorf("%s: images of %v for a bundle of %v", m[0], got, b.Manifest.ImageShape)
		}
	}
}

// Help fits a terminal of 80 columns, but for the examples, and every group
// that a flag is in is one that is shown.
func TestHelpFits(t *testing.T) {
	app := newApp(newOutput(io.Discard, io.Discard))
	var check func(c *cli.Command)
	check = func(c *cli.Command) {
		help := commandHelp(c)
		for line := range strings.Lines(help) {
			if utf8.RuneCountInString(line) > helpWidth+1 && !strings.HasPrefix(line, "  winnow ") {
				t.Errorf("%s: a line of %d characters: %s", c.Name, utf8.RuneCountInString(line)-1, line)
			}
		}
		if !strings.Contains(strings.ReplaceAll(help, "\n", " "), "Exit codes: 0 done, ") {
			t.Errorf("%s names no exit codes", c.Name)
		}
		for _, f := range c.Flags {
			if !strings.Contains(help, dashes(f.Names()[0])) {
				t.Errorf("%s: help lacks --%s", c.Name, f.Names()[0])
			}
		}
		for _, sub := range c.Subcommands {
			check(sub)
		}
	}
	for _, c := range app.Commands {
		check(c)
	}
}
