package datasets

import (
	"math"
	"testing"

	"winnow/loader"
)

// TestNoiseKinds: each kind changes about its share of the labels, to the
// classes that its definition names, and noise-seed changes nothing else.
func TestNoiseKinds(t *testing.T) {
	const n, rate = 20000, 0.3
	clean := open(t, "glyphs:train=20000").Train
	for _, kind := range NoiseKinds()[1:] {
		d := open(t, "glyphs:train=20000,noise="+kind+":0.3,noise-seed=7")
		if d.Noise == nil || d.Noise.Kind != kind || d.Noise.Rate != rate || d.Noise.Seed != 7 {
			t.Fatalf("%s: recorded as %+v", kind, d.Noise)
		}
		changed, to := 0, map[int64]int64{}
		for i := range uint32(n) {
			was, is := clean.Target(i).Class(), d.Train.Target(i).Class()
			if loader.TrueLabelOf(d.Train, i) != was {
				t.Fatalf("%s: sample %d: true label %d: want %d", kind, i, loader.TrueLabelOf(d.Train, i), was)
			}
			if was == is {
				continue
			}
			changed++
			if other, ok := to[was]; ok && other != is {
				t.Fatalf("%s: class %d became %d and %d", kind, was, other, is)
			}
			to[was] = is
		}
		if d := math.Abs(float64(changed) - n*rate); d > 4*math.Sqrt(n*rate*(1-rate)) {
			t.Errorf("%s: %d of %d labels changed", kind, changed, n)
		}
		// All classes lie on one cycle; of pairflip it is the order of the classes.
		at, seen := int64(0), 0
		for ; seen < 10 && (seen == 0 || at != 0); seen++ {
			if kind == PairflipNoise && to[at] != (at+1)%10 {
				t.Errorf("pairflip: class %d became %d", at, to[at])
			}
			at = to[at]
		}
		if at != 0 || seen != 10 {
			t.Errorf("%s: %v is no cycle of all classes", kind, to)
		}
	}
	a, b := open(t, "glyphs:noise=asymmetric:0.3,noise-seed=1").Noise, open(t, "glyphs:noise=asymmetric:0.3,noise-seed=2").Noise
	same := true
	for k := range a.To {
		same = same && a.To[k] == b.To[k]
	}
	if same {
		t.Error("another seed mistakes the same classes")
	}
}

// TestNoiseOfKnownPairs: CIFAR-10's pairs are those of the paper, other classes stay.
func TestNoiseOfKnownPairs(t *testing.T) {
	names := []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
	want := map[string]string{"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}
	n := Noise{Kind: AsymmetricNoise, Rate: 1}
	n.classes("cifar10", len(names))
	for k, name := range names {
		to := want[name]
		if to == "" {
			to = name
		}
		if names[n.To[k]] != to {
			t.Errorf("%s became %s: want %s", name, names[n.To[k]], to)
		}
	}
}
