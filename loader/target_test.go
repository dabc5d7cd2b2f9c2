package loader

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// vectored are records with a class, a vector of two numbers and a tensor of
// bytes; sample short of them has too short a vector.
type vectored struct {
	ramp
	short uint32
}

var _ Targeted = vectored{}

func (vectored) Targets() []TargetSpec {
	return []TargetSpec{
		{Name: "label", Kind: ClassTarget, Type: Int64},
		{Name: "where", Kind: VectorTarget, Type: Float32, Shape: []int{2}},
		{Name: "grid", Kind: TensorTarget, Type: Uint8, Shape: []int{2, 3}},
	}
}

func (v vectored) ReadTarget(i uint32, k int, r *Record) error {
	if k == 2 {
		b := r.Encoded(6)
		for j := range b {
			b[j] = byte(i) + byte(j)
		}
		return nil
	}
	n := 2
	if i == v.short {
		n = 1
	}
	b := r.Encoded(4 * n)
	for j := range n {
		binary.LittleEndian.PutUint32(b[4*j:], math.Float32bits(float32(i)+float32(j)/4))
	}
	return nil
}

func TestTargetsOfBatches(t *testing.T) {
	src, err := NewSource(vectored{ramp{n: 23}, 99}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, oneHot := range []int{0, 10} {
		l, err := New(src, Options{BatchSize: 4, Workers: 3, Shuffle: true, Seed: 1, OneHot: oneHot})
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(context.Background(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for {
			b, err := it.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			label, where, grid := b.Targets[0], b.Targets[1], b.Targets[2]
			if len(where.Floats) != 2*b.N || len(where.Bytes) != 8*b.N || len(grid.Bytes) != 6*b.N || grid.Floats != nil {
				t.Fatalf("batch of %d: %d floats, %d and %d bytes", b.N, len(where.Floats), len(where.Bytes), len(grid.Bytes))
			}
			if hot := label.Kind == VectorTarget; hot != (oneHot > 0) || len(label.Floats) != oneHot*b.N {
				t.Fatalf("classes come as kind %v, %d floats", label.Kind, len(label.Floats))
			}
			for j, i := range b.Indices {
				if b.Labels[j] != int64(i%10) || where.Floats[2*j] != float32(i) || where.Floats[2*j+1] != float32(i)+0.25 || grid.Bytes[6*j+5] != byte(i)+5 {
					t.Fatalf("sample %d: label %d, vector %v, tensor %v", i, b.Labels[j], where.Floats[2*j:][:2], grid.Bytes[6*j:][:6])
				}
				for c := range oneHot {
					if want := map[bool]float32{true: 1}[c == int(i%10)]; label.Floats[oneHot*j+c] != want {
						t.Fatalf("sample %d: class %d is %v", i, c, label.Floats[oneHot*j+c])
					}
				}
			}
			where.Floats[0] = -1 // in place: the bytes are the same memory
			if math.Float32frombits(binary.LittleEndian.Uint32(where.Bytes)) != -1 {
				t.Fatal("floats and bytes are not the same memory")
			}
			seen += b.N
		}
		if seen != 23 {
			t.Errorf("%d samples", seen)
		}
	}
}

func TestTargetOfAnotherLength(t *testing.T) {
	for _, leaveOut := range []bool{false, true} {
		src, err := NewSource(vectored{ramp{n: 23}, 7}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{BatchSize: 4}
		if leaveOut {
			o.Bad = &BadSamples{}
		}
		l, err := New(src, o)
		if err != nil {
			t.Fatal(err)
		}
		it, err := l.Epoch(context.Background(), 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for err == nil {
			var b *Batch
			if b, err = it.Next(); err == nil {
				seen += b.N
			}
		}
		switch {
		case leaveOut && (err != io.EOF || seen != 22 || o.Bad.Count() != 1):
			t.Errorf("%v, %d samples, %d bad", err, seen, o.Bad.Count())
		case !leaveOut && (!errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), "sample 7 of") || !strings.Contains(err.Error(), `target "where"`)):
			t.Errorf("%v", err)
		}
	}
}

func TestTargetsRefused(t *testing.T) {
	augment, err := Augment{HFlip: true}.Transform(2, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSource(vectored{ramp{n: 3}, 99}, augment); !errors.Is(err, ErrOptions) {
		t.Errorf("a tensor beside images that are mirrored: %v", err)
	}
	if err := checkTargets([]TargetSpec{{Name: "a", Kind: TensorTarget, Type: Float32, Shape: []int{1 << 30, 1 << 30}}}); !errors.Is(err, ErrBadData) {
		t.Errorf("%v", err)
	}
	if err := checkTargets([]TargetSpec{{Name: "a"}, {Name: "a"}}); !errors.Is(err, ErrBadData) {
		t.Errorf("%v", err)
	}
}
