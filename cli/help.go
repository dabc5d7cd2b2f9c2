package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// Groups of flags in --help.
const (
	flagsData    = "Data"
	flagsModel   = "Model"
	flagsRecipe  = "Recipe"
	flagsNew     = "Recipe of a new bundle"
	flagsPrune   = "Pruning"
	flagsMachine = "Machine"
	flagsOutput  = "Output"
	flagsConfig  = "Flags from a file"
)

// flagGroups is the order of the groups, and what is said under their names.
var flagGroups = []struct{ name, about string }{
	{flagsData, ""},
	{flagsModel, ""},
	{flagsRecipe, ""},
	{flagsNew, "only with the name of a shipped bundle or an .onnx file; an exported bundle keeps the recipe that winnow export wrote into it"},
	{flagsPrune, ""},
	{flagsMachine, ""},
	{flagsOutput, ""},
	{flagsConfig, ""},
}

const (
	helpWidth  = 80
	flagIndent = 2
	flagColumn = 27 // where what a flag does begins
)

// exitCodes are the codes of main.go, as help names them.
var exitCodes = map[int]string{
	0: "done", 1: "failed", 2: "wrong usage", 3: "bad input data or model",
	4: "no usable ONNX Runtime or device", 130: "interrupted",
}

func init() {
	cli.HelpPrinter = func(w io.Writer, _ string, data any) {
		switch v := data.(type) {
		case *cli.App:
			_, _ = io.WriteString(w, appHelp(v))
		case *cli.Command:
			_, _ = io.WriteString(w, commandHelp(v))
		}
	}
}

// about is the description of a command: what it does, how it ends, and how it is called.
func about(text string, codes []int, examples ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", strings.TrimSpace(text))
	if len(examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, line := range examples {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	named := make([]string, len(codes))
	for i, c := range codes {
		named[i] = fmt.Sprintf("%d %s", c, exitCodes[c])
	}
	fmt.Fprintf(&b, "\nExit codes: %s.", strings.Join(named, ", "))
	return strings.TrimSpace(b.String())
}

func appHelp(a *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s\n\n%s\n\nCommands:\n", a.Name, a.Usage, a.UsageText, a.Description)
	writeCommands(&b, a.VisibleCommands())
	fmt.Fprintf(&b, "\n%s COMMAND --help tells more of a command.\n", a.Name)
	return b.String()
}

func commandHelp(c *cli.Command) string {
	var b strings.Builder
	wrapped(&b, fmt.Sprintf("%s: %s", c.HelpName, c.Usage), 0)
	fmt.Fprintf(&b, "\nUsage: %s\n", commandUsage(c, c.HelpName))
	if c.Description != "" {
		b.WriteString("\n")
		paragraphs(&b, c.Description)
	}
	if len(c.Subcommands) > 0 {
		b.WriteString("\nCommands:\n")
		writeCommands(&b, c.Subcommands)
	}
	writeFlags(&b, c.Flags)
	return b.String()
}

// commandUsage is how a command of a name, "winnow data show", is typed.
func commandUsage(c *cli.Command, usage string) string {
	if c.UsageText != "" {
		return c.UsageText
	}
	if len(c.Subcommands) > 0 {
		usage += " COMMAND"
	}
	if slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] != "help" }) {
		usage += " [FLAGS]"
	}
	if c.ArgsUsage != "" {
		usage += " " + c.ArgsUsage
	}
	return usage
}

// paragraphs writes text with its paragraphs wrapped, and lines that begin with
// spaces as they are.
func paragraphs(b *strings.Builder, text string) {
	var words []string
	flush := func() {
		if len(words) > 0 {
			wrapped(b, strings.Join(words, " "), 0)
		}
		words = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || line[0] == ' ':
			flush()
			b.WriteString(line + "\n")
		case strings.HasSuffix(line, ":"): // the head of a list
			words = append(words, line)
			flush()
		default:
			words = append(words, line)
		}
	}
	flush()
}

func writeCommands(b *strings.Builder, commands []*cli.Command) {
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name))
	}
	for _, c := range commands {
		if !c.Hidden && c.Name != "help" {
			entry(b, c.Name, c.Usage, flagIndent+width+2)
		}
	}
}

// writeFlags writes the flags by group, in the order in which a command lists them.
func writeFlags(b *strings.Builder, flags []cli.Flag) {
	for _, g := range flagGroups {
		of := inGroup(flags, g.name)
		if len(of) == 0 {
			continue
		}
		head := g.name + ":"
		if g.about != "" {
			head = g.name + " (" + g.about + "):"
		}
		b.WriteString("\n")
		wrapped(b, head, 0)
		for _, f := range of {
			names, text := flagText(f)
			entry(b, names, text, flagColumn)
		}
	}
}

// inGroup lists the flags of a group that are shown.
func inGroup(flags []cli.Flag, group string) (of []cli.Flag) {
	for _, f := range flags {
		c, ok := f.(cli.CategorizableFlag)
		if v, is := f.(cli.VisibleFlag); ok && c.GetCategory() == group && (!is || v.IsVisible()) {
			of = append(of, f)
		}
	}
	return of
}

// flagText is a flag as it is typed, and what it does.
func flagText(f cli.Flag) (names, text string) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return dashes(f.Names()[0]), ""
	}
	value, text := valueWord(d.GetUsage())
	typed := make([]string, 0, 2)
	for _, n := range f.Names() {
		typed = append(typed, dashes(n))
	}
	slices.SortStableFunc(typed, func(a, b string) int { return len(a) - len(b) }) // -b, --batch-size
	names = strings.Join(typed, ", ")
	if d.TakesValue() {
		names += " " + value
	}
	if b, ok := f.(*cli.BoolFlag); ok && !b.Value {
		return names, text
	}
	if def := d.GetDefaultText(); def != "" && def != `""` {
		text += " (default " + strings.Trim(def, `"`) + ")"
	}
	return names, text
}

// valueWord takes the word in backquotes, which names a flag's value, from its
// usage. Where the usage begins with the word and a colon, the text goes on behind.
func valueWord(usage string) (word, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "VALUE", usage
	}
	word, after, _ := strings.Cut(rest, "`")
	if text, choice := strings.CutPrefix(after, ": "); choice && before == "" {
		return word, text
	}
	return word, before + word + after
}

// entry writes a name and its text beside it, wrapped, from the column on.
func entry(b *strings.Builder, name, text string, column int) {
	head := strings.Repeat(" ", flagIndent) + name
	if n := utf8.RuneCountInString(head); n > column-2 {
		b.WriteString(head + "\n")
		head = strings.Repeat(" ", column)
	} else {
		head += strings.Repeat(" ", column-n)
	}
	b.WriteString(head)
	wrapped(b, text, column)
}

// wrapped writes text in lines of at most helpWidth, all but the first indented.
func wrapped(b *strings.Builder, text string, indent int) {
	at := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteString("\n")
}
