// Package cli is the command line of Winnow: one file per command, each with
// its flags (newXCommand), its options (xOptions) and the work itself
// (runX(ctx, options, output)), which tests call without a process. What
// several commands need stands in files of its own: text.go, files.go,
// devices.go, images.go, recipe.go, bundles.go, output.go.
//
// It owns flags, help, terminal output and the wiring of the other packages.
// It refuses unknown flags and arguments with ErrUsage and a suggestion, and
// decides no exit codes: errors travel to main.go wrapped around their sentinels.
//
// Terms. Output goes to stdout when it is what the command was asked for
// (an epoch's line, a table, JSON) and to stderr when it only tells how the
// work goes (progress bars, notices). Plain output is what is written when
// stderr is no terminal: whole lines, no colours, no bars.
package cli
