package train

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/files"
	"winnow/loader"
	"winnow/prune"
	"winnow/train/step"
)

// Kinds of reference set.
const (
	referencePopulation = "population"
	referenceHoldout    = "holdout"
	referencePseudo     = "pseudo"
	referenceFile       = "file"
)

// purposeHoldout keeps the stream of a holdout apart from the others of a seed.
const purposeHoldout = 0x686f6c64 // "hold"

// maxReferenceLine bounds a line of a reference file.
const maxReferenceLine = 64

// reference is a parsed Options.Reference.
type reference struct {
	kind  string
	share float64 // holdout, pseudo
	path  string  // file
}

func parseReference(s string) (reference, error) {
	name, share, found := strings.Cut(s, ":")
	switch {
	case s == "" || s == referencePopulation:
		return reference{kind: referencePopulation}, nil
	case found && (name == referenceHoldout || name == referencePseudo):
		f, err := strconv.ParseFloat(share, 64)
		if err != nil || !(f > 0 && f < 1) {
			return reference{}, optionError("prune-reference", "%q: want a share between 0 and 1", s)
		}
		return reference{kind: name, share: f}, nil
	case s == referenceHoldout || s == referencePseudo:
		return reference{}, optionError("prune-reference", "%q lacks its share: %s:0.01", s, s)
	}
	return reference{kind: referenceFile, path: s}, nil
}

// apply fills the pruner's options for the reference and returns the samples,
// ascending, whose mean loss must be measured after each epoch; nil where none is.
func (r reference) apply(o *prune.Options, src *loader.Source, seed uint64) ([]uint32, error) {
	n := src.Len()
	switch r.kind {
	case referencePseudo:
		if src.Len() > 0 && src.Label(0) < 0 {
			return nil, optionError("prune-reference", "pseudo:%v goes by classes, and the samples of %q have none", r.share, src.Name())
		}
		o.Reference, o.PseudoShare = prune.ReferencePseudo, r.share
		o.Label = func(i uint32) int {
			return int(src.Label(i))
		}
		return nil, nil
	case referenceHoldout:
		count := max(1, int(r.share*float64(n)))
		if count >= n {
			return nil, dataError("reference holdout:%v takes all %d samples", r.share, n)
		}
		o.Reference = prune.ReferenceOutside
		o.Holdout = sampleIndices(n, count, step.Stream(seed, purposeHoldout, 0, 0))
		return o.Holdout, nil
	case referenceFile:
		o.Reference = prune.ReferenceOutside
		return readIndices(r.path, n)
	}
	o.Reference = prune.ReferencePopulation
	return nil, nil
}

// readIndices reads one sample index a line; empty lines and those that begin with # are skipped.
func readIndices(path string, n int) ([]uint32, error) {
	f, _, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("train: %w: %q: %w; want population, holdout:F, pseudo:F, or a file of indices", ErrReference, path, reason(err))
	}
	defer f.Close()
	indices, err := parseIndices(f, n)
	if err != nil {
		return nil, fmt.Errorf("train: reference %q: %w", path, err)
	}
	return indices, nil
}

// reason is an error of the system without the path, which the message has.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func parseIndices(r io.Reader, n int) ([]uint32, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxReferenceLine), maxReferenceLine)
	var indices []uint32
	for at := 1; lines.Scan(); at++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		i, err := strconv.ParseUint(text, 10, 32)
		if err != nil || i >= uint64(n) {
			return nil, fmt.Errorf("%w: line %d: %q is no index of %d samples", ErrReference, at, text, n)
		}
		if len(indices) == n {
			return nil, fmt.Errorf("%w: line %d: more indices than samples", ErrReference, at)
		}
		indices = append(indices, uint32(i))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	slices.Sort(indices)
	if indices = slices.Compact(indices); len(indices) == 0 {
		return nil, fmt.Errorf("%w: no index", ErrReference)
	}
	return indices, nil
}

// sampleIndices draws count of n indices without replacement, ascending:
// Knuth's algorithm S, which visits every index once.
func sampleIndices(n, count int, pcg *rand.PCG) []uint32 {
	random := rand.New(pcg)
	out := make([]uint32, 0, count)
	for i := 0; i < n && len(out) < count; i++ {
		if random.IntN(n-i) < count-len(out) {
			out = append(out, uint32(i))
		}
	}
	return out
}
