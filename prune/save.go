package prune

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
)

// The saved form, little-endian: magic, version (uint32), the options that
// shape the plans as text (uint32 length, bytes), the state, and the CRC-32C
// of all bytes before it. Every length but two is known from the options, so
// a file cannot ask for memory.
const (
	// StateMagic begins every saved state.
	StateMagic   = "WNPRUNE\n"
	stateVersion = 4
	withoutPast  = 3 // without the history
	earlierState = 2 // without the times that samples were taken either
	maxHeader    = 4096
)

// header spells out the options that state depends on, one field a word.
func (o Options) header() string {
	var b strings.Builder
	fmt.Fprintf(&b, "samples=%d epochs=%d seed=%d scorer=%s policy=%s", o.Samples, o.Epochs, o.Seed, o.Scorer, o.Policy)
	for _, row := range options {
		fmt.Fprintf(&b, " %s=%v", row.Name, row.Get(&o))
	}
	return b.String()
}

// Save writes the whole state, the current plan included: a Pruner of the same
// options that loads it continues as this one would, in the middle of an epoch
// too.
func (p *Pruner) Save(w io.Writer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	buf := bufio.NewWriterSize(w, ioBlock)
	e := &encoder{w: buf, sum: crc32.New(castagnoli)}
	e.bytes([]byte(StateMagic))
	e.u32(stateVersion)
	h := p.o.header()
	e.u32(uint32(len(h)))
	e.bytes([]byte(h))

	s := &p.stats
	e.flag(p.planned)
	e.flag(p.ended)
	for _, v := range []int{s.Epoch, s.Observed, s.Scored} {
		e.u64(uint64(v))
	}
	e.u64(s.Planned)
	e.u64(s.Saved)
	e.flag(s.Ranking == ScorerLoss)
	if p.planned {
		kept := newBitset(p.t.n)
		for _, i := range p.buf.indices {
			kept.set(i)
		}
		e.u64s(kept)
		e.flag(p.buf.weights != nil)
		e.f32s(p.buf.weights)
	}
	e.f32s(p.t.score)
	e.f32s(p.t.variance)
	for _, part := range []any{p.scorer, p.inner} {
		if x, ok := part.(stater); ok {
			x.save(e)
		}
	}
	e.flag(p.counted)
	e.u16s(p.taken)
	p.past.save(e)
	e.u32(e.sum.Sum32())
	if e.err == nil {
		e.err = buf.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("prune: save %q: %w", "state", e.err)
	}
	return nil
}

// Load replaces the state by a saved one, and reads no byte beyond it. State of
// another version, of other options, truncated or damaged is an error that
// wraps ErrState and leaves the Pruner as it was.
func (p *Pruner) Load(r io.Reader) error { return p.LoadOf(p.o.Epochs, r) }

// LoadOf is Load of a state that was saved in a training of so many epochs, at
// most the Pruner's own: what is planned from now on is that of the longer one.
func (p *Pruner) LoadOf(epochs int, r io.Reader) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, err := New(p.o)
	if err != nil {
		return err
	}
	if epochs > p.o.Epochs {
		return fmt.Errorf("prune: load %q: saved in a training of %d epochs, this one has %d: %w", "state", epochs, p.o.Epochs, ErrState)
	}
	saved := p.o
	saved.Epochs = epochs
	d := &decoder{r: r, sum: crc32.New(castagnoli)}
	if err := q.read(d, saved, false); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("truncated: %w", ErrState)
		}
		return fmt.Errorf("prune: load %q: %w", "state", err)
	}
	p.t, p.scorer, p.policy, p.inner = q.t, q.scorer, q.policy, q.inner
	p.buf, p.ended, p.planned, p.stats = q.buf, q.ended, q.planned, q.stats
	p.hasBatch, p.hasEach, p.watch = q.hasBatch, q.hasEach, q.watch
	p.taken, p.counted, p.past = q.taken, q.counted, q.past
	return nil
}

