package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Files of a run folder.
const (
	MetricsFile         = "metrics.jsonl"
	ModelFile           = "model.onnx"
	CheckpointFile      = "checkpoint.safetensors"
	CheckpointPruneFile = "checkpoint.prune"
	SummaryFile         = "summary.json"
)

// CheckpointFormat names the layout of a checkpoint, in its metadata.
const CheckpointFormat = "winnow.checkpoint/1"

// runFiles are removed in this order, so that no half-removed run looks finished.
var runFiles = []string{SummaryFile, ModelFile, CheckpointFile, CheckpointPruneFile, MetricsFile}

// folder writes a run folder; every file but the growing metrics.jsonl appears whole or not at all.
type folder struct {
	dir  string
	made bool // by us, so ours to remove if it stays empty
}

// openFolder makes the folder, or takes one that holds no run, and proves that it can be written.
func openFolder(dir string, overwrite bool) (*folder, error) {
	f := &folder{dir: dir}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		f.made = true
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("train: run folder %q: %w", dir, err)
	}
	for _, name := range runFiles {
		_, err := os.Lstat(f.path(name))
		if err == nil && !overwrite {
			return nil, fmt.Errorf("train: run folder %q: %w (%s); choose another, or pass --overwrite", dir, ErrRunExists, name)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("train: run folder %q: %w", dir, err)
		}
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		f.close()
		return nil, fmt.Errorf("train: run folder %q: %w", dir, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("train: run folder %q: %w", dir, err)
	}
	return f, nil
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// clear removes an earlier run.
func (f *folder) clear() error {
	for _, name := range runFiles {
		if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("train: run folder %q: %w", f.dir, err)
		}
	}
	return nil
}

// close removes the folder if it was made for this run and nothing was written.
func (f *folder) close() {
	if f.made {
		_ = os.Remove(f.dir) // fails, as it should, on a folder with content
	}
}

// write makes a file through a temporary one.
func (f *folder) write(name string, content func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(f.dir, "."+name+".tmp-*")
	if err != nil {
		return fmt.Errorf("train: writing %q: %w", f.path(name), err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("train: writing %q: %w", f.path(name), err)
			_ = os.Remove(tmp.Name()) // the first error is the one to tell
		}
	}()
	if err := errors.Join(content(tmp), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), f.path(name))
}

func (f *folder) writeBytes(name string, data []byte) error {
	return f.write(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// appendEpoch adds a line to metrics.jsonl.
func (f *folder) appendEpoch(e Epoch) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("train: %s: %w", MetricsFile, err)
	}
	file, err := os.OpenFile(f.path(MetricsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("train: writing %q: %w", f.path(MetricsFile), err)
	}
	return nil
}

func (f *folder) writeSummary(s *Summary) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("train: %s: %w", SummaryFile, err)
	}
	return f.writeBytes(SummaryFile, append(text, '\n'))
}

// position is where a checkpoint was taken.
type position struct {
	epochs      int // finished
	epochStep   int // steps done of the next epoch
	globalStep  int64
	seed        uint64
	samplesUsed int64
}

// writeCheckpoint writes the state and the pruner. The state's metadata holds
// the pruner file's SHA-256, so a reader knows that the two belong together.
func (f *folder) writeCheckpoint(state map[string]*onnx.Tensor, at position, pruner func(io.Writer) error) error {
	var scores bytes.Buffer
	if err := pruner(&scores); err != nil {
		return fmt.Errorf("train: %s: %w", CheckpointPruneFile, err)
	}
	sum := sha256.Sum256(scores.Bytes())
	meta := map[string]string{
		"format": CheckpointFormat, "epochs": strconv.Itoa(at.epochs), "epoch_step": strconv.Itoa(at.epochStep),
		"global_step": strconv.FormatInt(at.globalStep, 10), "seed": strconv.FormatUint(at.seed, 10),
		"samples_used": strconv.FormatInt(at.samplesUsed, 10), "prune_sha256": hex.EncodeToString(sum[:]),
	}
	if err := f.writeBytes(CheckpointPruneFile, scores.Bytes()); err != nil {
		return err
	}
	return f.write(CheckpointFile, func(w io.Writer) error { return bundle.WriteSafetensors(w, state, meta) })
}
