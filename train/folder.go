package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"winnow/internal/atomicfile"
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

// runFiles begin with the one that says that a run is finished.
var runFiles = []string{SummaryFile, ModelFile, CheckpointFile, CheckpointPruneFile, MetricsFile}

// folder writes a run folder; every file but the growing metrics.jsonl appears whole or not at all.
type folder struct {
	*atomicfile.Folder
	dir string
	old []string // files of the run that gives way
}

// openFolder takes a run folder for this run alone. With overwrite a run that
// it holds gives way once commit is called; what is no run of ours never does.
// source is the file or the folder that the bundle came from, if any.
func openFolder(dir, source string, overwrite bool) (*folder, error) {
	f, err := takeFolder(dir, source, overwrite)
	if err != nil {
		return nil, fmt.Errorf("train: run folder %q: %w", dir, err)
	}
	return f, nil
}

func takeFolder(dir, source string, overwrite bool) (*folder, error) {
	if err := checkSource(dir, source); err != nil {
		return nil, err
	}
	held, err := atomicfile.Take(dir, runFiles)
	if errors.Is(err, atomicfile.ErrInUse) {
		return nil, fmt.Errorf("%w; choose another with --out, or wait for that run to end", err)
	} else if err != nil {
		return nil, err
	}
	f := &folder{Folder: held, dir: dir}
	if f.old, err = earlierRun(dir); err == nil && len(f.old) > 0 {
		if overwrite {
			err = f.Stage()
		} else {
			err = fmt.Errorf("%w (%s); choose another with --out, or pass --overwrite", ErrRunExists, f.old[0])
		}
	}
	if err != nil {
		f.Release()
		return nil, err
	}
	return f, nil
}

// commit lets an earlier run give way to what is written so far.
func (f *folder) commit() error {
	if err := f.Commit(f.old); err != nil {
		return fmt.Errorf("train: run folder %q: replacing the earlier run: %w", f.dir, err)
	}
	return nil
}

// write makes a file of the run.
func (f *folder) write(name string, content func(io.Writer) error) error {
	if err := f.Write(name, content); err != nil {
		return fmt.Errorf("train: writing %q: %w", filepath.Join(f.dir, name), err)
	}
	return nil
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
	file, err := os.OpenFile(f.Path(MetricsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("train: writing %q: %w", filepath.Join(f.dir, MetricsFile), err)
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
