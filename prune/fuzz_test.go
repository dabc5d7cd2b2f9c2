package prune

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"
)

// FuzzTraining plays a training of any shape: every plan holds what all plans
// must, bad losses are refused with the samples named, a resumed run goes on
// the same.
func FuzzTraining(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint16(0), uint8(128), uint8(255), uint8(3), uint8(1), []byte{})
	for s := range scorerNames() {
		for p := range policyNames() {
			f.Add(uint8(s), uint8(p), uint16(70*s+p), uint8(40*p), uint8(200), uint8(9), uint8(16), []byte{1, 2, 3, 0, 0, 255, 7})
		}
	}
	f.Add(uint8(1), uint8(3), uint16(1), uint8(255), uint8(255), uint8(4), uint8(0), []byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x7f})
	f.Fuzz(playTraining)
}

// TestRandomTrainings plays trainings of random shape: sizes and batches from
// one up, ratios and deltas over their whole range with both ends, losses with
// ties, of every magnitude, and now and then NaN or infinite.
func TestRandomTrainings(t *testing.T) {
	rnd := rand.New(rand.NewPCG(41, 42))
	for range 1500 {
		raw := make([]byte, 4*rnd.IntN(400))
		for k := 0; k < len(raw); k += 4 {
			var loss float32
			switch rnd.IntN(12) {
			case 0:
				loss = math.Float32frombits(rnd.Uint32())
			case 1, 2, 3:
				loss = float32(rnd.IntN(3))
			case 4:
				loss = math.MaxFloat32 * float32(rnd.IntN(3)-1)
			default:
				loss = lossLike(rnd)
			}
			binary.LittleEndian.PutUint32(raw[k:], math.Float32bits(loss))
		}
		share := func() uint8 { return [...]uint8{0, 254, 255, uint8(rnd.UintN(256))}[rnd.IntN(4)] }
		playTraining(t, uint8(rnd.UintN(256)), uint8(rnd.UintN(256)), uint16(rnd.UintN(300)>>rnd.UintN(9)), share(), share(),
			uint8(rnd.UintN(12)), uint8(rnd.UintN(64)>>rnd.UintN(7)), raw)
		if t.Failed() {
			return
		}
	}
}

func playTraining(t *testing.T, scorer, policy uint8, n uint16, ratio, delta, epochs, batch uint8, raw []byte) {
	o := Options{
		Samples: int(n % 300), Epochs: int(epochs%12) + 1,
		Scorer: scorerNames()[int(scorer)%len(scorerNames())], Policy: policyNames()[int(policy)%len(policyNames())],
		Ratio: float64(ratio) / 255, Delta: float64(delta) / 255, Window: 3, Groups: 4, Choosing: Choosing{BatchWindow: 2}, Seed: uint64(n),
	}
	if o.Scorer == ScorerNone && policyOf(o.Policy).scores {
		o.Scorer = ScorerBLS
	}
	p := mustNew(t, o)
	at := 0
	next := func() float32 { // losses from the raw bytes, small numbers of ties when they run out
		if at+4 <= len(raw) {
			at += 4
			return math.Float32frombits(binary.LittleEndian.Uint32(raw[at-4:]))
		}
		at++
		return float32(at % 5)
	}
	for e := 1; e <= o.Epochs; e++ {
		plan := mustPlan(t, p, e)
		checkPlan(t, o, plan)
		for _, b := range steps(plan, e, int(batch%64)+1) {
			losses := make([]float32, len(b))
			var wrong []uint32
			for j := range losses {
				losses[j] = next()
				if losses[j]-losses[j] != 0 {
					wrong = append(wrong, b[j])
				}
			}
			var err error
			if byBatch, _, _ := p.Wants(); byBatch {
				wrong = nil
				if losses[0]-losses[0] != 0 {
					wrong = b
				}
				err = p.ObserveBatch(b, losses[0])
			} else {
				err = p.ObserveSamples(b, losses)
			}
			var le *LossError
			if (err != nil) != (wrong != nil) || (err != nil && (!errors.As(err, &le) || len(le.Indices) != len(wrong))) {
				t.Fatalf("%v, wrong samples %v", err, wrong)
			}
		}
		must(t, p.EndEpoch(e))
		for i, s := range p.Scores(nil) {
			if math.IsInf(float64(s), 0) {
				t.Fatalf("score of %d is %v", i, s)
			}
		}
		q := mustNew(t, o)
		must(t, q.Load(bytesReader(save(t, p))))
		p = q
	}
	if st := p.Stats(); st.Planned+st.Saved != uint64(o.Samples*o.Epochs) {
		t.Fatalf("%+v", st)
	}
}

// FuzzLoad: no bytes make Load panic, ask for memory or be half taken, also
// where their checksum is right, and what is taken goes on without a panic.
func FuzzLoad(f *testing.F) {
	o, p := midway(f)
	state := save(f, p)
	f.Add(uint16(0), []byte{1}, uint16(40))
	f.Add(uint16(300), []byte{255, 255, 255, 255, 255, 255, 255, 255}, uint16(0))
	f.Fuzz(func(t *testing.T, at uint16, with []byte, cut uint16) {
		b := bytes.Clone(state[:len(state)-4])
		if int(cut) < len(b) {
			b = b[:len(b)-int(cut)]
		}
		copy(b[min(int(at), len(b)):], with)
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		q := mustNew(t, o)
		if err := q.Load(bytes.NewReader(b)); err != nil {
			if !errors.Is(err, ErrState) || q.Stats().Epoch != 0 {
				t.Fatalf("%v, stats %+v", err, q.Stats())
			}
			return
		}
		for e := max(1, q.Stats().Epoch); e <= o.Epochs; e++ {
			plan, err := q.Plan(e)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.ObserveSamples(plan.Indices, make([]float32, len(plan.Indices))); err != nil && !errors.Is(err, ErrOrder) {
				t.Fatal(err)
			}
			if err := q.EndEpoch(e); err != nil && !errors.Is(err, ErrOrder) {
				t.Fatal(err)
			}
		}
	})
}

// FuzzKMeans against exhaustive search.
func FuzzKMeans(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 201, 9}, uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, groups uint8) {
		raw = raw[:min(len(raw), 9)]
		if len(raw) == 0 {
			return
		}
		g := int(groups%5) + 1
		keys := make([]uint32, len(raw))
		for i, b := range raw {
			keys[i] = floatKey(float32(int8(b)))
		}
		ends := kmeans(keys, g, 1)
		v := make([]float32, len(keys))
		for i, k := range keys {
			v[i] = keyFloat(k)
		}
		checkRuns(t, v, ends, g)
		if got, want := withinSS(v, ends), exhaustive(v, len(ends)); got > want*(1+1e-9)+1e-9 {
			t.Fatalf("%v in %d: %v, best %v", v, g, got, want)
		}
	})
}
