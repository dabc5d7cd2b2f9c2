package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

const summary = `Winnow trains image models exported to ONNX, on stock ONNX Runtime, and
skips the samples that no longer teach the model.

  winnow train --bundle lenet --data glyphs --prune auto
  winnow export model.onnx -o bundle
  winnow compare runs/full runs/pruned

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input data or model, 4 no
usable ONNX Runtime or device, 130 interrupted.`

// Run parses args, the whole command line with the program's name first, and
// runs the command in it. Cancelling ctx ends long commands cleanly, with what
// was done so far written. The error, if any, is what main.go reports.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	out := newOutput(stdout, stderr)
	app := newApp(out)
	if n := len(args); n == 0 || args[n-1] != "--generate-bash-completion" {
		var err error
		note := func(old, now string) {
			out.notef("note: %s is now %s; the old name works until the next release", old, now)
		}
		if args, err = interleave(app, args, note); err != nil {
			return err
		}
	}
	err := app.RunContext(ctx, args)
	var exit cli.ExitCoder
	if errors.As(err, &exit) { // only the help command's "no such topic"
		return usagef("%s", strings.ToLower(exit.Error()))
	}
	if err == nil {
		return out.lost()
	}
	return asTyped(app, err)
}

func newApp(out *output) *cli.App {
	app := &cli.App{
		Name:                 "winnow",
		Usage:                "train image models exported to ONNX, on fewer samples",
		UsageText:            "winnow COMMAND [FLAGS] [ARGUMENTS]",
		Description:          summary,
		HideVersion:          true,
		EnableBashCompletion: true,
		Suggest:              true,
		Writer:               out.stdout,
		ErrWriter:            out.stderr,
		ExitErrHandler:       func(*cli.Context, error) {},
		OnUsageError:         func(c *cli.Context, err error, _ bool) error { return flagError(c, err) },
		Commands: []*cli.Command{
			newExportCommand(out),
			newInspectCommand(out),
			newTuneCommand(out),
			newTrainCommand(out),
			newEvalCommand(out),
			newCompareCommand(out),
			newExperimentCommand(out),
			newScoresCommand(out),
			newAuditCommand(out),
			newReportCommand(out),
			newDataCommand(out),
			newSetupCommand(out),
			newDoctorCommand(out),
			newCompletionCommand(out),
			newVersionCommand(out),
		},
	}
	app.Action = group(func(c *cli.Context) []*cli.Command { return c.App.VisibleCommands() })
	for _, c := range app.Commands {
		if slices.Contains(configured, c.Name) {
			takeConfig(c, out)
		}
		prepare(c)
	}
	return app
}

// prepare gives a command, and those under it, this program's way with errors.
func prepare(c *cli.Command) {
	c.HideHelpCommand = true
	sayOnBad(c)
	c.OnUsageError = func(ctx *cli.Context, err error, _ bool) error { return flagError(ctx, err) }
	for _, f := range c.Flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			b.DisableDefaultText = true
		}
	}
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
	if len(c.Subcommands) > 0 {
		c.Action = group(func(ctx *cli.Context) []*cli.Command { return ctx.Command.Subcommands })
	}
}

// group is the action of something that only holds commands: help without
// arguments, an error that suggests the nearest command with an unknown one.
func group(commands func(*cli.Context) []*cli.Command) cli.ActionFunc {
	return func(c *cli.Context) error {
		if !c.Args().Present() {
			if c.Command.Name == c.App.Name {
				return cli.ShowAppHelp(c)
			}
			return cli.ShowSubcommandHelp(c)
		}
		given, names := c.Args().First(), []string{}
		for _, sub := range commands(c) {
			names = append(names, sub.Name)
		}
		hint := nearest(given, names)
		if hint != "" {
			hint = fmt.Sprintf(", did you mean %q?", hint)
		}
		return usagef("unknown command %q%s (commands: %s)", given, hint, strings.Join(names, ", "))
	}
}

// positional checks the number of arguments that are not flags.
func positional(c *cli.Context, least, most int, what string) ([]string, error) {
	args := c.Args().Slice()
	switch {
	case len(args) < least:
		return nil, usagef("%s: give %s (see %s --help)", c.Command.Name, what, c.Command.HelpName)
	case most >= 0 && len(args) > most:
		return nil, usagef("%s: unexpected argument %q (see %s --help)", c.Command.Name, args[most], c.Command.HelpName)
	}
	return args, nil
}
