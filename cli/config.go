package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"winnow/internal/files"
	"winnow/internal/yamlfile"
	"winnow/models"
	runs "winnow/run"
)

// configured are the commands whose flags may come from a file.
var configured = []string{"export", "tune", "train", "eval", "experiment"}

// listed are flags of text with commas between, which a file may have as a list.
var listed = []string{"methods", "ratios", "noise"}

const (
	flagConfig = "config"
	flagPrint  = "print-config"
)

// takeConfig gives a command --config and --print-config. The keys of the file
// are the command's flags; what is on the command line goes before.
func takeConfig(c *cli.Command, out *output) {
	c.Flags = append(c.Flags,
		&cli.StringFlag{Name: flagConfig, Category: flagsConfig, TakesFile: true,
			Usage: "take flags from `FILE` in YAML or JSON, KEY: VALUE with the names of the flags; those given here override it, and relative paths begin here"},
		&cli.BoolFlag{Name: flagPrint, Category: flagsConfig,
			Usage: "print all flags as such a file, those with a # as they are by default, and end"})
	c.Before = func(ctx *cli.Context) error {
		if path := ctx.String(flagConfig); path != "" {
			return setFrom(ctx, path)
		}
		return nil
	}
	action := c.Action
	c.Action = func(ctx *cli.Context) error {
		if ctx.Bool(flagPrint) {
			out.lines(configText(ctx, "winnow "+c.Name))
			return nil
		}
		return action(ctx)
	}
}

// setFrom sets the flags that a file has and the command line has not.
func setFrom(c *cli.Context, path string) error {
	pairs, err := readConfig(path)
	if err != nil {
		return err
	}
	typed := map[string]bool{}
	for _, f := range c.Command.Flags {
		typed[f.Names()[0]] = slices.ContainsFunc(f.Names(), c.IsSet)
	}
	for _, p := range pairs {
		f, err := configFlag(c.Command.Flags, p)
		if err != nil {
			return usagef("--config %q: line %d: %w", path, p.Line, err)
		}
		text, err := configValue(f, p.Value)
		if err != nil {
			return usagef("--config %q: line %d: %s: %w", path, p.Value.Line(), p.Key, err)
		}
		if typed[p.Key] {
			continue
		}
		if err := c.Set(p.Key, text); err != nil {
			return usagef("--config %q: line %d: %s: %.40q is out of range or not of its kind", path, p.Value.Line(), p.Key, text)
		}
	}
	return nil
}

func readConfig(path string) ([]yamlfile.Pair, error) {
	text, err := files.Read(path, yamlfile.MaxSize)
	if err != nil {
		return nil, inputf("--config %q: %w", path, bare(err))
	}
	pairs, err := yamlfile.Parse(text)
	if err != nil {
		return nil, inputf("--config %q: %w", path, err)
	}
	return pairs, nil
}

// bare is an error of the system without the path, which the message has.
func bare(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// unconfigured are flags that a file cannot set.
var unconfigured = []string{flagConfig, flagPrint, "help"}

// configFlag is the flag of a key.
func configFlag(flags []cli.Flag, p yamlfile.Pair) (cli.Flag, error) {
	var known []string
	for _, f := range flags {
		name := f.Names()[0]
		if slices.Contains(unconfigured, name) {
			continue
		}
		if name == p.Key {
			return f, nil
		}
		known = append(known, name)
	}
	if hint := nearest(p.Key, known); hint != "" {
		return nil, fmt.Errorf("unknown key %.40q, did you mean %s?", p.Key, hint)
	}
	return nil, fmt.Errorf("unknown key %.40q: keys are names of flags, without dashes", p.Key)
}

// configValue is a value as a flag takes it.
func configValue(f cli.Flag, v yamlfile.Value) (string, error) {
	kind := v.Kind()
	wrong := func(want string) (string, error) {
		what := kind
		if text := v.Text(); text != "" {
			what = fmt.Sprintf("%s (%.40q)", kind, text)
		}
		return "", fmt.Errorf("%s, want %s", what, want)
	}
	switch f.(type) {
	case *cli.BoolFlag:
		if kind != yamlfile.Bool {
			return wrong(yamlfile.Bool)
		}
		return v.Text(), nil
	case *cli.IntFlag, *cli.Int64Flag, *cli.Uint64Flag:
		if kind != yamlfile.Int {
			return wrong(yamlfile.Int)
		}
		return v.Text(), nil
	case *cli.Float64Flag:
		if kind != yamlfile.Int && kind != yamlfile.Float {
			return wrong(yamlfile.Float)
		}
		return v.Text(), nil
	case *cli.Float64SliceFlag, *cli.StringSliceFlag:
		if kind == yamlfile.List {
			return configList(f, v)
		}
	case *cli.StringFlag:
		if kind == yamlfile.List && slices.Contains(listed, f.Names()[0]) {
			return configTexts(v)
		}
	}
	if !slices.Contains([]string{yamlfile.Int, yamlfile.Float, yamlfile.Text}, kind) {
		return wrong(yamlfile.Text)
	}
	return v.Text(), nil
}

// configList is a list as a flag takes it, with commas between.
func configList(f cli.Flag, v yamlfile.Value) (string, error) {
	_, numbers := f.(*cli.Float64SliceFlag)
	var parts []string
	for _, item := range v.Items() {
		kind := item.Kind()
		number := kind == yamlfile.Int || kind == yamlfile.Float
		if numbers && !number || !number && kind != yamlfile.Text {
			return "", fmt.Errorf("%s in the list, line %d", kind, item.Line())
		}
		parts = append(parts, item.Text())
	}
	if len(parts) == 0 {
		return "", errors.New("an empty list")
	}
	return strings.Join(parts, ","), nil
}

// configTexts is a list of texts and numbers, with commas between.
func configTexts(v yamlfile.Value) (string, error) {
	var parts []string
	for _, item := range v.Items() {
		if !slices.Contains([]string{yamlfile.Int, yamlfile.Float, yamlfile.Text}, item.Kind()) || strings.Contains(item.Text(), ",") {
			return "", fmt.Errorf("%s in the list, line %d", item.Kind(), item.Line())
		}
		parts = append(parts, item.Text())
	}
	if len(parts) == 0 {
		return "", errors.New("an empty list")
	}
	return strings.Join(parts, ","), nil
}

// unrecorded are flags that say what to do with a run, and nothing of what it is.
var unrecorded = []string{"resume", "out", "overwrite", "quiet", "report", flagConfig, flagPrint, "help"}

// configLine is a flag as a config file has it.
type configLine struct {
	name  string
	value any
	text  string // the value as it is typed; what help shows of the default, where nothing stands for it
	set   bool   // given, or standing for itself: it may be given again
}

// configLines are all flags of a command with the values that they have now.
func configLines(c *cli.Context) []configLine {
	var list []configLine
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if slices.Contains(unrecorded, name) {
			continue
		}
		l := configLine{name: name, value: nativeValue(c, name), text: valueText(c, name), set: c.IsSet(name)}
		if l.set {
			l.text = recordedText(name, l.text)
			if _, ok := l.value.(string); ok {
				l.value = l.text
			}
		} else if d, ok := f.(cli.DocGenerationFlag); ok {
			shown := d.GetDefaultText()
			if l.set = l.text != "" && (shown == "" || shown == l.text || shown == strconv.Quote(l.text)) && !meansByAbsence(name); !l.set && shown != "" {
				l.text = strings.Trim(shown, `"`)
			}
		}
		list = append(list, l)
	}
	return list
}

