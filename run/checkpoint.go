package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"winnow/onnx"
	"winnow/onnx/bundle"
)

// Names in a run folder's checkpoints.
const (
	CheckpointDir = "checkpoints"
	stateFile     = "state.safetensors"
	prunerFile    = "pruner"
	positionFile  = "position.json"
	manifestFile  = "manifest.json"
	unfinished    = ".winnow-new" // ends the name of a generation that is being written
)

// generationFiles are all files of a generation, the one that makes it whole first.
var generationFiles = []string{manifestFile, stateFile, prunerFile, positionFile}

// Bounds of what is read of a checkpoint, in bytes.
const (
	maxManifest = 1 << 16
	maxPosition = 1 << 24
	maxPruner   = 1 << 38
)

// Checkpoint is a moment of a run from which it can go on.
type Checkpoint struct {
	Position
	State  map[string]*onnx.Tensor
	Pruner []byte
}

// Name is that of the checkpoint's folder: EPOCH-STEP.
func (p *Position) Name() string { return fmt.Sprintf("%d-%d", p.Epoch, p.Step) }

// manifest lists the files of a generation.
type manifest struct {
	Format string      `json:"format"`
	Files  []fileEntry `json:"files"`
}

type fileEntry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// generations are the checkpoints of a run folder. Each is a folder that
// appears whole: written beside, every file and the folder synced, renamed.
type generations struct {
	disk disk
	dir  string
}

// write makes a generation and keeps, beside it, the newest ones and the best.
func (g generations) write(c *Checkpoint, keep int) error {
	if err := g.disk.Mkdir(g.dir); err == nil {
		if err := g.disk.Sync(filepath.Dir(g.dir)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	name := c.Name()
	if names, err := g.list(); err != nil {
		return err
	} else if slices.Contains(names, name) { // the same moment again, after going back to an earlier one
		if _, err := g.read(name, true); err == nil {
			return g.thin(keep, c.BestEpoch)
		}
		g.remove(name)
	}
	place, beside := filepath.Join(g.dir, name), filepath.Join(g.dir, name+unfinished)
	if g.disk.Mkdir(beside) != nil { // of a write that failed
		g.remove(name + unfinished)
		if err := g.disk.Mkdir(beside); err != nil {
			return err
		}
	}
	if err := g.fill(beside, c); err != nil {
		g.remove(name + unfinished)
		return err
	}
	if err := g.disk.Rename(beside, place); err != nil {
		g.remove(name + unfinished)
		return err
	}
	if err := g.disk.Sync(g.dir); err != nil {
		return err
	}
	return g.thin(keep, c.BestEpoch)
}

// fill writes the files of a generation, and what names them all at the end.
func (g generations) fill(dir string, c *Checkpoint) error {
	position, err := json.MarshalIndent(&c.Position, "", "  ")
	if err != nil {
		return err
	}
	m := manifest{Format: CheckpointFormat}
	for _, f := range []struct {
		name    string
		content func(io.Writer) error
	}{
		{stateFile, func(w io.Writer) error { return bundle.WriteSafetensors(w, c.State, nil) }},
		{prunerFile, func(w io.Writer) error { return writeAll(w, c.Pruner) }},
		{positionFile, func(w io.Writer) error { return writeAll(w, position) }},
	} {
		e, err := g.put(filepath.Join(dir, f.name), f.content)
		if err != nil {
			return err
		}
		e.Name = f.name
		m.Files = append(m.Files, e)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if _, err := g.put(filepath.Join(dir, manifestFile), func(w io.Writer) error { return writeAll(w, text) }); err != nil {
		return err
	}
	return g.disk.Sync(dir)
}

func writeAll(w io.Writer, data []byte) error {
	n, err := w.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return err
}

// put writes and syncs a file.
func (g generations) put(path string, content func(io.Writer) error) (e fileEntry, err error) {
	f, err := g.disk.Create(path, 0o666)
	if err != nil {
		return e, err
	}
	sum := &summed{w: f, hash: sha256.New()}
	if err := errors.Join(content(sum), f.Sync(), f.Close()); err != nil {
		return e, err
	}
	return fileEntry{Size: sum.n, SHA256: hex.EncodeToString(sum.hash.Sum(nil))}, nil
}

// summed hashes what is written.
type summed struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.hash.Write(p[:n])
	s.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

var generationName = regexp.MustCompile(`^([0-9]{1,5})-([0-9]{1,9})$`)

// list names the generations, the newest first, whole or not.
func (g generations) list() ([]string, error) {
	entries, err := g.disk.List(g.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	type generation struct{ epoch, step int }
	var all []generation
	for _, name := range entries {
		if m := generationName.FindStringSubmatch(name); m != nil {
			epoch, _ := strconv.Atoi(m[1])
			step, _ := strconv.Atoi(m[2])
			all = append(all, generation{epoch, step})
		}
	}
	slices.SortFunc(all, func(a, b generation) int {
		if a.epoch != b.epoch {
			return b.epoch - a.epoch
		}
		return b.step - a.step
	})
	names := make([]string, len(all))
	for i, x := range all {
		names[i] = fmt.Sprintf("%d-%d", x.epoch, x.step)
	}
	return names, nil
}

// thin removes all generations but the newest and the best.
func (g generations) thin(keep, best int) error {
	names, err := g.list()
	if err != nil {
		return err
	}
	for _, name := range names[min(keep, len(names)):] {
		if name != fmt.Sprintf("%d-0", best) {
			g.remove(name)
		}
	}
	return nil
}

// remove removes the files of a generation, what makes it whole first. What
// else is in the folder stays, and the folder with it.
func (g generations) remove(name string) {
	for _, file := range generationFiles {
		_ = g.disk.Remove(filepath.Join(g.dir, name, file)) // what stays is no whole generation
	}
	_ = g.disk.Remove(filepath.Join(g.dir, name))
}

// sweep removes what a dead process left of a write.
func (g generations) sweep() {
	entries, err := g.disk.List(g.dir)
	if err != nil {
		return // writing will tell
	}
	for _, name := range entries {
		if of, ok := strings.CutSuffix(name, unfinished); ok && generationName.MatchString(of) {
			g.remove(name)
		}
	}
}

// newest reads the newest whole generation, and what is wrong with the newer
// ones; nil where there is none.
func (g generations) newest(whole bool) (*Checkpoint, []error) {
	names, err := g.list()
	if err != nil {
		return nil, []error{err}
	}
	var errs []error
	for _, name := range names {
		c, err := g.read(name, whole)
		if err == nil {
			return c, errs
		}
		errs = append(errs, fmt.Errorf("checkpoint %s: %w", name, err))
	}
	return nil, errs
}

// read reads a generation and holds every file against the manifest; without
// whole, the position alone.
func (g generations) read(name string, whole bool) (*Checkpoint, error) {
	text, err := g.take(name, manifestFile, maxManifest, nil)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, manifestFile, err)
	}
	if m.Format != CheckpointFormat {
		return nil, fmt.Errorf("%w: %s: format %.40q, this program reads %q", ErrCheckpoint, manifestFile, m.Format, CheckpointFormat)
	}
	entries := map[string]*fileEntry{}
	for i := range m.Files {
		entries[m.Files[i].Name] = &m.Files[i]
	}
	for _, file := range generationFiles[1:] {
		if entries[file] == nil {
			return nil, fmt.Errorf("%w: %s does not list %s", ErrCheckpoint, manifestFile, file)
		}
	}
	c := &Checkpoint{}
	if text, err = g.take(name, positionFile, maxPosition, entries[positionFile]); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &c.Position); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, positionFile, err)
	}
	if err := c.check(name); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, positionFile, err)
	}
	if !whole {
		return c, nil
	}
	if c.Pruner, err = g.take(name, prunerFile, maxPruner, entries[prunerFile]); err != nil {
		return nil, err
	}
	c.State, err = g.state(name, entries[stateFile])
	return c, err
}