// read replaces p, which is new, by the state saved with some options; the
// holdout must be p's, unless any will do.
func (p *Pruner) read(d *decoder, saved Options, anyHoldout bool) error {
	if err := p.readHeader(d, saved); err != nil {
		return err
	}
	held := slices.Clone(p.t.score)
	if err := p.readPlan(d, saved.Epochs); err != nil {
		return err
	}
	d.f32s(p.t.score)
	d.f32s(p.t.variance)
	for _, part := range []any{p.scorer, p.inner} {
		if x, ok := part.(stater); ok {
			x.load(d)
		}
	}
	p.counted = d.version > earlierState
	if p.counted {
		p.counted = d.flag()
		d.u16s(p.taken)
	}
	if p.past.whole = d.version > withoutPast; p.past.whole {
		p.past.load(d, p.t.n, p.stats.Epoch)
	}
	sum := d.sum.Sum32()
	if got := d.u32(); d.err == nil && got != sum {
		return fmt.Errorf("checksum %08x, expected %08x: %w", sum, got, ErrState)
	}
	if x, ok := p.scorer.(*das); ok && d.err == nil && p.planned {
		x.now = p.stats.Epoch
		if x.epoch[x.slot(x.now)] != x.now {
			return fmt.Errorf("no losses of epoch %d: %w", x.now, ErrState)
		}
	}
	for i, h := range held {
		if d.err == nil && !anyHoldout && isHeld(h) != isHeld(p.t.score[i]) {
			return fmt.Errorf("saved with another holdout: %w", ErrState)
		}
	}
	return d.err
}

// readHeader refuses what is no state, and state of another version or of other options.
func (p *Pruner) readHeader(d *decoder, saved Options) error {
	magic := make([]byte, len(StateMagic))
	d.bytes(magic)
	if d.err == nil && string(magic) != StateMagic {
		return fmt.Errorf("not a pruner's state: %w", ErrState)
	}
	if d.version = d.u32(); d.err == nil && (d.version < earlierState || d.version > stateVersion) {
		return fmt.Errorf("version %d, this program reads %d to %d: %w", d.version, earlierState, stateVersion, ErrState)
	}
	size := d.u32()
	if d.err == nil && size > maxHeader {
		return fmt.Errorf("header of %d bytes: %w", size, ErrState)
	}
	header := make([]byte, min(size, maxHeader))
	d.bytes(header)
	if d.err != nil {
		return d.err
	}
	want := saved.header()
	if string(header) == want {
		return nil
	}
	had, has := strings.Fields(string(header)), strings.Fields(want)
	for k := range has {
		if k >= len(had) || had[k] != has[k] {
			return fmt.Errorf("saved with %q, now %q: %w", strings.Join(had[min(k, len(had)):min(k+1, len(had))], ""), has[k], ErrState)
		}
	}
	return fmt.Errorf("saved with other options: %w", ErrState)
}

// readPlan reads the statistics and the current plan, if there is one.
func (p *Pruner) readPlan(d *decoder, epochs int) error {
	s := &p.stats
	p.planned, p.ended = d.flag(), d.flag()
	s.Epoch, s.Observed, s.Scored = d.count(maxEpochs), d.count(math.MaxInt), d.count(p.t.n)
	s.Planned, s.Saved = d.u64(), d.u64()
	if d.err == nil && (s.Epoch > epochs || p.planned != (s.Epoch > 0)) {
		return fmt.Errorf("epoch %d of %d: %w", s.Epoch, epochs, ErrState)
	}
	byLoss := d.flag()
	if !p.planned {
		return nil
	}
	s.Ranking = p.o.Scorer
	if byLoss {
		s.Ranking = ScorerLoss
	}
	kept := newBitset(p.t.n)
	d.u64s(kept)
	weighted := d.flag()
	p.buf.open(weighted)
	for i := range uint32(p.t.n) {
		if kept.get(i) {
			p.buf.indices = append(p.buf.indices, i)
		}
	}
	s.Kept = len(p.buf.indices)
	s.Pruned = s.Samples - s.Kept
	if weighted {
		p.buf.weights = p.buf.store[:s.Kept]
		d.f32s(p.buf.weights)
	}
	return nil
}

