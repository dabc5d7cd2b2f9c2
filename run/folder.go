package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"winnow/internal/atomicfile"
)

// Files of a run folder.
const (
	MetricsFile = "metrics.jsonl"
	ModelFile   = "model.onnx"
	SummaryFile = "summary.json"
	ConfigFile  = "config.yaml"
	ReportFile  = "report.html"
	StopFile    = "stop" // a user's: the run ends as by Ctrl-C where it appears
)

// Files of runs before version 2 of checkpoints.
const (
	earlierState  = "checkpoint.safetensors"
	earlierPruner = "checkpoint.prune"
	earlierFormat = "winnow.checkpoint/1"
)

// runFiles begin with the one that says that a run is finished.
var runFiles = []string{SummaryFile, ModelFile, CheckpointDir, earlierState, earlierPruner, MetricsFile, ConfigFile, ReportFile, CSVFile, EventsFile}

// ConfigMark is the first line of a run's config.yaml, by which it is known as ours.
const ConfigMark = "# winnow train --config FILE repeats this run"

// Folder writes a run folder; every file but the growing metrics.jsonl appears whole or not at all.
type Folder struct {
	held *atomicfile.Folder
	disk disk
	dir  string
	old  []string // files of the run that gives way
	logs logs
}

// Open takes a run folder for this run alone. With overwrite a run that
// it holds gives way once Commit is called; what is no run of ours never does.
// source is the file or the folder that the bundle came from, if any.
func Open(dir, source string, overwrite bool) (*Folder, error) {
	return openOn(realDisk{}, dir, source, overwrite)
}

func openOn(disk disk, dir, source string, overwrite bool) (*Folder, error) {
	f, err := takeFolder(disk, dir, source, overwrite)
	if err != nil {
		return nil, fmt.Errorf("run: folder %q: %w", dir, err)
	}
	return f, nil
}

func takeFolder(disk disk, dir, source string, overwrite bool) (*Folder, error) {
	if err := checkSource(dir, source); err != nil {
		return nil, err
	}
	held, err := atomicfile.TakeOn(disk, dir, runFiles)
	if errors.Is(err, atomicfile.ErrInUse) {
		return nil, fmt.Errorf("%w; choose another with --out, or wait for that run to end", err)
	} else if err != nil {
		return nil, err
	}
	f := &Folder{held: held, disk: disk, dir: dir}
	f.generations().sweep()
	if f.old, err = earlierRun(dir); err == nil && len(f.old) > 0 {
		if overwrite {
			err = f.held.Stage()
		} else {
			err = fmt.Errorf("%w (%s); choose another with --out, or pass --overwrite", ErrExists, f.old[0])
		}
	}
	if err != nil {
		f.held.Release()
		return nil, err
	}
	return f, nil
}

// Release gives the folder back: what is not committed is removed, and the
// folder too if Open made it and nothing is in it.
func (f *Folder) Release() { f.held.Release() }

// Staged is whether an earlier run is still in its place.
func (f *Folder) Staged() bool { return f.held.Staged() }

// Commit lets an earlier run give way to what is written so far.
func (f *Folder) Commit() error {
	if err := f.held.Commit(f.old); err != nil {
		return fmt.Errorf("run: folder %q: replacing the earlier run: %w", f.dir, err)
	}
	return nil
}

// write makes a file of the run.
func (f *Folder) write(name string, content func(io.Writer) error) error {
	if err := f.held.Write(name, content); err != nil {
		return fmt.Errorf("run: writing %q: %w", filepath.Join(f.dir, name), err)
	}
	return nil
}

// WriteBytes makes a file of the run.
func (f *Folder) WriteBytes(name string, data []byte) error {
	return f.write(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// hasLines is an error where metrics.jsonl is gone after so many epochs: what
// follows would be no run.
func (f *Folder) hasLines(epochs int) error {
	if epochs < 1 {
		return nil
	}
	r, _, err := f.disk.Open(f.held.Path(MetricsFile))
	if err != nil {
		return fmt.Errorf("run: %q: %s of %d epochs cannot be read any more: %w", f.dir, MetricsFile, epochs, reason(err))
	}
	return r.Close()
}

// AppendEpoch adds a line to metrics.jsonl.
func (f *Folder) AppendEpoch(e Epoch) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("run: %s: %w", MetricsFile, err)
	}
	if err := f.hasLines(e.Epoch - 1); err != nil {
		return err
	}
	path := f.held.Path(MetricsFile)
	file, err := f.disk.Append(path)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := errors.Join(writeAll(file, append(line, '\n')), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("run: writing %q: %w", filepath.Join(f.dir, MetricsFile), err)
	}
	if e.Epoch == 1 { // the name is new
		if err := f.disk.Sync(filepath.Dir(path)); err != nil {
			return fmt.Errorf("run: writing %q: %w", filepath.Join(f.dir, MetricsFile), err)
		}
	}
	return nil
}

// WriteSummary writes summary.json, which says that the run is finished.
func (f *Folder) WriteSummary(s *Summary) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("run: %s: %w", SummaryFile, err)
	}
	return f.WriteBytes(SummaryFile, append(text, '\n'))
}
