package export

// WithGrowthInterval makes the loss scale grow after n steps with finite gradients.
func (o Options) WithGrowthInterval(n int64) Options {
	o.growthInterval = n
	return o
}
