package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// interleave moves a command's flags in front of its other arguments, so that
// `export model.onnx -o dir` works: the flag parser stops at the first argument
// that is not a flag. Everything after "--" stays where it is. Old names of
// flags become the new ones; note is told of each. Where help is asked for, a
// command's other arguments, which would be topics of it, are left out.
func interleave(app *cli.App, args []string, note func(old, now string)) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	out := []string{args[0]}
	var path []string // the commands so far
	commands, defined := app.Commands, app.Flags
	var flags, rest []string
	rest = make([]string, 0, len(args))
	for i := 1; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			rest = append(rest, args[i:]...)
			i = len(args)
		case len(arg) > 1 && arg[0] == '-':
			if now, n := modern(strings.Join(path, " "), args, i); n > 0 {
				note(strings.Join(args[i:i+n], " "), strings.Join(now, " "))
				flags = append(flags, now...)
				i += n - 1
				continue
			}
			flags = append(flags, arg)
			if !wantsValue(defined, arg) {
				continue
			}
			if i++; i == len(args) {
				return nil, usagef("flag needs an argument: %s", arg)
			}
			flags = append(flags, args[i])
		default:
			if sub := find(commands, arg); sub != nil && len(rest) == 0 {
				out, path = append(append(out, flags...), arg), append(path, arg)
				flags, commands, defined = nil, sub.Subcommands, sub.Flags
				continue
			}
			rest = append(rest, arg)
		}
	}
	if len(path) > 0 && len(commands) == 0 && slices.ContainsFunc(flags, asksHelp) {
		rest = nil
	}
	return append(append(out, flags...), rest...), nil
}

func asksHelp(flag string) bool {
	return slices.Contains(cli.HelpFlag.Names(), strings.TrimLeft(flag, "-"))
}

// wantsValue reports whether the argument after the flag belongs to it.
func wantsValue(defined []cli.Flag, arg string) bool {
	if strings.Contains(arg, "=") {
		return false
	}
	name := strings.TrimLeft(arg, "-")
	for _, f := range defined {
		for _, n := range f.Names() {
			if n == name {
				_, isBool := f.(*cli.BoolFlag)
				return !isBool
			}
		}
	}
	return false
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}
