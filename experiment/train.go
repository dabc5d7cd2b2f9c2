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
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"winnow/internal/atomicfile"
	"winnow/internal/guard"
	"winnow/prune"
	"winnow/run"
)

// Reporter hears of an experiment's course. Its calls come one at a time.
type Reporter interface {
	Begin(p Progress)    // a run begins or goes on
	Progress(p Progress) // about once a second while it is trained
	// End is told of a finished run; took: it was before. An error ends the experiment.
	End(p Progress, r *run.Run, took bool) error
	Failed(p Progress, err error)  // it failed, and the experiment goes on
	Noted(p Progress, text string) // what it says of its options and data, once for all runs that say the same
}

// Progress is where an experiment stands.
type Progress struct {
	Run    *Run
	Done   int // runs that are finished
	Runs   int // in all
	AtWork int // runs that are being trained
	Epochs int // finished, of this run
}

// pollEvery is how often a run's epochs are counted.
const pollEvery = time.Second

// Exit codes of a run.
const (
	codeUsage, codeInput, codeRuntime = 2, 3, 4
	codeInterrupted                   = 130
)

// Train trains what is not finished of a plan in a folder, each run by program
// and as many as jobs at a time, and gives the finished runs in the plan's
// order. Where the folder has a plan,
// this one joins it. A run that fails does not end the experiment, unless the
// others would fail in the same way: the error wraps ErrFailed once they are
// done. Cancelling ctx ends the runs at work cleanly; its error is the context's.
func Train(ctx context.Context, dir, program string, p *Plan, jobs int, rep Reporter) ([]run.Run, error) {
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
		err := p.Join(earlier)
		if errors.Is(err, ErrOther) && !earlier.begun(dir) { // all that it tried was refused
			err = p.Complete()
		}
		if err != nil {
			return nil, err
		}
	case exists(filepath.Join(dir, PlanFile)):
		return nil, err
	default:
		if err := p.Complete(); err != nil {
			return nil, err
		}
		if _, err := run.Read(dir); err == nil {
			return nil, fmt.Errorf("experiment: folder %q: %w: it is a run of winnow train; take another --out", dir, ErrOther)
		}
	}
	if p.Dir != "" && !isFolder(p.Dir) {
		return nil, fmt.Errorf("experiment: %q: %w: folder %q, where it was begun, is gone; the first command with --out %s, from where its paths hold now, goes on", dir, ErrPlan, p.Dir, dir)
	}
	if err := folder.Write(PlanFile, p.write); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, RunsDir), 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	dir = filepath.Join(dir, RunsDir)
	t := trainer{plan: p, dir: dir, program: program, jobs: max(1, jobs), rep: rep}
	t.at.Runs = len(p.Runs)
	done, failed, err := t.train(ctx, p.Runs)
	all := len(p.Runs)
	if err == nil && p.Budget {
		more := p.equalSamples(done)
		all += len(more)
		var as []run.Run
		var lost []*ChildError
		t.at.Runs = all
		as, lost, err = t.train(ctx, more)
		done, failed = append(done, as...), append(failed, lost...)
	}
	if err == nil && len(failed) > 0 {
		names := make([]string, len(failed))
		for i, f := range failed {
			names[i] = f.Run
		}
		err = fmt.Errorf("experiment: %w: %d of %d: %s; the first: %s", ErrFailed, len(failed), all, strings.Join(names, ", "), failed[0].Text)
	}
	return done, err
}

