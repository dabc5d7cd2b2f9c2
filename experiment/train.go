package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"winnow/internal/atomicfile"
	"winnow/prune"
	"winnow/run"
)

// Reporter hears of an experiment's course. Its calls come one at a time.
type Reporter interface {
	Begin(p Progress)                      // a run begins or goes on
	Progress(p Progress)                   // about once a second while it is trained
	End(p Progress, r *run.Run, took bool) // it is finished; took: it was before
	Failed(p Progress, err error)          // it failed, and the experiment goes on
}

// Progress is where an experiment stands.
type Progress struct {
	Run    *Run
	Done   int // runs that are finished
	Runs   int // in all
	Epochs int // finished, of this run
}

// pollEvery is how often a run's epochs are counted.
const pollEvery = time.Second

// Exit codes of a run after which the others would end in the same way.
const (
	codeUsage, codeRuntime = 2, 4
	codeInterrupted        = 130
)

// Train trains what is not finished of a plan in a folder, each run by program,
// and gives the finished runs in the plan's order. Where the folder has a plan,
// this one joins it. A run that fails does not end the experiment, unless what
// failed is the same for all: the error wraps ErrFailed once the others are
// done. Cancelling ctx ends the run at work cleanly; its error is the context's.
func Train(ctx context.Context, dir, program string, p *Plan, rep Reporter) ([]run.Run, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	folder, err := atomicfile.Take(dir, []string{PlanFile})
	if err != nil {
		return nil, fmt.Errorf("experiment: folder %q: %w", dir, err)
	}
	defer folder.Release()
	switch earlier, err := Read(dir); {
	case err == nil:
		if err := p.Join(earlier); err != nil {
			return nil, err
		}
	case exists(filepath.Join(dir, PlanFile)):
		return nil, err
	default:
		if err := p.Complete(); err != nil {
			return nil, err
		}
	}
	if err := folder.Write(PlanFile, p.write); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, RunsDir), 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	dir = filepath.Join(dir, RunsDir)
	done, failed, err := p.train(ctx, dir, program, p.Runs, Progress{Runs: len(p.Runs)}, rep)
	all := len(p.Runs)
	if err == nil && p.Budget {
		more := p.equalSamples(done)
		all += len(more)
		var as []run.Run
		var lost []string
		as, lost, err = p.train(ctx, dir, program, more, Progress{Done: len(done), Runs: all}, rep)
		done, failed = append(done, as...), append(failed, lost...)
	}
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("experiment: %w: %d of %d: %s", ErrFailed, len(failed), all, strings.Join(failed, ", "))
	}
	return done, err
}

// equalSamples are runs in full whose epochs take about as many samples as each
// pruned run did: whole epochs, the nearest number.
func (p *Plan) equalSamples(done []run.Run) []Run {
	at := map[string]*run.Run{}
	for i := range done {
		at[done[i].Name] = &done[i]
	}
	var more []Run
	for _, r := range p.Runs {
		d := at[r.Name]
		if d == nil || d.Summary.Policy == prune.PolicyFull || d.Summary.Config.TrainSamples < 1 {
			continue
		}
		n := int64(d.Summary.Config.TrainSamples)
		epochs := int(max(1, (d.Summary.TrainSamplesUsed+n/2)/n))
		if epochs == d.Summary.Config.Epochs && slices.Contains(p.Methods, fullMethod) {
			continue // full training of as many epochs is it
		}
		x := newRun(fullMethod, r.Noise, nil, r.Seed)
		x.Fold, x.Epochs = r.Fold, epochs
		x.Name += fmt.Sprintf("-e%d", epochs)
		if x.Fold > 0 {
			x.Name += fmt.Sprintf("-f%d", x.Fold)
		}
		if !slices.ContainsFunc(more, func(m Run) bool { return m.Name == x.Name }) {
			more = append(more, x)
		}
	}
	return more
}

// train trains what is not finished of some runs; at is where the experiment
// stands. failed are the names of those that did.
func (p *Plan) train(ctx context.Context, dir, program string, runs []Run, at Progress, rep Reporter) (done []run.Run, failed []string, err error) {
	taken := make([]*run.Run, len(runs))
	for i := range runs { // all that is there before anything is trained
		if taken[i], err = p.finished(&runs[i], filepath.Join(dir, runs[i].Name)); err != nil {
			return nil, nil, err
		}
		if taken[i] != nil {
			at.Done++
		}
	}
	for i := range runs {
		r := &runs[i]
		at.Run, at.Epochs = r, 0
		if taken[i] != nil {
			done = append(done, *taken[i])
			rep.End(at, taken[i], true)
			continue
		}
		place := filepath.Join(dir, r.Name)
		err := p.child(ctx, r, place, program, at, rep)
		var child *ChildError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return done, failed, ctx.Err()
		case errors.As(err, &child) && (child.Code < codeUsage || child.Code > codeRuntime) && child.Code != codeInterrupted:
			rep.Failed(at, err)
			failed = append(failed, r.Name)
			continue
		default:
			return done, failed, err
		}
		end, err := p.finished(r, place)
		if err == nil && end == nil {
			err = &ChildError{r.Name, codeInterrupted, "it ended before its last epoch"}
		}
		if err != nil {
			return done, failed, err
		}
		done = append(done, *end)
		at.Done++
		rep.End(at, end, false)
	}
	return done, failed, nil
}

// child trains a run in a process of its own.
func (p *Plan) child(ctx context.Context, r *Run, place, program string, at Progress, rep Reporter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at.Epochs = run.EpochsDone(place)
	rep.Begin(at)
	var said tail
	cmd := exec.CommandContext(ctx, program, p.args(r, place)...)
	cmd.Dir, cmd.Stderr = p.Dir, &said
	// A Ctrl-C reaches the child too, whose second one would quit at once.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	endsWithParent(cmd)
	stop, polled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(polled)
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				at.Epochs = run.EpochsDone(place)
				rep.Progress(at)
			}
		}
	}()
	runtime.LockOSThread() // a child that ends with its parent ends with the thread that made it
	err := cmd.Run()
	runtime.UnlockOSThread()
	close(stop)
	<-polled
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &ChildError{r.Name, exit.ExitCode(), said.last(exit.String())}
	} else if err != nil {
		return fmt.Errorf("experiment: run %q: %w", r.Name, err)
	}
	return nil
}

// maxTail is how much is kept of what a child said.
const maxTail = 8 << 10

// tail keeps the end of what is written.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p[max(0, len(p)-maxTail):]...)
	t.text = append(t.text[:0], t.text[max(0, len(t.text)-maxTail):]...)
	return len(p), nil
}

// last is the last line, without the program's name, or what there is instead.
func (t *tail) last(instead string) string {
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	line := strings.TrimPrefix(string(bytes.TrimSpace(lines[len(lines)-1])), "winnow: ")
	if line == "" {
		return instead
	}
	return line
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
