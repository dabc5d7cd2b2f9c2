// Command broken makes some thousand broken files from small good ones, runs
// the program's commands on each in a process of its own, and writes a table of
// what came of it. It fails where one panics, hangs, takes more than a second of
// processor time or 256 MB of memory, or takes a broken cache for a sound one.
//
//	go run ./bench/broken -winnow ./winnow -out docs/reliability.md
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of one command.
const (
	maxBusy   = time.Second // of the processors, its children's too
	maxMemory = 256 << 20   // bytes resident
	maxTime   = 2 * time.Minute
)

// result is what came of one command on one broken input.
type result struct {
	c       *sample
	command string
	outcome outcome
	memory  int64
	took    time.Duration
	busy    time.Duration // of the processors
	text    string        // what it said
}

// outcome is a kind of end.
type outcome string

const (
	refused  outcome = "refused, named"   // exit 3 with the path, or 4 for a library
	accepted outcome = "accepted"         // exit 0
	unnamed  outcome = "refused, unnamed" // exit 3 without the path
	failed   outcome = "failed"           // any other exit code
	panicked outcome = "panic"
	slow     outcome = "over 1 s"
	large    outcome = "over 256 MB"
	hung     outcome = "hung"
	wrong    outcome = "wrong" // a run on a broken cache that came to another result
)

var outcomes = []outcome{refused, accepted, unnamed, failed, panicked, slow, large, hung, wrong}

// bad are the outcomes that must not be.
var bad = map[outcome]bool{panicked: true, slow: true, large: true, hung: true, wrong: true}

func main() {
	binary := flag.String("winnow", "", "the program")
	out := flag.String("out", "", "file for the table; standard output without")
	workers := flag.Int("j", runtime.NumCPU(), "processes at a time")
	verbose := flag.Bool("v", false, "print what is no plain refusal or acceptance")
	only := flag.String("only", "", "take what contains this in its kind and name")
	flag.Parse()
	if err := run(*binary, *out, *only, *workers, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "broken:", err)
		os.Exit(1)
	}
}

func run(binary, out, only string, workers int, verbose bool) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "winnow-broken-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	good, err := newGood(binary, filepath.Join(dir, "good"))
	if err != nil {
		return err
	}
	list := corpus(good)
	list = filter(list, only)
	fmt.Fprintf(os.Stderr, "%d files\n", len(list))
	results := all(binary, dir, good, list, workers, verbose)
	text := report(list, results)
	if out == "" {
		_, err = os.Stdout.WriteString(text)
	} else {
		err = os.WriteFile(out, []byte(text+sections(out)), 0o666)
	}
	for _, r := range results {
		if bad[r.outcome] {
			err = errors.Join(err, fmt.Errorf("%s %s: %s: %s", r.command, r.c, r.outcome, r.text))
		}
	}
	return err
}

// sections are what other commands have written into a file, behind its table.
func sections(path string) string {
	old, _ := os.ReadFile(path) // there may be none
	if i := bytes.Index(old, []byte("\n## ")); i >= 0 {
		return string(old[i:])
	}
	return ""
}

func filter(list []*sample, only string) []*sample {
	var kept []*sample
	for _, c := range list {
		if strings.Contains(c.String(), only) {
			kept = append(kept, c)
		}
	}
	return kept
}

