// Package tfevents writes scalars in the event files that TensorBoard reads.
//
// It owns the record format, each record with the masked CRC-32C of its length
// and of its bytes (tensorflow/core/lib/io/record_writer.h), and the few fields of
// tensorflow.Event that a scalar needs (tensorflow/core/util/event.proto,
// framework/summary.proto). It writes nothing but scalars.
package tfevents

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Version is what the first event of a file says.
const Version = "brain.Event:2"

// Scalar is a number under a name; names with the same part before a slash are
// shown together.
type Scalar struct {
	Tag   string
	Value float32
}

// Fields of Event, Summary and Summary.Value.
const (
	eventWallTime, eventStep, eventVersion, eventSummary = 1, 2, 3, 5
	summaryValue                                         = 1
	valueTag, valueSimple                                = 1, 2
)

// AppendVersion appends the record that begins a file. Times are in seconds
// since 1970.
func AppendVersion(dst []byte, wall float64) []byte {
	e := appendDouble(nil, eventWallTime, wall)
	e = protowire.AppendTag(e, eventVersion, protowire.BytesType)
	return appendRecord(dst, protowire.AppendString(e, Version))
}

// AppendScalars appends a record with the scalars of a step.
func AppendScalars(dst []byte, wall float64, step int64, scalars []Scalar) []byte {
	var summary []byte
	for _, s := range scalars {
		v := protowire.AppendTag(nil, valueTag, protowire.BytesType)
		v = protowire.AppendString(v, s.Tag)
		v = protowire.AppendTag(v, valueSimple, protowire.Fixed32Type)
		v = protowire.AppendFixed32(v, math.Float32bits(s.Value))
		summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
		summary = protowire.AppendBytes(summary, v)
	}
	e := appendDouble(nil, eventWallTime, wall)
	e = protowire.AppendTag(e, eventStep, protowire.VarintType)
	e = protowire.AppendVarint(e, uint64(step))
	e = protowire.AppendTag(e, eventSummary, protowire.BytesType)
	return appendRecord(dst, protowire.AppendBytes(e, summary))
}

func appendDouble(dst []byte, field protowire.Number, x float64) []byte {
	dst = protowire.AppendTag(dst, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, math.Float64bits(x))
}

func appendRecord(dst, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	dst = append(dst, length...)
	dst = binary.LittleEndian.AppendUint32(dst, masked(length))
	dst = append(dst, data...)
	return binary.LittleEndian.AppendUint32(dst, masked(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of data, changed so that one of data with a checksum in
// it is no weaker.
func masked(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// Is is whether bytes begin as an event file does: with a whole record that says
// the version.
func Is(head []byte) bool {
	first := AppendVersion(nil, 0)
	if len(head) < len(first) {
		return false
	}
	n := len(first) - 16
	data := head[12 : 12+n]
	return string(head[:12]) == string(first[:12]) && binary.LittleEndian.Uint32(head[12+n:]) == masked(data) &&
		string(data[9:]) == string(first[12+9:12+n])
}
