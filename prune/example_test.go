package prune_test

import (
	"bytes"
	"fmt"
	"log"

	"winnow/prune"
)

// A training loop with InfoBatch on per-sample losses.
func Example() {
	p, err := prune.New(prune.Options{
		Samples: 8, Epochs: 3,
		Scorer: prune.ScorerLoss, Policy: prune.PolicyInfoBatch,
		Ratio: prune.DefaultRatio, Delta: prune.DefaultDelta, Seed: 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	loss := []float32{0.1, 0.1, 0.2, 0.2, 2, 2, 3, 3} // stands for what the step reports
	for epoch := 1; epoch <= 3; epoch++ {
		plan, err := p.Plan(epoch)
		if err != nil {
			log.Fatal(err)
		}
		for _, i := range plan.Indices { // a batch of one
			if err := p.ObserveSamples([]uint32{i}, loss[i:i+1]); err != nil {
				log.Fatal(err)
			}
		}
		if err := p.EndEpoch(epoch); err != nil {
			log.Fatal(err)
		}
		s := p.Stats()
		fmt.Println("epoch", epoch, "kept", s.Kept, "pruned", s.Pruned, "saved so far", s.Saved)
	}
	// Output:
	// epoch 1 kept 8 pruned 0 saved so far 0
	// epoch 2 kept 6 pruned 2 saved so far 2
	// epoch 3 kept 8 pruned 0 saved so far 2
}

// A graph that reports only the batch loss gets BLS.
func ExampleResolve() {
	scorer, policy, why, err := prune.Resolve(prune.MethodAuto, false)
	fmt.Println(scorer, policy, err)
	fmt.Println(why)
	_, _, _, err = prune.Resolve("seta", false)
	fmt.Println(err)
	// Output:
	// bls infobatch <nil>
	// auto: BLS with InfoBatch, because the graph exposes only the batch loss
	// prune: method "seta": needs per-sample losses, and the graph exposes only the batch loss: take bls-seta
}

// A loss that is no number is an error that names the samples.
func ExamplePruner_ObserveSamples() {
	p, err := prune.New(prune.Options{Samples: 100, Epochs: 1, Scorer: prune.ScorerLoss})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.Plan(1); err != nil {
		log.Fatal(err)
	}
	zero := float32(0)
	err = p.ObserveSamples([]uint32{41, 42, 43}, []float32{0.7, zero / zero, 1.1})
	fmt.Println(err)
	// Output:
	// prune: observe "sample losses": loss is not a finite number: samples [42]
}

// State saved in the middle of an epoch goes on to the same plans.
func ExamplePruner_Load() {
	o := prune.Options{Samples: 1000, Epochs: 5, Policy: prune.PolicyRandom, Ratio: 0.5, Delta: 1, Seed: 3}
	a, err := prune.New(o)
	if err != nil {
		log.Fatal(err)
	}
	plan, err := a.Plan(1)
	if err != nil {
		log.Fatal(err)
	}
	var state bytes.Buffer
	if err := a.Save(&state); err != nil {
		log.Fatal(err)
	}
	b, err := prune.New(o)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Load(&state); err != nil {
		log.Fatal(err)
	}
	again, err := b.Plan(1)
	if err != nil {
		log.Fatal(err)
	}
	same := len(plan.Indices) == len(again.Indices)
	for k := range plan.Indices {
		same = same && plan.Indices[k] == again.Indices[k]
	}
	fmt.Println(same)
	// Output:
	// true
}

func ExampleBatchWeight() {
	fmt.Println(prune.BatchWeight([]float32{1, 2, 2, 1}), prune.BatchWeight(nil))
	// Output:
	// 1.5 1
}