// all runs every command on every sample.
func all(binary, dir string, good *good, list []*sample, workers int, verbose bool) []result {
	var mu sync.Mutex
	var results []result
	var wg sync.WaitGroup
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for i := range next {
				c := list[i]
				at := filepath.Join(dir, fmt.Sprint(i))
				got, err := c.try(binary, at, good)
				if err != nil {
					got = []result{{c: c, command: "make", outcome: failed, text: err.Error()}}
				}
				_ = os.RemoveAll(at) // what is left goes with the whole folder
				mu.Lock()
				results = append(results, got...)
				for _, r := range got {
					if verbose && r.outcome != refused && r.outcome != accepted {
						fmt.Fprintf(os.Stderr, "%s %s: %s: %.2f s, %d MB: %s\n", r.command, c, r.outcome, r.busy.Seconds(), r.memory>>20, r.text)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	wg.Wait()
	return results
}

// try makes a sample in a folder and runs its commands on it.
func (c *sample) try(binary, dir string, g *good) ([]result, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	path, err := c.make(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	var results []result
	for _, args := range commands(c, path, filepath.Join(dir, "out"), g) {
		r := execute(binary, args)
		r.c, r.command = c, verb(args)
		if r.outcome == large && r.memory <= costly[c.String()].memory {
			r.outcome = accepted
		}
		if c.of == aCache && r.command == "train" && r.outcome == accepted {
			if got, err := outcomeOf(filepath.Join(dir, "out")); err != nil || got != g.state.metrics {
				r.outcome = wrong
			}
		}
		named := strings.Contains(r.text, path) || c.file != "" && strings.Contains(r.text, c.file) || c.of == aCache && strings.Contains(r.text, g.state.images)
		if exits2[c.of] && r.outcome == failed && strings.HasPrefix(r.text, "exit 2:") { // a flag, if in a file
			r.outcome = refused
		}
		if r.outcome == refused && !named {
			r.outcome = unnamed
		}
		results = append(results, r)
		_ = os.RemoveAll(filepath.Join(dir, "out"))
	}
	return results, nil
}

// exits2 are inputs that stand for flags too, which may be refused as such.
var exits2 = map[subject]bool{aConfig: true, aCheckpoint: true, aPlan: true, aLog: true}

// verb is the command among arguments, before which there may be variables.
func verb(args []string) string {
	for strings.Contains(args[0], "=") {
		args = args[1:]
	}
	return args[0]
}

// execute runs the program once within the limits.
func execute(binary string, args []string) result {
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := command(ctx, binary, args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	r := result{took: time.Since(start), text: tail(stderr.String())}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = usage.Maxrss
		r.busy = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if runtime.GOOS != "darwin" { // KiB there, bytes here
			r.memory <<= 10
		}
	}
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	switch text := stderr.String() + stdout.String(); {
	case ctx.Err() != nil:
		r.outcome = hung
	case strings.Contains(text, "goroutine ") || strings.Contains(text, "panic:") || code < 0:
		r.outcome = panicked
	case r.busy > maxBusy:
		r.outcome = slow
	case r.memory > maxMemory:
		r.outcome = large
	case code == 0:
		r.outcome = accepted
	case code == 3:
		r.outcome = refused
	default:
		r.outcome = failed
		r.text = fmt.Sprintf("exit %d: %s", code, r.text)
	}
	return r
}

// tail is the last line that is not empty.
func tail(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// report writes the page.
func report(list []*sample, results []result) string {
	kinds, files := []string{}, map[string]int{}
	for _, c := range list {
		if files[c.kind] == 0 {
			kinds = append(kinds, c.kind)
		}
		files[c.kind]++
	}
	counts := map[string]map[outcome]int{"all": {}}
	most, longest := int64(0), time.Duration(0)
	var largest, slowest result
	reasons := map[string]int{}
	for _, r := range results {
		if counts[r.c.kind] == nil {
			counts[r.c.kind] = map[outcome]int{}
		}
		counts[r.c.kind][r.outcome]++
		counts["all"][r.outcome]++
		if r.memory > most {
			most, largest = r.memory, r
		}
		if r.busy > longest {
			longest, slowest = r.busy, r
		}
		if r.outcome == failed {
			code, _, _ := strings.Cut(r.text, ":")
			reasons[r.command+": "+code]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Reliability

What broken files do to the program, from `+"`make test-broken`"+`: %d files made from
small good ones (cut short, single bits turned over, fields changed, sizes that
lie, wrong types, cycles, deep nesting, pipes), and %d commands run on them, each
in a process of its own.

A file is refused, with exit code 3 and its path in the message (2 where a key of a
--config file is no flag or its value none of the flag), or accepted where it is
harmless: a bit of a weight, of a name or of a pixel, say, or where what is broken is
made anew, such as a cache. No command may panic, hang, take more than a second of
processor time, its child processes' with it, or more than 256 MB; and a run on a
broken cache of images must be refused or come to the result of a sound one.

| kind | files | runs |`, len(list), len(results))
	for _, o := range outcomes {
		fmt.Fprintf(&b, " %s |", o)
	}
	b.WriteString("\n| --- | ---: | ---: |" + strings.Repeat(" ---: |", len(outcomes)) + "\n")
	files["all"] = len(list)
	for _, kind := range append(kinds, "all") {
		runs := 0
		for _, n := range counts[kind] {
			runs += n
		}
		fmt.Fprintf(&b, "| %s | %d | %d |", kind, files[kind], runs)
		for _, o := range outcomes {
			fmt.Fprintf(&b, " %d |", counts[kind][o])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nThe most memory that one took was %d MB (%s, %s), the most processor time %.2f s (%s, %s).\n",
		most>>20, largest.command, largest.c, longest.Seconds(), slowest.command, slowest.c)
	for _, name := range slices.Sorted(maps.Keys(costly)) {
		fmt.Fprintf(&b, "One file is sound and may take %d MB (%s): %s.\n", costly[name].memory>>20, name, costly[name].why)
	}
	if len(reasons) > 0 {
		b.WriteString("\nFailures are exits with another code than 3. A loss that is not finite is one, with 1:\n" +
			"the file is sound, and whether training diverges is a matter of data and rate too.\n\n")
		var lines []string
		for text, n := range reasons {
			lines = append(lines, fmt.Sprintf("- %s (%d)\n", text, n))
		}
		sort.Strings(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return b.String()
}