const ioBlock = 1 << 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder writes little-endian numbers and sums them up. Its first error stays.
type encoder struct {
	w   io.Writer
	sum hash.Hash32
	err error
	tmp [ioBlock]byte
}

func (e *encoder) bytes(b []byte) {
	if e.err != nil {
		return
	}
	e.sum.Write(b)
	_, e.err = e.w.Write(b)
}

func (e *encoder) u32(v uint32)  { e.bytes(binary.LittleEndian.AppendUint32(e.tmp[:0], v)) }
func (e *encoder) u64(v uint64)  { e.bytes(binary.LittleEndian.AppendUint64(e.tmp[:0], v)) }
func (e *encoder) f64(v float64) { e.u64(math.Float64bits(v)) }

func (e *encoder) flag(v bool) {
	if v {
		e.bytes([]byte{1})
	} else {
		e.bytes([]byte{0})
	}
}

func encodeAll[T any](e *encoder, v []T, size int, put func([]byte, T) []byte) {
	for len(v) > 0 {
		n := min(len(v), ioBlock/size)
		b := e.tmp[:0]
		for _, x := range v[:n] {
			b = put(b, x)
		}
		e.bytes(b)
		v = v[n:]
	}
}

func (e *encoder) u16s(v []uint16) { encodeAll(e, v, 2, binary.LittleEndian.AppendUint16) }
func (e *encoder) u32s(v []uint32) { encodeAll(e, v, 4, binary.LittleEndian.AppendUint32) }
func (e *encoder) u64s(v []uint64) { encodeAll(e, v, 8, binary.LittleEndian.AppendUint64) }
func (e *encoder) f32s(v []float32) {
	encodeAll(e, v, 4, func(b []byte, x float32) []byte {
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	})
}

// decoder is encoder's inverse.
type decoder struct {
	r       io.Reader
	sum     hash.Hash32
	version uint32
	err     error
	tmp     [ioBlock]byte
}

func (d *decoder) bytes(b []byte) {
	if d.err == nil {
		_, d.err = io.ReadFull(d.r, b)
	}
	if d.err != nil {
		clear(b)
		return
	}
	d.sum.Write(b)
}

func (d *decoder) u32() uint32 {
	d.bytes(d.tmp[:4])
	return binary.LittleEndian.Uint32(d.tmp[:])
}

func (d *decoder) u64() uint64 {
	d.bytes(d.tmp[:8])
	return binary.LittleEndian.Uint64(d.tmp[:])
}

func (d *decoder) f64() float64 { return math.Float64frombits(d.u64()) }

func (d *decoder) flag() bool {
	d.bytes(d.tmp[:1])
	return d.tmp[0] == 1
}

// count reads a number that must not be above limit.
func (d *decoder) count(limit int) int {
	v := d.u64()
	if v > uint64(limit) {
		if d.err == nil {
			d.err = fmt.Errorf("count %d above %d: %w", v, limit, ErrState)
		}
		return 0
	}
	return int(v)
}

func decodeAll[T any](d *decoder, v []T, size int, get func([]byte) T) {
	for len(v) > 0 && d.err == nil {
		n := min(len(v), ioBlock/size)
		b := d.tmp[:n*size]
		d.bytes(b)
		for k := range n {
			v[k] = get(b[k*size:])
		}
		v = v[n:]
	}
}

func (d *decoder) u16s(v []uint16) { decodeAll(d, v, 2, binary.LittleEndian.Uint16) }
func (d *decoder) u64s(v []uint64) { decodeAll(d, v, 8, binary.LittleEndian.Uint64) }
func (d *decoder) f32s(v []float32) {
	decodeAll(d, v, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
}

// indices reads m samples below n, growing only as the data comes in.
func (d *decoder) indices(m, n int) []uint32 {
	var out []uint32
	for len(out) < m && d.err == nil {
		part := make([]uint32, min(m-len(out), ioBlock/4))
		decodeAll(d, part, 4, binary.LittleEndian.Uint32)
		for _, i := range part {
			if d.err == nil && uint64(i) >= uint64(n) {
				d.err = fmt.Errorf("sample %d of %d: %w", i, n, ErrState)
			}
		}
		out = append(out, part...)
	}
	return out
}
