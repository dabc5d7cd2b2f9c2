package run

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"winnow/internal/atomicfile"
)

// Last is the position of a run's newest checkpoint, read without taking the
// folder: what a command needs to know before it opens anything. The error of a
// folder without one wraps ErrNothing.
func Last(dir string) (*Position, error) {
	atomicfile.Settle(dir, runFiles)
	g := generations{realDisk{}, filepath.Join(dir, CheckpointDir)}
	c, errs := g.newest(false)
	if c == nil {
		return nil, nothing(dir, errs)
	}
	return &c.Position, nil
}

// Newest is a run's newest whole checkpoint, read without taking the folder.
func Newest(dir string) (*Checkpoint, error) {
	atomicfile.Settle(dir, runFiles)
	c, errs := generations{realDisk{}, filepath.Join(dir, CheckpointDir)}.newest(true)
	if c == nil {
		return nil, nothing(dir, errs)
	}
	return c, nil
}

func nothing(dir string, errs []error) error {
	if why := noRun(dir); why != "" {
		return fmt.Errorf("run: %q: %w: %s", dir, ErrNothing, why)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("run: %q: %w: %s", dir, ErrNothing, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return fmt.Errorf("run: %q: %w", dir, ErrNothing)
}

// Resume takes the folder of a run that goes on, and reads its newest whole
// checkpoint. notes say which newer ones were not whole. Nothing is changed
// before Begin.
func Resume(dir string) (f *Folder, c *Checkpoint, notes []string, err error) {
	return resumeOn(realDisk{}, dir)
}

func resumeOn(disk disk, dir string) (f *Folder, c *Checkpoint, notes []string, err error) {
	held, err := atomicfile.TakeOn(disk, dir, runFiles)
	if errors.Is(err, atomicfile.ErrInUse) {
		return nil, nil, nil, fmt.Errorf("run: folder %q: %w; wait for that run to end", dir, err)
	} else if err != nil {
		return nil, nil, nil, fmt.Errorf("run: folder %q: %w", dir, err)
	}
	f = &Folder{held: held, disk: disk, dir: dir}
	c, errs := f.generations().newest(true)
	if c == nil {
		f.Release()
		return nil, nil, nil, nothing(dir, errs)
	}
	for _, err := range errs {
		notes = append(notes, err.Error())
	}
	return f, c, notes, nil
}

// Newest reads the newest whole checkpoint.
func (f *Folder) Newest() (*Checkpoint, error) {
	c, errs := f.generations().newest(true)
	if c == nil {
		return nil, nothing(f.dir, errs)
	}
	return c, nil
}

// Begin makes the folder that of a run which stands at its newest whole
// checkpoint: what was written later is cut off or removed, and with it
// summary.json, which said how the run ended. Nothing is, where metrics.jsonl
// is not the checkpoint's.
func (f *Folder) Begin(c *Checkpoint) error {
	f.logs = logs{} // they follow metrics.jsonl
	longer, err := f.agrees(c.Metrics)
	if err != nil {
		return fmt.Errorf("run: %q: %w: %s %w; put it back as it was, or start a new run from these weights with --init %s", f.dir, ErrBadRun, MetricsFile, err, f.dir)
	}
	g := f.generations()
	g.sweep()
	names, err := g.list()
	if err != nil {
		return fmt.Errorf("run: %q: %w", f.dir, err)
	}
	for _, name := range names {
		if name == c.Name() {
			break
		}
		g.remove(name)
	}
	if err := f.disk.Remove(f.held.Path(SummaryFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("run: %q: %w", f.dir, err)
	}
	if longer {
		if err := f.disk.Truncate(f.held.Path(MetricsFile), c.Metrics.Length); err != nil {
			return fmt.Errorf("run: %q: %s: %w", f.dir, MetricsFile, err)
		}
	}
	return nil
}

func (f *Folder) generations() generations {
	return generations{f.disk, f.held.Path(CheckpointDir)}
}

// Save writes a checkpoint, of which the newest ones and the best are kept.
func (f *Folder) Save(c *Checkpoint, keep int) error {
	if err := f.generations().write(c, keep); err != nil {
		return fmt.Errorf("run: checkpoint %s of %q: %w; earlier checkpoints are whole: winnow train --resume %s goes on from the last", c.Name(), f.dir, reason(err), f.dir)
	}
	return nil
}

// Metrics is what metrics.jsonl is now, after so many epochs.
func (f *Folder) Metrics(epochs int) (Cut, error) {
	if err := f.hasLines(epochs); err != nil {
		return Cut{}, err
	}
	r, size, err := f.disk.Open(f.held.Path(MetricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Cut{SHA256: hex.EncodeToString(sha256.New().Sum(nil))}, nil
	} else if err != nil {
		return Cut{}, fmt.Errorf("run: %w", err)
	}
	defer r.Close()
	sum, err := beginning(r, size)
	return Cut{size, sum}, err
}

func beginning(r io.ReaderAt, length int64) (string, error) {
	sum := sha256.New()
	if n, err := io.Copy(sum, io.NewSectionReader(r, 0, length)); err != nil || n != length {
		return "", errors.Join(err, io.ErrUnexpectedEOF)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// agrees holds metrics.jsonl against what it was; longer is that lines have come since.
func (f *Folder) agrees(to Cut) (longer bool, err error) {
	r, size, err := f.disk.Open(f.held.Path(MetricsFile))
	if errors.Is(err, fs.ErrNotExist) && to.Length == 0 {
		return false, nil
	} else if err != nil {
		return false, reason(err)
	}
	defer r.Close()
	if size < to.Length || size > maxMetrics {
		return false, fmt.Errorf("has %d bytes, the checkpoint was taken at %d", size, to.Length)
	}
	if sum, err := beginning(r, to.Length); err != nil {
		return false, err
	} else if sum != to.SHA256 {
		return false, errors.New("is not the file that the checkpoint was taken with")
	}
	return size > to.Length, nil
}