// meansByAbsence is whether a flag that is not given stands for something else
// than its default given: a bundle's own recipe, what suits the data or the device.
func meansByAbsence(name string) bool {
	for _, flags := range [][]cli.Flag{new(graphOptions).flags(""), new(imageOptions).flags(), new(forwardOptions).flags(), new(transformOptions).flags()} {
		if slices.Contains(names(flags), name) {
			return true
		}
	}
	return name == "tf32"
}

// nativeValue is a flag's value as YAML has it.
func nativeValue(c *cli.Context, name string) any {
	switch v := c.Value(name).(type) {
	case cli.Float64Slice:
		return v.Value()
	case *cli.Float64Slice:
		return v.Value()
	case cli.StringSlice:
		return v.Value()
	case *cli.StringSlice:
		return v.Value()
	default:
		return v
	}
}

// writeConfig is the lines as a file: those that are set, and behind a # what
// stands for the others.
func writeConfig(head string, lines []configLine) string {
	var b strings.Builder
	b.WriteString(head)
	for _, l := range lines {
		switch text, err := yamlfile.Line(l.name, l.value); {
		case l.set && err == nil:
			b.WriteString(text)
		default:
			fmt.Fprintf(&b, "# %s: %s\n", l.name, l.text)
		}
	}
	return b.String()
}

func configText(c *cli.Context, command string) string {
	return writeConfig("# "+command+" --config FILE\n", configLines(c))
}

// runConfig is RUN/config.yaml: the flags of a run, from which it can be run
// again. about says what they came to.
func runConfig(lines []configLine, about string, threads int) []byte {
	head := runs.ConfigMark + "\n"
	for line := range strings.Lines(about) {
		head += "# " + strings.TrimRight(line, "\n") + "\n"
	}
	lines = slices.Clone(lines)
	for i := range lines {
		if l := &lines[i]; l.name == "threads" { // bits depend on their number
			l.value, l.set = threads, true
		}
	}
	return []byte(writeConfig(head, lines))
}

// agrees refuses to go on with a run whose config.yaml says something else than
// the run has.
func (o *trainOptions) agrees(c *cli.Context, dir string) error {
	path := filepath.Join(dir, runs.ConfigFile)
	if !exists(path) { // of an earlier version, or removed
		return nil
	}
	pairs, err := readConfig(path)
	if err != nil {
		return fmt.Errorf("%w; the run does not need it: remove it to go on", err)
	}
	free := o.free()
	for _, p := range pairs {
		f, err := configFlag(c.Command.Flags, p)
		var text string
		if err == nil {
			text, err = configValue(f, p.Value)
		}
		if err != nil {
			return inputf("%q: line %d: %s: %w; the run does not need it: remove it to go on", path, p.Line, p.Key, err)
		}
		if has := recordedText(p.Key, valueText(c, p.Key)); !slices.Contains(free, p.Key) && !sameValue(text, has) {
			return usagef("%q: line %d: %s is %.40q, and the run has %.40q; winnow train --config starts a new run from it, and without it %s goes on as it was",
				path, p.Line, p.Key, text, has, dir)
		}
	}
	return nil
}

// sameValue is whether two texts are one value of a flag.
func sameValue(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && x == y
}

// recordedText is a flag's value as it is kept: with its paths absolute.
func recordedText(name, text string) string {
	if name == dataFlagName {
		return fromHere(text)
	}
	if slices.Contains(pathFlags, name) && text != "" && !slices.Contains(models.Names(), text) && exists(text) {
		if abs, err := filepath.Abs(text); err == nil {
			return abs
		}
	}
	return text
}
