// Command winnow trains image models exported to ONNX and skips the
// samples that no longer teach the model.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"winnow/cli"
	"winnow/datasets"
	"winnow/eval"
	"winnow/experiment"
	"winnow/internal/atomicfile"
	"winnow/internal/files"
	"winnow/internal/guard"
	"winnow/internal/option"
	"winnow/internal/printable"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx"
	"winnow/onnx/autodiff"
	"winnow/onnx/bundle"
	"winnow/onnx/emit"
	"winnow/onnx/export"
	"winnow/onnx/infer"
	"winnow/prune"
	runs "winnow/run"
	ortrun "winnow/runtime"
	"winnow/runtime/mpi"
	"winnow/train"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInput       = 3
	exitRuntime     = 4
	exitInterrupted = 130
)

// codes says which exit code an error has, by the sentinels it wraps; the first
// that fits counts, and an error that wraps none of them is a failure.
var codes = []struct {
	code      int
	sentinels []error
}{
	{exitFailed, []error{guard.ErrPanic}},
	{exitInterrupted, []error{context.Canceled}},
	{exitRuntime, []error{cli.ErrRuntime, ortrun.ErrNoLibrary, ortrun.ErrDamaged, ortrun.ErrOldLibrary, ortrun.ErrNoDevice, mpi.ErrNoLibrary}},
	{exitUsage, []error{
		cli.ErrUsage, option.ErrInvalid, export.ErrOptions, datasets.ErrSpec, runs.ErrExists, runs.ErrForeign, atomicfile.ErrInUse,
		models.ErrUnknown, prune.ErrMethod, prune.ErrNeedsLoss, bundle.ErrExists, eval.ErrFormat, eval.ErrMetric, experiment.ErrOther, mpi.ErrJob,
	}},
	{exitInput, []error{
		cli.ErrInput, files.ErrNotRegular, files.ErrTooLarge,
		onnx.ErrNotONNX, onnx.ErrTruncated, onnx.ErrUnsupported, onnx.ErrInvalid, onnx.ErrExternal, onnx.ErrTooLarge, infer.ErrShape,
		autodiff.ErrNoRule, emit.ErrModel,
		bundle.ErrNotBundle, bundle.ErrUnknownFormat, bundle.ErrInvalid, bundle.ErrSafetensors, bundle.ErrTooLarge,
		loader.ErrBadData, datasets.ErrMissing, datasets.ErrChecksum, train.ErrBadData, train.ErrWeights, train.ErrReference,
		eval.ErrLabel, eval.ErrLogits, eval.ErrShape, eval.ErrTarget, eval.ErrNoModel, runs.ErrNoRun, runs.ErrBadRun, experiment.ErrPlan, prune.ErrState, runs.ErrNothing, runs.ErrCheckpoint,
		ortrun.ErrGraph,
	}},
	{exitUsage, []error{syscall.ENOTDIR}}, // a path that goes on below a file
}

func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	for _, c := range codes {
		for _, s := range c.sentinels {
			if errors.Is(err, s) {
				return c.code
			}
		}
	}
	return exitFailed
}

func main() {
	if os.Getenv("GOTRACEBACK") == "" { // what Go ends by itself, out of memory say, needs no stacks
		debug.SetTraceback("none")
	}
	os.Exit(run(interruptible(os.Stderr), os.Args, os.Stdout, os.Stderr))
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := guard.Call(func() error { return cli.Run(ctx, args, stdout, stderr) })
	code := exitCode(err)
	switch {
	case code == exitDone, !cli.Speaks(ctx, err):
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "winnow: interrupted")
	default:
		fmt.Fprintln(stderr, "winnow: "+printable.Lines(err.Error())+stack(err))
	}
	cli.Leave(err, code)
	return code
}

// stack writes the stack of a fault of the program to a file, and says where.
func stack(err error) string {
	var fault *guard.Panic
	if !errors.As(err, &fault) {
		return ""
	}
	const report = "; please report it"
	f, err := os.CreateTemp("", "winnow-fault-*.txt")
	if err != nil {
		return report
	}
	_, err = f.Write(fault.Stack())
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return report
	}
	return report + " with " + f.Name()
}

// interruptible returns a context that the first Ctrl-C cancels, or SIGTERM, or
// the end of the terminal, so that the command ends cleanly; the next Ctrl-C
// ends the process. The others may come several times: timeout(1) signals a
// process and its group, a shell its jobs after their terminal.
func interruptible(stderr io.Writer) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Who reads the output may leave before the work is done; the write fails, and that is all.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	guard.Go(func() error {
		<-signals
		if cli.Follows() {
			stderr = io.Discard
		}
		fmt.Fprintln(stderr, "\nwinnow: stopping, and writing what was done; press Ctrl-C again to quit at once")
		cancel()
		for s := range signals {
			if s == os.Interrupt {
				os.Exit(exitInterrupted)
			}
		}
		return nil
	}, func(error) { cancel() })
	return ctx
}
