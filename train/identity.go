package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"winnow/loader"
	"winnow/onnx/bundle"
)

// sampledImages is how many images of a split its identity is made of: enough
// to see other data, few enough to be read in a moment.
const sampledImages = 64

// identify says, as hashes, what the run trains and on what.
func (l *loop) identify() (err error) {
	o := &l.o
	l.identity.Bundle = bundleIdentity(o.Bundle)
	h := sha256.New()
	for _, src := range []*loader.Source{o.Train, o.Test} {
		if err := hashSource(h, src, o.Bad != nil); err != nil {
			return err
		}
	}
	l.summary.DataSum = hex.EncodeToString(h.Sum(nil))
	number(h, int64(len(l.pruning.reference)))
	for _, i := range l.pruning.reference {
		number(h, int64(i))
	}
	l.identity.Data = hex.EncodeToString(h.Sum(nil))
	return nil
}

// bundleIdentity is of the graphs and the names of the state, not of its first
// values: a run that goes on has its own.
func bundleIdentity(b *bundle.Bundle) string {
	h := sha256.New()
	for _, graph := range [][]byte{b.Train, b.Eval} {
		number(h, int64(len(graph)))
		h.Write(graph)
	}
	for _, s := range b.Manifest.State {
		fmt.Fprintf(h, "%q %q %s %v\n", s.Name, s.Kind, s.DType, s.Shape)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func number(h hash.Hash, n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

// hashSource takes in a split's sizes, all its labels, and some of its images;
// bad ones may be left out.
func hashSource(h hash.Hash, src *loader.Source, bad bool) error {
	n := src.Len()
	c, height, w := src.Shape()
	for _, x := range []int{n, c, height, w} {
		number(h, int64(x))
	}
	for i := range n {
		number(h, src.Label(uint32(i)))
	}
	image := make([]byte, c*height*w)
	var scratch loader.Scratch
	for k := range min(n, sampledImages) {
		i := uint32(int64(k) * int64(n) / int64(min(n, sampledImages)))
		if err := src.Read(loader.Draw{Index: i}, &scratch, image); err != nil && bad {
			continue
		} else if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		h.Write(image)
	}
	return hashTargets(h, src, bad)
}

// hashTargets takes in what targets beside a class are, and some of their values.
func hashTargets(h hash.Hash, src *loader.Source, bad bool) error {
	n := src.Len()
	var scratch loader.Scratch
	for k, t := range src.Targets() {
		if t.Kind == loader.ClassTarget {
			continue
		}
		fmt.Fprintf(h, "%q %v %v %v\n", t.Name, t.Kind, t.Type, t.Shape)
		values := make([]byte, t.Size())
		for j := range min(n, sampledImages) {
			i := uint32(int64(j) * int64(n) / int64(min(n, sampledImages)))
			if err := src.ReadTarget(loader.Draw{Index: i}, k, &scratch, values); err != nil && bad {
				continue
			} else if err != nil {
				return fmt.Errorf("train: %w", err)
			}
			h.Write(values)
		}
	}
	return nil
}
