package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// manPage writes the manual in roff, a section for each command, from what
// --help is made of.
func manPage(app *cli.App) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH WINNOW 1\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n%s\n.SH DESCRIPTION\n", app.Name, roff(app.Usage), roff(app.UsageText))
	manText(&b, app.Description)
	for _, c := range app.Commands {
		manCommand(&b, c, app.Name)
	}
	return b.String(), nil
}

func manCommand(b *strings.Builder, c *cli.Command, parent string) {
	if c.Hidden || c.Name == "help" {
		return
	}
	name := parent + " " + c.Name
	fmt.Fprintf(b, ".SH %s\n%s\n.PP\n.B %s\n.PP\n", strings.ToUpper(roff(name)), roff(c.Usage), roff(commandUsage(c, name)))
	manText(b, c.Description)
	for _, g := range flagGroups {
		flags := inGroup(c.Flags, g.name)
		if len(flags) == 0 {
			continue
		}
		fmt.Fprintf(b, ".SS %s\n", roff(g.name))
		if g.about != "" {
			fmt.Fprintf(b, "%s\n", roff(g.about))
		}
		for _, f := range flags {
			names, text := flagText(f)
			fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(names), roff(text))
		}
	}
	for _, sub := range c.Subcommands {
		manCommand(b, sub, name)
	}
}

// manText writes paragraphs, and lines that begin with spaces as they are.
func manText(b *strings.Builder, text string) {
	asIs := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, " "); indented != asIs {
			asIs = indented
			if asIs {
				b.WriteString(".nf\n")
			} else {
				b.WriteString(".fi\n")
			}
		}
		if line == "" {
			b.WriteString(".PP\n")
		} else {
			fmt.Fprintf(b, "%s\n", roff(line))
		}
	}
	if asIs {
		b.WriteString(".fi\n")
	}
}

// roff escapes a line of text: what begins a request, and hyphens, which must
// stay as they are typed.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}
