package train

import (
	"cmp"
	"slices"
	"time"
)

// setup makes the loaders and the sessions.
func (l *loop) setup() error {
	o, s := &l.o, &l.summary
	s.Provider, s.Device, s.RuntimeVersion = o.Device.Provider(), o.Device.Name(), o.Device.LibraryVersion()
	oneHot := 0
	if slices.ContainsFunc(l.targets, func(t boundTarget) bool { return t.fromHot }) {
		oneHot = l.classes
	}
	classes := func(t []boundTarget) bool { return len(t) == 0 || takesClasses(t) }
	l.data.parts = classes(l.targets) && classes(l.testTargets)
	if err := l.data.open(o, l.pruning.reference != nil, oneHot); err != nil {
		return err
	}
	whole := maxBatch(o, s.Policy)
	least := int(max(o.Bundle.Manifest.MinBatch, 1))
	shard := o.Job.shard()
	shard.Pairs = !o.Job.alone() && o.Mix.Enabled()
	largest := shard.Largest(whole, least)
	if l.ownLoss() {
		largest = max(largest, min(o.BatchSize, o.Test.Len()))
		l.graphs.measures = true
	}
	roles := &o.Bundle.Manifest.Train
	l.split = split{job: &l.o.Job, shard: shard, accum: o.batches(), each: roles.PerSampleLoss != nil || l.pruning.wantsEach, bad: o.Bad, name: o.Train.Name(),
		scalars: make([]float32, len(roles.Scalars))}
	if err := l.graphs.open(o, largest, max(largest, min(o.BatchSize, o.Test.Len())), l.split.tail(o.batches()*whole)); err != nil {
		return err
	}
	l.split.trainer = l.graphs.halves
	s.Layout = l.graphs.layout
	weights, err := dataWeights(o)
	if err != nil {
		return err
	}
	l.input = newInput(o.Bundle, l.targets, o.Seed, l.pruning.weights, weights, largest)
	l.input.step.Random = l.input.random.Fill
	l.pruning.losses = make([]float32, largest)
	l.saver = saver{every: o.Every, keep: cmp.Or(o.Keep, DefaultKeep), last: time.Now()}
	l.nan.RateScale = 1
	return nil
}
