package prune

import (
	"slices"

	"winnow/internal/option"
)

// Kind is a scorer or a policy, as help lists it.
type Kind = option.Kind

// Scorers lists the scorers that keep scores.
func Scorers() (kinds []Kind) {
	for _, k := range scorers {
		if k.make != nil {
			kinds = append(kinds, Kind{Name: k.name, Doc: k.doc})
		}
	}
	return kinds
}

// Policies lists the policies.
func Policies() (kinds []Kind) {
	for _, k := range policies {
		kinds = append(kinds, Kind{Name: k.name, Doc: k.doc})
	}
	return kinds
}

// Weighs is whether the plans of a policy carry weights.
func Weighs(policy string) bool {
	k := policyOf(policy)
	return k != nil && k.weighs
}

// scorerKind is a row of the table of scorers.
type scorerKind struct {
	name, doc string
	byBatch   bool                      // content with the loss of a batch; the others need each sample's
	make      func(*table, Options) any // a batchScorer or a sampleScorer; nil keeps no scores
}

// policyKind is a row of the table of policies.
type policyKind struct {
	name, doc string
	scores    bool // needs a scorer
	weighs    bool // its plans carry weights
	deviation bool // reads the variance of each score
	make      func(*table, Options) policy
}

var scorers = []scorerKind{
	{name: ScorerNone, doc: "nothing is recorded", byBatch: true},
	{name: ScorerLoss, doc: "the last observed loss of each sample", make: newLoss},
	{name: ScorerBLS, doc: "a running average of the losses of a sample's batches", byBatch: true, make: newBLS},
	{name: ScorerDAS, doc: "the correlation of a sample's losses with those of a reference set", make: newDAS},
	{name: ScorerSmoothed, doc: "a running average of each sample's losses", make: newSmoothed},
}

var policies = []policyKind{
	{name: PolicyFull, doc: "everything", make: newFull},
	{name: PolicyRandom, doc: "a fresh random share each epoch", make: newRandom},
	{name: PolicyStatic, doc: "one random share, drawn once", make: newRandom},
	{name: PolicyInfoBatch, doc: "a random part of what lies below the mean is left out", scores: true, weighs: true, make: newInfoBatch},
	{name: PolicySeTa, doc: "a window over groups of scores, from easy to hard", scores: true, make: newSeTa},
	{name: PolicyEpsilonGreedy, doc: "the highest scores and a few random samples", scores: true, make: newGreedy},
	{name: PolicyUCB, doc: "the highest scores plus their deviations", scores: true, deviation: true, make: newGreedy},
	{name: PolicyRePB, doc: "a random part of what lies below the mean of the last batches is left out", scores: true, weighs: true, make: newRePB},
}

// scorerOf is the row of a scorer, nil for a name that is none.
func scorerOf(name string) *scorerKind {
	i := slices.IndexFunc(scorers, func(k scorerKind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &scorers[i]
}

// policyOf is the row of a policy, nil for a name that is none.
func policyOf(name string) *policyKind {
	i := slices.IndexFunc(policies, func(k policyKind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &policies[i]
}

func scorerNames() (names []string) {
	for _, k := range scorers {
		names = append(names, k.name)
	}
	return names
}

func policyNames() (names []string) {
	for _, k := range policies {
		names = append(names, k.name)
	}
	return names
}
