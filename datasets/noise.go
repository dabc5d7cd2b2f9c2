package datasets

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"winnow/loader"
)

// Kinds of label noise.
const (
	SymmetricNoise  = "symmetric"
	AsymmetricNoise = "asymmetric"
	PairflipNoise   = "pairflip"
	InstanceNoise   = "instance"
)

// NoiseKinds are the kinds of label noise, the default first.
func NoiseKinds() []string {
	return []string{SymmetricNoise, AsymmetricNoise, PairflipNoise, InstanceNoise}
}

// Noise is wrong labels made for experiments: each label is replaced with
// probability Rate, by a pure function of (Seed, sample index).
//
//   - symmetric: by any of the other classes, drawn uniformly;
//   - pairflip: by the next class, the last by the first (Han et al. 2018, arXiv
//     1804.06872, section 4);
//   - asymmetric: by the one class that it is taken for. CIFAR-10 and MNIST have
//     the pairs of Patrini et al. 2017 (arXiv 1609.03683, section 5), and classes
//     that are in none keep their labels; of other data the class is drawn by
//     Seed, in a single cycle through all classes;
//   - instance: by a class that the image itself makes likely (instanceLabels).
type Noise struct {
	Kind string  `json:"kind"`
	Rate float64 `json:"rate"`
	Seed uint64  `json:"seed"`
	// To is the class that label k becomes, k itself for none; nil where it is drawn.
	To []int64 `json:"to,omitempty"`
}

// mistaken are the pairs of asymmetric noise by the kind of the data.
var mistaken = map[string]map[int64]int64{
	"cifar10": {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}, // truck, bird, deer, cat, dog
	"mnist":   {2: 7, 3: 8, 5: 6, 6: 5, 7: 1},
}

// Shares of instance-dependent noise: below and above, the distribution of the
// flip rates is cut to nearly nothing.
const (
	minInstance = 0.01
	maxInstance = 0.99
)

// parseNoise reads RATE or KIND:RATE; a rate of 0 is no noise.
func parseNoise(text string) (n Noise, ok bool) {
	kind, rate, found := strings.Cut(text, ":")
	if !found {
		kind, rate = SymmetricNoise, text
	}
	var err error
	n.Kind = kind
	n.Rate, err = strconv.ParseFloat(rate, 64)
	ok = err == nil && n.Rate >= 0 && n.Rate <= 1 && slices.Contains(NoiseKinds(), kind)
	return n, ok && (kind != InstanceNoise || n.Rate == 0 || n.Rate >= minInstance && n.Rate <= maxInstance)
}

// noise is the setting of a spec, whose seed is noise-seed, else that of the spec.
func (s *spec) noise(v *common, seed uint64) (Noise, error) {
	n, ok := parseNoise(v.noise)
	if !ok {
		return n, s.errorf("noise=%s: want a number from 0 to 1, alone or after one of %s and a colon; of %s from %v to %v", v.noise, strings.Join(NoiseKinds(), ", "), InstanceNoise, minInstance, maxInstance)
	}
	n.Seed = seed
	if v.noiseSeed != "" {
		var err error
		if n.Seed, err = strconv.ParseUint(v.noiseSeed, 10, 64); err != nil {
			return n, s.errorf("noise-seed=%s: want a whole number from 0 up", v.noiseSeed)
		}
	}
	return n, nil
}

// classes settles what each of so many classes of a kind of data becomes.
func (n *Noise) classes(kind string, count int) {
	if n.Kind == SymmetricNoise || n.Kind == InstanceNoise || count < 2 {
		return
	}
	n.To = make([]int64, count)
	for k := range n.To {
		n.To[k] = int64(k)
	}
	pairs, known := mistaken[kind]
	switch {
	case n.Kind == PairflipNoise:
		for k := range n.To {
			n.To[k] = int64((k + 1) % count)
		}
	case known:
		for from, to := range pairs {
			if from < int64(count) && to < int64(count) {
				n.To[from] = to
			}
		}
	default: // Sattolo's shuffle: one cycle
		r := newStream(n.Seed, purposeMistaken, 0)
		for i := count - 1; i > 0; i-- {
			j := r.Below(uint64(i))
			n.To[i], n.To[j] = n.To[j], n.To[i]
		}
	}
}

type noisy struct {
	wrapper
	Noise
	count  uint64
	labels []int32 // after instance-dependent noise, else nil
}

var _ loader.Records = (*noisy)(nil)

// WithLabelNoise is records of so many classes with noise in their labels. The
// result is a loader.TrueLabeler. Instance-dependent noise reads images first,
// with the context and progress of o.
func WithLabelNoise(r loader.Records, n Noise, classes int, o Options) (_ loader.Records, err error) {
	if !(n.Rate >= 0 && n.Rate <= 1) {
		return nil, fmt.Errorf("datasets: label noise %v: want 0 to 1", n.Rate)
	}
	if r.Len() > 0 && r.Target(0).Class() < 0 && r.Target(0).Kind() != loader.ClassTarget {
		return nil, fmt.Errorf("datasets: label noise on %q: %w: its samples have no class", loader.NameOf(r), ErrSpec)
	}
	if classes < 2 {
		return nil, fmt.Errorf("datasets: label noise on %q: %d classes: want 2 or more", loader.NameOf(r), classes)
	}
	s := &noisy{wrapper: wrapper{r}, Noise: n, count: uint64(classes)}
	if n.Kind == InstanceNoise {
		if s.labels, err = instanceLabels(r, n, classes, o); err != nil {
			return nil, fmt.Errorf("datasets: label noise on %q: %w", loader.NameOf(r), err)
		}
	}
	return s, nil
}

// Target is the label after noise.
func (s *noisy) Target(i uint32) loader.Target {
	return loader.Class(s.flip(i, s.Records.Target(i).Class()))
}

func (s *noisy) flip(i uint32, label int64) int64 {
	if s.labels != nil {
		return int64(s.labels[i])
	}
	r := newStream(s.Seed, purposeNoise, uint64(i))
	if label < 0 || r.Float() >= s.Rate {
		return label
	}
	if s.To != nil {
		if label >= int64(len(s.To)) {
			return label
		}
		return s.To[label]
	}
	other := int64(r.Below(s.count - 1))
	if other >= label {
		other++
	}
	return other
}
