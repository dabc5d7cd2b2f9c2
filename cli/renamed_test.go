package cli

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// Old command lines mean what they meant, and each old name is said once.
func TestOldNames(t *testing.T) {
	app := newApp(newOutput(io.Discard, io.Discard))
	used := map[string]bool{}
	for _, c := range []struct {
		in, want string
		notes    int
	}{
		{"winnow train -b lenet", "winnow train --bundle lenet", 1},
		{"winnow train -b 64 --bundle lenet", "winnow train -b 64 --bundle lenet", 0},
		{"winnow train --reference holdout:0.1 --rescale=batch", "winnow train --prune-reference holdout:0.1 --prune-rescale batch", 2},
		{"winnow train --amp bfloat16 --model-ema 0.99", "winnow train --amp --amp-dtype bfloat16 --model-ema --model-ema-decay 0.99", 2},
		{"winnow train --amp --model-ema -q", "winnow train --amp --model-ema -q", 0},
		{"winnow train --amp=true --model-ema=false", "winnow train --amp=true --model-ema=false", 0},
		{"winnow train --train ^head --output scale", "winnow train --train ^head --output scale", 0},
		{"winnow export --amp float16 m.onnx", "winnow export --amp --amp-dtype float16 m.onnx", 1},
		{"winnow export --amp m.onnx", "winnow export --amp m.onnx", 0},
		{"winnow export m.onnx --scale 1 --classes 3 -o b", "winnow export --pixel-scale 1 --num-classes 3 -o b m.onnx", 2},
		{"winnow export m.onnx --reinit 7", "winnow export --reinit --init-seed 7 m.onnx", 1},
		{"winnow export --reinit m.onnx", "winnow export --reinit m.onnx", 0},
		{"winnow export m.onnx --model-ema=0.5", "winnow export --model-ema --model-ema-decay 0.5 m.onnx", 1},
		{"winnow export m.onnx --model-ema 0", "winnow export --model-ema=false m.onnx", 1},
		{"winnow export m.onnx --name --scale", "winnow export --name --scale m.onnx", 0},
		{"winnow eval run --train --scale 0.5 --limit-test 9", "winnow eval --split train --pixel-scale 0.5 --limit 9 run", 3},
		{"winnow data show --test glyphs", "winnow data show --split test glyphs", 1},
		{"winnow train --hflip --crop-pad 2", "winnow train --hflip 0.5 --crop-pad 2", 1},
		{"winnow train --hflip 0.3", "winnow train --hflip 0.3", 0},
		{"winnow train --hflip=false", "winnow train --hflip=false", 0},
		{"winnow data show --hflip glyphs", "winnow data show --hflip 0.5 glyphs", 1},
		{"winnow export -- --scale", "winnow export -- --scale", 0},
	} {
		notes := 0
		got, err := interleave(app, strings.Fields(c.in), func(old, _ string) {
			notes++
			name, _, _ := strings.Cut(strings.TrimLeft(strings.Fields(old)[0], "-"), "=")
			used[strings.TrimPrefix(c.in, "winnow ")[:4]+name] = true
		})
		if err != nil || !slices.Equal(got, strings.Fields(c.want)) || notes != c.notes {
			t.Errorf("%s: %q, %d notes, %v, want %q and %d", c.in, strings.Join(got, " "), notes, err, c.want, c.notes)
		}
	}
	for _, r := range oldNames {
		if !used[r.command[:4]+r.old] {
			t.Errorf("%s --%s has no test", r.command, r.old)
		}
	}
}

// What an old name became is a flag of the command.
func TestNewNamesExist(t *testing.T) {
	app := newApp(newOutput(io.Discard, io.Discard))
	for _, r := range oldNames {
		commands, flags := app.Commands, app.Flags
		for _, name := range strings.Fields(r.command) {
			c := find(commands, name)
			commands, flags = c.Subcommands, c.Flags
		}
		for _, value := range []string{"", "bundle", "0.5", "7", "float16"} {
			for _, word := range r.now(value) {
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(name, "=")
				if isFlag && !slices.Contains(names(flags), name) {
					t.Errorf("%s --%s became --%s, which is none of its flags", r.command, r.old, name)
				}
			}
		}
	}
}
