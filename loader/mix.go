package loader

import (
	"errors"
	"fmt"
	"math"

	"winnow/internal/option"
	"winnow/internal/random"
)

// Defaults of Mix, those of timm.
const (
	DefaultMixProb   = 1.0
	DefaultMixSwitch = 0.5
	maxMixAlpha      = 1000
)

// Mix joins the images of a batch in pairs, sample i with sample N-1-i, and their
// targets with them: mixup (Zhang et al. 2017, arXiv 1710.09412) weighs all pixels
// of the two, cutmix (Yun et al. 2019, arXiv 1905.04899) puts a box of one into the
// other. A batch has one share, from Beta(alpha, alpha), and one box, a function of
// (seed, epoch, step). As in timm's FastCollateMixup, pixels are rounded to bytes.
// The zero value changes nothing.
type Mix struct {
	Mixup  float64 `json:"mixup,omitempty"`  // alpha; 0 is no mixup
	Cutmix float64 `json:"cutmix,omitempty"` // alpha; 0 is no cutmix
	Prob   float64 `json:"prob"`             // of a batch being mixed
	Switch float64 `json:"switch_prob"`      // of cutmix, where there are both
}

// Enabled is whether any batch may be mixed.
func (m *Mix) Enabled() bool { return m.Mixup > 0 || m.Cutmix > 0 }

// Validate reports every number out of range; errors wrap ErrOptions.
func (m *Mix) Validate() error {
	var errs []error
	check := func(name string, v, hi float64) {
		if !(v >= 0 && v <= hi) {
			errs = append(errs, option.Errorf("loader", name, "%v, want 0 to %v", v, hi))
		}
	}
	check("mixup", m.Mixup, maxMixAlpha)
	check("cutmix", m.Cutmix, maxMixAlpha)
	check("mixup-prob", m.Prob, 1)
	check("mixup-switch-prob", m.Switch, 1)
	return errors.Join(errs...)
}

// mixing is what happens to one batch: share of a sample's own image and targets,
// and with a cut the box that comes from the other.
type mixing struct {
	share          float64
	cut            bool
	y0, y1, x0, x1 int
}

// draw decides on a batch of images of h x w; share 1 leaves it as it is.
func (m *Mix) draw(r random.Stream, h, w int) mixing {
	if !m.Enabled() || r.Float() >= m.Prob {
		return mixing{share: 1}
	}
	cut, alpha := m.Cutmix > 0, m.Mixup
	if m.Mixup > 0 && m.Cutmix > 0 {
		cut = r.Float() < m.Switch
	}
	if cut {
		alpha = m.Cutmix
	}
	share := beta(&r, alpha)
	if !cut {
		return mixing{share: share}
	}
	side := math.Sqrt(1 - share)
	return boxAt(int(r.Below(uint64(h))), int(r.Below(uint64(w))), int(float64(h)*side), int(float64(w)*side), h, w)
}

// boxAt is a cut of bh x bw around a place, as far as it lies in the image, with
// the share that it leaves.
func boxAt(cy, cx, bh, bw, h, w int) mixing {
	m := mixing{cut: true, y0: max(cy-bh/2, 0), y1: min(cy+(bh+1)/2, h), x0: max(cx-bw/2, 0), x1: min(cx+(bw+1)/2, w)}
	m.share = 1 - float64((m.y1-m.y0)*(m.x1-m.x0))/float64(h*w)
	return m
}

// beta draws from Beta(alpha, alpha): by the formula of Ulrich 1984 above 1/2, as
// Devroye 1986, "Non-uniform random variate generation", IX.3.3 gives it, else by
// Jöhnk's rejection (the same, IX.3.2), in logarithms.
func beta(r *random.Stream, alpha float64) float64 {
	if alpha > 0.5 {
		radius := math.Sqrt(1 - math.Pow(1-r.Float(), 2/(2*alpha-1)))
		return (1 + radius*math.Cos(2*math.Pi*r.Float())) / 2
	}
	for {
		x, y := math.Log(1-r.Float())/alpha, math.Log(1-r.Float())/alpha
		if math.Exp(x)+math.Exp(y) > 1 {
			continue
		}
		return 1 / (1 + math.Exp(y-x))
	}
}

