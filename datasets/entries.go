package datasets

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"winnow/internal/spill"
	"winnow/loader"
)

// entry is a line of a manifest.
type entry struct {
	path, label, split string
	line               int
	weight             float32 // -1 where there is no column
	classless          bool    // there is no column of classes

	labels, mask string
	numbers      []float32
}

// entries are the lines of a manifest in their order, one after the other in a
// table: the texts of each behind their lengths, then its numbers.
type entries struct {
	rows   []byte
	n      int
	labels map[string]bool // of the column of classes
	splits []string        // those named, in the order of the lines
	row    []byte          // the one being added
	// classless is whether no line has a class.
	classless bool
}

// add appends a line.
func (s *entries) add(e *entry) error {
	if s.n == 0 {
		s.labels, s.classless = map[string]bool{}, e.classless
	} else if e.classless != s.classless {
		return fmt.Errorf("%q has a class and lines before have none, or the reverse", e.path)
	}
	if !e.classless && !s.labels[e.label] {
		if len(s.labels) >= maxManifestClasses {
			return fmt.Errorf("over %d classes", maxManifestClasses)
		}
		s.labels[e.label] = true
	}
	if e.split != "" && !slices.Contains(s.splits, e.split) {
		if len(s.splits) >= maxSplits {
			return fmt.Errorf("over %d splits: %.40q is a name of its own", maxSplits, e.split)
		}
		s.splits = append(s.splits, e.split)
	}
	b := s.row[:0]
	for _, text := range []string{e.path, e.label, e.split, e.labels, e.mask} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.AppendUvarint(b, uint64(e.line))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(e.weight))
	b = binary.AppendUvarint(b, uint64(len(e.numbers)))
	for _, x := range e.numbers {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	s.row, s.rows = b, spill.Append(s.rows, b...)
	s.n++
	return nil
}

// maxSplits bounds the names of splits.
const maxSplits = 1000

// each calls f with every line; the entry is valid until f returns.
func (s *entries) each(f func(e *entry) error) error {
	at := 0
	number := func() int {
		v, n := binary.Uvarint(s.rows[at:])
		at += n
		return int(v)
	}
	text := func() string {
		n := number()
		at += n
		return string(s.rows[at-n : at])
	}
	bits := func() float32 {
		at += 4
		return math.Float32frombits(binary.LittleEndian.Uint32(s.rows[at-4:]))
	}
	e := entry{classless: s.classless}
	for range s.n {
		e.path, e.label, e.split, e.labels, e.mask = text(), text(), text(), text(), text()
		e.line, e.weight, e.numbers = number(), bits(), e.numbers[:0]
		for range number() {
			e.numbers = append(e.numbers, bits())
		}
		if err := f(&e); err != nil {
			return err
		}
	}
	return nil
}

// free gives the table back.
func (s *entries) free() {
	spill.Free(s.rows)
	s.rows, s.n = nil, 0
}

// errorf names the entry's line.
func (e *entry) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %w", loader.ErrBadData, e.line, fmt.Errorf(format, args...))
}
