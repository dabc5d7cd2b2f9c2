package datasets

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"winnow/internal/guard"
	"winnow/internal/random"
	"winnow/internal/spill"
	"winnow/loader"
	"winnow/loader/raster"
)

// Numbers of instance-dependent noise.
const (
	instanceSpread = 0.1 // standard deviation of the flip rates: Xia et al. 2020
	instanceSide   = 8   // images are made so many pixels high and wide, of three colours
	instanceInputs = 3 * instanceSide * instanceSide
)

// instanceLabels are the labels of all samples after noise that depends on the
// image: of each sample a flip rate is drawn from a normal distribution around
// the noise's rate, cut to 0 to 1, and with that probability the label becomes
// another class, by the softmax of the pixels' projection onto a matrix drawn
// for the class (Xia et al. 2020, "Part-dependent Label Noise", arXiv
// 2006.07836, algorithm 2). Here the pixels are those of the image resized to
// 8x8 in [-1, 1], so that images of any size serve, and the middle of the rates
// is moved so far that their mean after the cut is the rate asked for. Images
// that cannot be read keep their label.
func instanceLabels(r loader.Records, n Noise, classes int, o Options) ([]int32, error) {
	if int64(r.Len()) >= maxSamples {
		return nil, fmt.Errorf("%w: over %d images", loader.ErrBadData, maxSamples)
	}
	labels := spill.Make[int32](r.Len())
	members := make([][]uint32, classes)
	for i := range labels {
		k := r.Target(uint32(i)).Class()
		labels[i] = int32(k)
		if k >= 0 && k < int64(classes) {
			members[k] = append(members[k], uint32(i))
		}
	}
	middle := cutMiddle(n.Rate)
	var next, done atomic.Int64
	var told sync.Mutex
	tell := func() {
		told.Lock()
		defer told.Unlock()
		o.progress(int(done.Add(1)), len(labels))
	}
	err := guard.Workers(o.context(), min(runtime.GOMAXPROCS(0), classes), func(ctx context.Context) error {
		p := &projector{scores: make([]float64, classes)}
		for ctx.Err() == nil {
			k := int(next.Add(1) - 1)
			if k >= classes {
				return nil
			}
			if len(members[k]) == 0 {
				continue
			}
			p.draw(n.Seed, k, classes)
			for _, i := range members[k] {
				to, err := p.label(r, n, i, middle)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return err
				}
				labels[i] = to
				tell()
			}
		}
		return nil
	})
	return labels, err
}

// projector draws the noisy labels of one class after the other.
type projector struct {
	class   int
	weights []float32 // [instanceInputs, classes]
	scores  []float64
	record  loader.Record
	image   raster.Image
	small   raster.Image
	resizer raster.Resizer
}

// draw draws the matrix of a class.
func (p *projector) draw(seed uint64, class, classes int) {
	p.class = class
	p.weights = make([]float32, instanceInputs*classes)
	r := newStream(seed, purposeInstance, uint64(class))
	for i := range p.weights {
		p.weights[i] = float32(normal(&r))
	}
}

// label is what the label of a sample of the class becomes.
func (p *projector) label(r loader.Records, n Noise, i uint32, middle float64) (int32, error) {
	s := newStream(n.Seed, purposeNoise, uint64(i))
	flip := cutNormal(&s, middle)
	if s.Float() >= flip {
		return int32(p.class), nil
	}
	err := p.see(r, i)
	if errors.Is(err, loader.ErrBadData) {
		return int32(p.class), nil
	} else if err != nil {
		return 0, err
	}
	p.project()
	at := s.Float()
	for k, share := range p.scores {
		if at -= share; at < 0 && k != p.class {
			return int32(k), nil
		}
	}
	return int32((p.class + 1) % len(p.scores)), nil // what rounding left over
}

// see makes the image of a sample small. Go's decoder takes JPEG whatever is
// installed, so that labels are the same everywhere.
func (p *projector) see(r loader.Records, i uint32) error {
	if err := r.Read(i, &p.record); err != nil {
		return err
	}
	m := &p.image
	if c := &p.record; c.C > 0 {
		m.Reset(c.C, c.H, c.W)
		copy(m.Pix, c.Data)
		if c.C != 3 {
			m.C, m.Pix = 1, m.Plane(0)
			if err := m.SetChannels(3); err != nil {
				return err
			}
		}
	} else if err := (raster.Decoder{}).With(c.View).Decode(m, c.Data, 3, 1); err != nil {
		return fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	p.small.Reset(3, instanceSide, instanceSide)
	p.resizer.Resize(&p.small, m, m.Whole(), instanceSide, instanceSide, 0, 0, raster.Bilinear)
	return nil
}

// project fills scores with the shares of the classes that a label may become.
func (p *projector) project() {
	clear(p.scores)
	classes := len(p.scores)
	for j, v := range p.small.Pix {
		x := float64(v)/127.5 - 1
		for k, w := range p.weights[j*classes:][:classes] {
			p.scores[k] += x * float64(w)
		}
	}
	p.scores[p.class] = math.Inf(-1)
	most := math.Inf(-1)
	for _, s := range p.scores {
		most = max(most, s)
	}
	sum := 0.0
	for k, s := range p.scores {
		p.scores[k] = math.Exp(s - most)
		sum += p.scores[k]
	}
	for k := range p.scores {
		p.scores[k] /= sum
	}
}

// normal draws from the standard normal distribution (Box and Muller 1958).
func normal(r *random.Stream) float64 {
	u, v := 1-r.Float(), r.Float() // u is above 0
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// density and tail are those of the standard normal distribution.
func density(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
func tail(x float64) float64    { return math.Erfc(x/math.Sqrt2) / 2 } // above x

// cutMean is the mean of a normal distribution around middle that is cut to 0 to 1.
func cutMean(middle float64) float64 {
	if middle > 0.5 { // the other side's tails are told from 0
		return 1 - cutMean(1-middle)
	}
	a, b := -middle/instanceSpread, (1-middle)/instanceSpread
	return middle + instanceSpread*(density(a)-density(b))/(tail(a)-tail(b))
}

// cutMiddle is where a distribution cut to 0 to 1 has its middle, for a mean
// from minInstance to maxInstance.
func cutMiddle(mean float64) float64 {
	return bisect(-2, 3, func(middle float64) bool { return cutMean(middle) < mean })
}

// cutNormal draws from a normal distribution around middle, cut to 0 to 1, by
// the inverse of its distribution function.
func cutNormal(r *random.Stream, middle float64) float64 {
	if middle > 0.5 {
		return 1 - cutNormal(r, 1-middle)
	}
	above := func(x float64) float64 { return tail((x - middle) / instanceSpread) }
	a, b := above(0), above(1)
	at := a + (b-a)*r.Float()
	return bisect(0, 1, func(x float64) bool { return above(x) > at })
}

// bisect is where less, true below, turns false.
func bisect(lo, hi float64, less func(x float64) bool) float64 {
	for range 52 {
		if middle := (lo + hi) / 2; less(middle) {
			lo = middle
		} else {
			hi = middle
		}
	}
	return (lo + hi) / 2
}