// pairOf is the k-th pair of n samples, which lie next to each other where paired.
func pairOf(k, n int, paired bool) (i, j int) {
	if paired {
		return 2 * k, 2*k + 1
	}
	return k, n - 1 - k
}

// images mixes n images of c planes of h x w in place.
func (m mixing) images(pix []byte, n, c, h, w int, paired bool) {
	size := c * h * w
	if !m.cut {
		own, other := float32(m.share), float32(1-m.share)
		for k := range n / 2 {
			i, j := pairOf(k, n, paired)
			blendPair(pix[i*size:][:size], pix[j*size:][:size], own, other)
		}
		return
	}
	for k := range n / 2 {
		i, j := pairOf(k, n, paired)
		a, b := pix[i*size:][:size], pix[j*size:][:size]
		for row := range c * h {
			if y := row % h; y >= m.y0 && y < m.y1 {
				a, b := a[row*w+m.x0:row*w+m.x1], b[row*w+m.x0:row*w+m.x1]
				for x := range a {
					a[x], b[x] = b[x], a[x]
				}
			}
		}
	}
}

// roundBy, added to a float32 of 0 to 255, leaves the nearest whole number, halves
// to even, in the lowest bits.
const roundBy = 1.5 * (1 << 23)

func blendPair(a, b []byte, own, other float32) {
	var owns, others [256]float32
	for v := range owns {
		owns[v], others[v] = float32(v)*own, float32(v)*other
	}
	for i, x := range a {
		y := b[i]
		a[i] = byte(math.Float32bits(float32(owns[x]+others[y]) + roundBy))
		b[i] = byte(math.Float32bits(float32(owns[y]+others[x]) + roundBy))
	}
}

// vectors mixes the targets of n samples, count numbers each, in place.
func (m mixing) vectors(v []float32, n, count int, paired bool) {
	own, other := float32(m.share), float32(1-m.share)
	for k := range n / 2 {
		i, j := pairOf(k, n, paired)
		a, b := v[i*count:][:count], v[j*count:][:count]
		for k, x := range a {
			y := b[k]
			a[k] = float32(x*own) + float32(y*other)
			b[k] = float32(y*own) + float32(x*other)
		}
	}
}

// Images mixes n images [n, C, H, W] of a batch in place, as a loader does those of
// step, the batch's number in its epoch from 0.
func (m *Mix) Images(seed uint64, epoch, step int, pix []byte, n, c, h, w int) {
	if d := m.of(seed, epoch, step, h, w); d.share < 1 {
		d.images(pix, n, c, h, w, false)
	}
}

func (m *Mix) of(seed uint64, epoch, step, h, w int) mixing {
	return m.draw(Draw{seed, epoch, uint32(step)}.stream(purposeMix), h, w)
}

// checkMix refuses targets that cannot be mixed.
func (l *Loader) checkMix() error {
	for _, t := range l.targets {
		if t.Kind != VectorTarget || t.Type != Float32 {
			return fmt.Errorf("loader: source %q: %w: mixed images need targets that are vectors of float32, and %q is a %v", l.src.Name(), ErrOptions, t.Name, t.Kind)
		}
	}
	return nil
}

// mix mixes the batch of a step.
func (it *Iterator) mix(s *slot, step int) {
	l := it.l
	c, h, w := l.src.Shape()
	m := l.o.Mix.of(l.o.Seed, it.epoch, step, h, w)
	if m.share == 1 {
		return
	}
	m.images(s.images, s.n, c, h, w, l.o.Shard.Pairs)
	for k := range l.targets {
		m.vectors(s.targets[k].floats, s.n, l.targets[k].Count(), l.o.Shard.Pairs)
	}
}