// begun is whether a run of the plan was, below the experiment's folder.
func (p *Plan) begun(dir string) bool {
	return slices.ContainsFunc(p.Runs, func(r Run) bool { return run.Begun(filepath.Join(dir, RunsDir, r.Name)) })
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

// trainer trains runs of a plan below a folder, some at a time.
type trainer struct {
	plan         *Plan
	dir, program string
	jobs         int

	mu    sync.Mutex // of what follows
	at    Progress
	rep   Reporter
	noted []string // what runs have said
}

// tell reports under the lock.
func (t *trainer) tell(report func(Reporter, *Progress)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	report(t.rep, &t.at)
}

// train trains what is not finished of some runs, and gives those that are in
// the order of runs. failed says how others ended.
func (t *trainer) train(ctx context.Context, runs []Run) (done []run.Run, failed []*ChildError, err error) {
	taken := make([]*run.Run, len(runs))
	for i := range runs { // all that is there before anything is trained
		if taken[i], err = t.plan.finished(&runs[i], filepath.Join(t.dir, runs[i].Name)); err != nil {
			return nil, nil, err
		}
		if taken[i] != nil {
			t.at.Done++
		}
	}
	for i := range runs {
		if taken[i] != nil {
			t.tell(func(rep Reporter, at *Progress) {
				at.Run, at.Epochs = &runs[i], 0
				err = rep.End(*at, taken[i], true)
			})
			if err != nil {
				return nil, nil, err
			}
		}
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(t.jobs)
	lost := make([]*ChildError, len(runs))
	for i := range runs {
		if taken[i] != nil || working.Err() != nil {
			continue
		}
		group.Go(func() (err error) {
			taken[i], lost[i], err = t.one(working, &runs[i])
			return err
		})
	}
	err = group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	for i := range runs {
		if taken[i] != nil {
			done = append(done, *taken[i])
		}
		if lost[i] != nil {
			failed = append(failed, lost[i])
		}
	}
	return done, failed, err
}

// one trains a run. failed is how it ended, where the others may go on.
func (t *trainer) one(ctx context.Context, r *Run) (end *run.Run, failed *ChildError, err error) {
	place := filepath.Join(t.dir, r.Name)
	err = t.child(ctx, r, place)
	var child *ChildError
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.As(err, &child) && !t.forAll(r, child.Code):
		t.tell(func(rep Reporter, at *Progress) { at.Run = r; rep.Failed(*at, err) })
		return nil, child, nil
	default:
		return nil, nil, err
	}
	end, err = t.plan.finished(r, place)
	if err == nil && end == nil {
		err = &ChildError{r.Name, codeInterrupted, "it ended before its last epoch"}
	}
	if err != nil {
		return nil, nil, err
	}
	t.tell(func(rep Reporter, at *Progress) { at.Run = r; at.Done++; err = rep.End(*at, end, false) })
	return end, nil, err
}

// forAll reports whether the other runs would end with a run's exit code too. A
// refusal of flags or data may be the method's own, but for that of the first
// one, which is the baseline.
func (t *trainer) forAll(r *Run, code int) bool {
	switch code {
	case codeUsage, codeInput:
		return r.Method == t.plan.Methods[0]
	}
	return code == codeRuntime || code == codeInterrupted
}

// maxNotes bounds what the runs of an experiment say beside their results.
const maxNotes = 64

// note reports what a run says, unless one has said the same.
func (t *trainer) note(r *Run, text string) {
	t.tell(func(rep Reporter, at *Progress) {
		if len(t.noted) < maxNotes && !slices.Contains(t.noted, text) {
			t.noted = append(t.noted, text)
			at.Run = r
			rep.Noted(*at, text)
		}
	})
}

// child trains a run in a process of its own.
func (t *trainer) child(ctx context.Context, r *Run, place string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.tell(func(rep Reporter, at *Progress) {
		at.Run, at.Epochs = r, run.EpochsDone(place)
		at.AtWork++
		rep.Begin(*at)
	})
	defer t.tell(func(_ Reporter, at *Progress) { at.AtWork-- })
	said := tail{note: func(text string) { t.note(r, text) }}
	cmd := exec.CommandContext(ctx, t.program, t.plan.args(r, place)...)
	cmd.Dir, cmd.Stderr = t.plan.Dir, &said
	// A Ctrl-C reaches the child too, whose second one would quit at once.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	endsWithParent(cmd)
	stop, polled := make(chan struct{}), make(chan error, 1)
	guard.Go(func() error {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return nil
			case <-tick.C:
				n := run.EpochsDone(place)
				t.tell(func(rep Reporter, at *Progress) { at.Run, at.Epochs = r, n; rep.Progress(*at) })
			}
		}
	}, func(err error) { polled <- err })
	runtime.LockOSThread() // a child that ends with its parent ends with the thread that made it
	err := cmd.Run()
	runtime.UnlockOSThread()
	close(stop)
	if fault := <-polled; fault != nil {
		return fault
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() { // its last line is of an epoch
		return &ChildError{r.Name, exit.ExitCode(), exit.String()}
	} else if errors.As(err, &exit) {
		return &ChildError{r.Name, exit.ExitCode(), said.last(exit.String())}
	} else if err != nil {
		return fmt.Errorf("experiment: run %q: %w", r.Name, err)
	}
	return nil
}

// maxTail is how much is kept of what a child said.
const maxTail = 8 << 10

// notePrefix begins a line of a child about what it has chosen.
const notePrefix = "note: "

// tail keeps the end of what is written, and tells the notes in it.
type tail struct {
	text []byte
	from int // where in text the line begins that is not whole yet
	note func(text string)
}

func (t *tail) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		t.text = append(t.text, line[max(0, len(line)-maxTail):]...)
		if bytes.HasSuffix(line, []byte("\n")) {
			if text, ok := strings.CutPrefix(string(t.text[t.from:]), notePrefix); ok {
				t.note(strings.TrimSpace(text))
			}
			t.from = len(t.text)
		}
		if cut := len(t.text) - maxTail; cut > 0 {
			t.text = append(t.text[:0], t.text[cut:]...)
			t.from = max(0, t.from-cut)
		}
	}
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
