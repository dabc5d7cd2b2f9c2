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
	for _, kind := range []string{AsymmetricNoise, PairflipNoise} {
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

// TestCutNormal: of rates drawn around any middle the mean is the one asked for,
// and their spread that of the distribution, computed by summing its density.
func TestCutNormal(t *testing.T) {
	for _, mean := range []float64{minInstance, 0.05, 0.1, 0.2, 0.4, 0.5, 0.8, 0.95, maxInstance} {
		middle := cutMiddle(mean)
		const steps = 100000
		weight, first, second := 0.0, 0.0, 0.0
		peak := max(0, min(1, middle)) // where the density is scaled to 1
		for k := range steps {
			x := (float64(k) + 0.5) / steps
			p := math.Exp(((peak-middle)*(peak-middle) - (x-middle)*(x-middle)) / 2 / instanceSpread / instanceSpread)
			weight, first, second = weight+p, first+p*x, second+p*x*x
		}
		first, second = first/weight, second/weight
		if math.Abs(first-mean) > 1e-4 {
			t.Errorf("around %v the mean is %v, want %v", middle, first, mean)
		}
		const n = 20000
		sum, squares := 0.0, 0.0
		for i := range n {
			r := newStream(1, purposeNoise, uint64(i))
			x := cutNormal(&r, middle)
			if !(x >= 0 && x <= 1) {
				t.Fatalf("drew %v", x)
			}
			sum, squares = sum+x, squares+x*x
		}
		deviation := math.Sqrt(second - first*first)
		if math.Abs(sum/n-mean) > 5*deviation/math.Sqrt(n) || math.Abs(math.Sqrt(squares/n-sum*sum/n/n)/deviation-1) > 0.05 {
			t.Errorf("mean %v, deviation %v: want %v, %v", sum/n, math.Sqrt(squares/n-sum*sum/n/n), mean, deviation)
		}
	}
}

// TestInstanceNoise: the share asked for is changed, to classes that follow the
// softmax of the image's projection, whatever the number of processors.
func TestInstanceNoise(t *testing.T) {
	const n, classes = 6000, 5
	names := numbered(classes)
	var images []byte
	var labels []int64
	for i := range n { // three pictures, the classes in turn
		for y := range 16 {
			for x := range 16 {
				images = append(images, byte(x*(i%3)*9+y*((i+1)%3)*7+(i%3)*40))
			}
		}
		labels = append(labels, int64(i/3%classes))
	}
	m, err := loader.NewMemory("m", 1, 16, 16, images, labels, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, rate := range []float64{0.05, 0.3, 0.6} {
		noise := Noise{Kind: InstanceNoise, Rate: rate, Seed: 4}
		r, err := WithLabelNoise(m, noise, classes, Options{})
		if err != nil {
			t.Fatal(err)
		}
		changed, to := 0, map[[2]int]*[classes]float64{}
		for i := range uint32(n) {
			was, is := labels[i], r.Target(i).Class()
			if loader.TrueLabelOf(r, i) != was {
				t.Fatalf("sample %d: true label %d", i, loader.TrueLabelOf(r, i))
			}
			if was != is {
				changed++
				key := [2]int{int(i % 3), int(was)}
				if to[key] == nil {
					to[key] = new([classes]float64)
				}
				to[key][is]++
			}
		}
		if d := math.Abs(float64(changed) - n*rate); d > 5*math.Sqrt(n*rate*(1-rate)) {
			t.Errorf("%v: %d of %d labels changed", rate, changed, n)
		}
		if rate < 0.5 {
			continue
		}
		// The formula, for each picture and class.
		for key, counts := range to {
			p := &projector{scores: make([]float64, classes)}
			p.draw(noise.Seed, key[1], classes)
			if err := p.see(m, uint32(key[0])); err != nil {
				t.Fatal(err)
			}
			sum, all, want := 0.0, 0.0, [classes]float64{}
			for k := range classes {
				z := 0.0
				for j, v := range p.small.Pix {
					z += (float64(v)/255*2 - 1) * float64(p.weights[j*classes+k])
				}
				if k != key[1] {
					want[k] = math.Exp(z)
				}
				sum, all = sum+want[k], all+counts[k]
			}
			for k := range classes {
				share := want[k] / sum
				if math.Abs(counts[k]/all-share) > 5*math.Sqrt(share*(1-share)/all)+2/all {
					t.Errorf("picture %d of class %d became %d in %v of %v changes, want a share of %v", key[0], key[1], k, counts[k], all, share)
				}
			}
		}
	}
	spec := "glyphs:train=300,test=20,noise=instance:0.4"
	a, b, c := open(t, spec), open(t, spec), open(t, spec+",noise-seed=9")
	same, other := true, true
	for i := range uint32(300) {
		same = same && a.Train.Target(i) == b.Train.Target(i)
		other = other && a.Train.Target(i) == c.Train.Target(i)
	}
	if !same || other {
		t.Errorf("repeated: %v; the same with another seed: %v", same, other)
	}
	for _, bad := range []string{"0.001", "0.999", "1", "-1"} {
		refused(t, "glyphs:noise=instance:"+bad, ErrSpec, "of instance from 0.01 to 0.99")
	}
}
