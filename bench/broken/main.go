// Command broken makes about a thousand broken files from small good ones, runs
// the program's commands on each in a process of its own, and writes a table of
// what came of it. It fails where one panics, runs for longer than 20 seconds
// or takes more than 1 GB of memory.
//
//	go run ./bench/broken -winnow ./winnow -out docs/reliability.md
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of one command.
const (
	maxTime   = 20 * time.Second
	maxMemory = 1 << 30 // bytes resident
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
	hung     outcome = "over 20 s"
	large    outcome = "over 1 GB"
)

var outcomes = []outcome{refused, accepted, unnamed, failed, panicked, hung, large}

// bad are the outcomes that must not be.
var bad = map[outcome]bool{panicked: true, hung: true, large: true}

func main() {
	binary := flag.String("winnow", "", "the program")
	out := flag.String("out", "", "file for the table; standard output without")
	workers := flag.Int("j", runtime.NumCPU(), "processes at a time")
	verbose := flag.Bool("v", false, "print what is no plain refusal or acceptance")
	only := flag.String("only", "", "take the kinds that contain this")
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
		if strings.Contains(c.kind, only) {
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
					if verbose && (r.busy > time.Second || r.memory > 256<<20) {
						fmt.Fprintf(os.Stderr, "OVER %s %s: %s: %.2f s, %d MB: %s\n", r.command, c, r.outcome, r.busy.Seconds(), r.memory>>20, r.text)
					}
					if verbose && r.outcome != refused && r.outcome != accepted {
						fmt.Fprintf(os.Stderr, "%s %s: %s: %s\n", r.command, c, r.outcome, r.text)
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
		r.c, r.command = c, args[0]
		named := strings.Contains(r.text, path) || c.file != "" && strings.Contains(r.text, c.file)
		if (c.of == aConfig || c.of == aCheckpoint) && r.outcome == failed && strings.HasPrefix(r.text, "exit 2:") { // a flag, if in a file
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

// execute runs the program once within the limits.
func execute(binary string, args []string) result {
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
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
	reasons := map[string]int{}
	slow, big := 0, 0
	for _, r := range results {
		if counts[r.c.kind] == nil {
			counts[r.c.kind] = map[outcome]int{}
		}
		counts[r.c.kind][r.outcome]++
		counts["all"][r.outcome]++
		most, longest = max(most, r.memory), max(longest, r.took)
		if r.busy > time.Second {
			slow++
		}
		if r.memory > 256<<20 {
			big++
		}
		if r.outcome == failed {
			reasons[r.command+": "+r.text[:min(len(r.text), 8)]]++
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
harmless: a bit of a weight, of a name or of a pixel, say. No command may panic, run
for more than 20 seconds or take more than 1 GB.

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
	fmt.Fprintf(&b, "\nThe most memory that one took was %d MB, the longest time %.1f s.\n", most>>20, longest.Seconds())
	fmt.Fprintf(&b, "%d of the commands took more than a second of processor time, %d more than 256 MB.\n", slow, big)
	if len(reasons) > 0 {
		b.WriteString("\nFailures are exits with another code than 3. A loss that is not finite is one, with 1:\n" +
			"the file is sound, and whether training diverges is a matter of data and rate too.\n\n")
		var lines []string
		for text, n := range reasons {
			lines = append(lines, fmt.Sprintf("- %s (%d)\n", strings.TrimSuffix(text, ":"), n))
		}
		sort.Strings(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return b.String()
}
