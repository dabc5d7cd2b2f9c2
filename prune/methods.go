package prune

import (
	"fmt"
	"strings"
)

// MethodAuto is the name that Resolve turns into a method by what the graph exposes.
const MethodAuto = "auto"

// Method is a named pair of scorer and policy.
type Method struct {
	Name   string // as on a command line
	Scorer string // "" for auto
	Policy string
	Doc    string // one line
}

var methods = []Method{
	{"none", ScorerNone, PolicyFull, "every sample in every epoch"},
	{"random", ScorerNone, PolicyRandom, "a fresh random share each epoch"},
	{"static", ScorerNone, PolicyStatic, "one random share, drawn once"},
	{"infobatch", ScorerLoss, PolicyInfoBatch, "prune samples below the mean loss at random, up-weight the rest of them"},
	{"seta", ScorerLoss, PolicySeTa, "a window over loss groups that slides from easy to hard"},
	{"bls-infobatch", ScorerBLS, PolicyInfoBatch, "InfoBatch on running batch losses; needs the batch loss only"},
	{"bls-seta", ScorerBLS, PolicySeTa, "SeTa on running batch losses; needs the batch loss only"},
	{"das-infobatch", ScorerDAS, PolicyInfoBatch, "InfoBatch on loss trajectories; made for noisy labels"},
	{"das-seta", ScorerDAS, PolicySeTa, "SeTa on loss trajectories; made for noisy labels"},
	{"epsilon-greedy", ScorerSmoothed, PolicyEpsilonGreedy, "the highest smoothed losses and a few random samples"},
	{"ucb", ScorerSmoothed, PolicyUCB, "the highest smoothed losses plus their deviations"},
	{"repb", ScorerLoss, PolicyRePB, "prune against the mean of the last few batches, weight by how often a sample was taken"},
	{"bls-repb", ScorerBLS, PolicyRePB, "RePB on running batch losses; needs the batch loss only"},
	{MethodAuto, "", PolicyInfoBatch, "das-infobatch if per-sample losses are exposed, bls-infobatch if not"},
}

// Methods lists the named methods. Resolve also takes any other pair as
// SCORER-POLICY, such as das-ucb.
func Methods() []Method { return append([]Method(nil), methods...) }

// Resolve turns a method's name into a scorer and a policy. perSample says
// whether the training graph exposes per-sample losses or logits. why is a
// line for the log. A method that needs per-sample losses and cannot have them
// is an error that wraps ErrNeedsLoss.
func Resolve(name string, perSample bool) (scorer, policy, why string, err error) {
	if name == MethodAuto {
		if perSample {
			return ScorerDAS, PolicyInfoBatch, "auto: DAS with InfoBatch, because the graph exposes per-sample losses or logits", nil
		}
		return ScorerBLS, PolicyInfoBatch, "auto: BLS with InfoBatch, because the graph exposes only the batch loss", nil
	}
	scorer, policy, ok := lookup(name)
	if !ok {
		names := make([]string, len(methods))
		for i, m := range methods {
			names[i] = m.Name
		}
		return "", "", "", fmt.Errorf("prune: method %q: %w: take one of %s, or SCORER-POLICY", name, ErrMethod, strings.Join(names, ", "))
	}
	if !perSample && !scorerOf(scorer).byBatch {
		return "", "", "", fmt.Errorf("prune: method %q: %w, and the graph exposes only the batch loss: take bls-%s", name, ErrNeedsLoss, policy)
	}
	return scorer, policy, fmt.Sprintf("%s: scorer %s, policy %s, as asked", name, scorer, policy), nil
}

func lookup(name string) (scorer, policy string, ok bool) {
	for _, m := range methods {
		if m.Name == name && name != MethodAuto {
			return m.Scorer, m.Policy, true
		}
	}
	for _, s := range scorers {
		rest, cut := strings.CutPrefix(name, s.name+"-")
		if !cut {
			continue
		}
		if p := policyOf(rest); p != nil && (s.make != nil || !p.scores) {
			return s.name, p.name, true
		}
	}
	return "", "", false
}
