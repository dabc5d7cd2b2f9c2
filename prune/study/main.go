// Command study simulates losses to show what the scores of package prune can
// and cannot see, and writes the pages of docs that say so:
//
//	go run ./prune/study bls    # docs/bls-theory.md and its plot
//	go run ./prune/study das    # docs/das-study.md and its plot
//
// The same program and seed write the same pages.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "docs", "folder to write to")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out string, args []string) error {
	if len(args) == 0 {
		args = []string{"bls", "das"}
	}
	for _, name := range args {
		var err error
		switch name {
		case "bls":
			err = studyBLS(out)
		case "das":
			err = studyDAS(out)
		default:
			err = fmt.Errorf("study %q: unknown, take bls or das", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