// check refuses positions that no run has.
func (p *Position) check(name string) error {
	switch {
	case p.Format != CheckpointFormat:
		return fmt.Errorf("format %.40q", p.Format)
	case p.Name() != name:
		return fmt.Errorf("it is that of %s", p.Name())
	case p.GlobalStep < 0 || p.Open.SamplesUsed < 0 || p.Metrics.Length < 0 || p.Result.TrainSamplesUsed < 0 || p.Result.TrainSamplesFull < 0:
		return errors.New("counts below 0")
	case p.Epoch > p.Config.Epochs || p.Config.BatchSize < 1 || p.Result.Epochs != p.Epoch:
		return errors.New("it contradicts its own options")
	}
	return nil
}

// take reads a file of a generation that is as the manifest has it.
func (g generations) take(name, file string, limit int64, want *fileEntry) ([]byte, error) {
	f, size, err := g.disk.Open(filepath.Join(g.dir, name, file))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, file, reason(err))
	}
	defer f.Close()
	if size > limit || want != nil && size != want.Size {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrCheckpoint, file, size)
	}
	var data bytes.Buffer
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(&data, sum), io.NewSectionReader(f, 0, size)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, file, err)
	}
	if int64(data.Len()) != size || want != nil && hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return nil, fmt.Errorf("%w: %s is not what was written", ErrCheckpoint, file)
	}
	return data.Bytes(), nil
}

// state reads the tensors, once their bytes are known to be those written.
func (g generations) state(name string, want *fileEntry) (map[string]*onnx.Tensor, error) {
	f, size, err := g.disk.Open(filepath.Join(g.dir, name, stateFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, stateFile, reason(err))
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, stateFile, err)
	}
	if size != want.Size || hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return nil, fmt.Errorf("%w: %s is not what was written", ErrCheckpoint, stateFile)
	}
	state, _, err := bundle.ReadSafetensors(f, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCheckpoint, stateFile, err)
	}
	return state, nil
}

// reason is an error of the system without the path, which the message has.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
