package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// CheckpointFormat names the layout of a checkpoint, in its metadata.
const CheckpointFormat = "winnow.checkpoint/1"

// Position is where a checkpoint was taken.
type Position struct {
	Epochs      int // finished
	EpochStep   int // steps done of the next epoch
	GlobalStep  int64
	Seed        uint64
	SamplesUsed int64
}

// WriteCheckpoint writes the state and the pruner. The state's metadata holds
// the pruner file's SHA-256, so a reader knows that the two belong together.
func (f *Folder) WriteCheckpoint(state map[string]*onnx.Tensor, at Position, pruner func(io.Writer) error) error {
	var scores bytes.Buffer
	if err := pruner(&scores); err != nil {
		return fmt.Errorf("run: %s: %w", CheckpointPruneFile, err)
	}
	sum := sha256.Sum256(scores.Bytes())
	meta := map[string]string{
		"format": CheckpointFormat, "epochs": strconv.Itoa(at.Epochs), "epoch_step": strconv.Itoa(at.EpochStep),
		"global_step": strconv.FormatInt(at.GlobalStep, 10), "seed": strconv.FormatUint(at.Seed, 10),
		"samples_used": strconv.FormatInt(at.SamplesUsed, 10), "prune_sha256": hex.EncodeToString(sum[:]),
	}
	if err := f.WriteBytes(CheckpointPruneFile, scores.Bytes()); err != nil {
		return err
	}
	return f.write(CheckpointFile, func(w io.Writer) error { return bundle.WriteSafetensors(w, state, meta) })
}
