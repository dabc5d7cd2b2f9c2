package cli

import (
	"context"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// completions are the scripts by shell. Each asks the program itself what can
// follow the words so far, so that they need no update.
var completions = map[string]func(*cli.App) (string, error){
	"bash": func(*cli.App) (string, error) {
		return `_winnow() {
  local words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ "$2" == -* ]] && words+=("$2")
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$2"))
}
complete -o default -F _winnow winnow
`, nil
	},
	"zsh": func(*cli.App) (string, error) {
		return `#compdef winnow
_winnow() {
  local -a given found
  given=("${(@)words[1,CURRENT-1]}")
  [[ "$words[CURRENT]" == -* ]] && given+=("$words[CURRENT]")
  found=("${(@f)$("${given[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "$found[1]" ]]; then compadd -a found; else _files; fi
}
compdef _winnow winnow
`, nil
	},
	"fish": func(app *cli.App) (string, error) {
		text, err := app.ToFishCompletion()
		return strings.ReplaceAll(text, "`", ""), err // around the names of values
	},
	"man": manPage,
}

type completionOptions struct {
	Shell string
	app   *cli.App
}

func newCompletionCommand(out *output) *cli.Command {
	const shells = "bash, zsh, fish, man"
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for bash, zsh or fish, or the man page",
		ArgsUsage: "bash|zsh|fish|man",
		Description: about("Prints to standard output; the shell, or man, reads it from there.", []int{0, 2},
			`source <(winnow completion bash)`,
			`winnow completion zsh >"${fpath[1]}/_winnow"`,
			`winnow completion fish >~/.config/fish/completions/winnow.fish`,
			`winnow completion man | man -l -`),
		BashComplete: func(*cli.Context) { _, _ = io.WriteString(out.stdout, strings.ReplaceAll(shells, ", ", "\n")+"\n") },
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "a shell: "+shells)
			if err != nil {
				return err
			}
			return runCompletion(c.Context, completionOptions{args[0], c.App}, out)
		},
	}
}

func runCompletion(_ context.Context, o completionOptions, out *output) error {
	write, ok := completions[o.Shell]
	if !ok {
		return usagef("completion %q: give one of bash, zsh, fish, man", o.Shell)
	}
	text, err := write(o.app)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out.stdout, text)
	return err
}
