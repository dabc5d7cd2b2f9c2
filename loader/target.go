package loader

import "encoding/binary"

// TargetKind is what the bytes of a target mean.
type TargetKind uint8

// Kinds of targets.
const (
	// ClassTarget is the number of a class: int64, little-endian.
	ClassTarget TargetKind = iota + 1
)

// Target is what a model is to say of a sample: bytes of a kind.
type Target struct {
	kind  TargetKind
	class int64
}

// Class makes a target of the number of a class.
func Class(k int64) Target { return Target{kind: ClassTarget, class: k} }

// Kind is what the bytes mean.
func (t Target) Kind() TargetKind { return t.kind }

// Class is the number of the class, of a ClassTarget.
func (t Target) Class() int64 { return t.class }

// Size is the number of bytes.
func (t Target) Size() int { return 8 }

// Put writes the bytes to dst, Size() long.
func (t Target) Put(dst []byte) { binary.LittleEndian.PutUint64(dst, uint64(t.class)) }
