package cli

import (
	"fmt"
	"strconv"
	"strings"

	"winnow/loader"
)

// Presets of --aug.
const (
	augNone     = "none"
	augCIFAR    = "cifar"
	augImageNet = "imagenet"
	augTrivial  = "trivial"
	augRandom   = "randaug"
)

// Policies of --aa beside augNone, augTrivial and augRandom.
const (
	aaImageNet = "imagenet"
	aaCIFAR    = "cifar10"
)

// cifarPad is the padding of He et al. 2015 (arXiv 1512.03385), section 4.2.
const cifarPad = 4

// presetColumn is that of the table in --help.
const presetColumn = 16

// presetText spells out the presets for --help.
func presetText() string {
	var b strings.Builder
	entry(&b, augNone, "files of images as in evaluation, raw images as they are", presetColumn)
	entry(&b, augCIFAR, fmt.Sprintf("--crop-pad %d --hflip 0.5, evaluation --crop-pct 1", cifarPad), presetColumn)
	entry(&b, augImageNet, fmt.Sprintf("random resized crops of --scale %v,%v --ratio %.3g,%.3g, --hflip 0.5, evaluation --crop-pct %v",
		loader.DefaultScaleLo, loader.DefaultScaleHi, loader.DefaultRatioLo, loader.DefaultRatioHi, loader.DefaultCropPct), presetColumn)
	entry(&b, augTrivial, "imagenet with --aa trivial", presetColumn)
	entry(&b, augRandom+":M:N", fmt.Sprintf("imagenet with --aa randaug:M:N, N operations of strength M, 0 to 30; %d:%d where they are left out",
		loader.DefaultRandMagnitude, loader.DefaultRandOps), presetColumn)
	return b.String()
}

// policy is automatic augmentation: fields of loader.Images.
type policy struct {
	auto           string
	magnitude, ops int
}

func (p policy) apply(o *loader.Images) {
	o.Auto, o.AutoMagnitude, o.AutoOps = p.auto, p.magnitude, p.ops
}

// parseRandom reads "randaug:M:N" without its name.
func parseRandom(flag, text string) (p policy, err error) {
	p = policy{loader.RandAugment, loader.DefaultRandMagnitude, loader.DefaultRandOps}
	rest, given := strings.CutPrefix(text, augRandom+":")
	if !given {
		return p, nil
	}
	m, n, both := strings.Cut(rest, ":")
	var errM, errN error
	if p.magnitude, errM = strconv.Atoi(m); both {
		p.ops, errN = strconv.Atoi(n)
	}
	if errM != nil || errN != nil {
		return p, usagef("%s %q: give randaug:STRENGTH:OPERATIONS, such as randaug:9:2", flag, text)
	}
	return p, nil
}

// parsePolicy reads --aa.
func parsePolicy(text string) (policy, error) {
	switch text {
	case "", augNone:
		return policy{}, nil
	case augTrivial:
		return policy{auto: loader.TrivialAugment}, nil
	case aaImageNet:
		return policy{auto: loader.AutoImageNet}, nil
	case aaCIFAR:
		return policy{auto: loader.AutoCIFAR}, nil
	}
	if text == augRandom || strings.HasPrefix(text, augRandom+":") {
		return parseRandom("--aa", text)
	}
	if why := timmPolicy(text); why != "" {
		return policy{}, usagef("--aa %s: %s", text, why)
	}
	return policy{}, oneOf("--aa", text, augNone, aaImageNet, aaCIFAR, augTrivial, augRandom+":M:N")
}

// timmPolicy says why a policy by timm's name is not taken: its operations, their
// strengths and how often they are done are other ones than the papers' and
// torchvision's (timm/data/auto_augment.py).
func timmPolicy(text string) string {
	name, _, _ := strings.Cut(text, "-")
	switch name {
	case "rand":
		near := augRandom + ":30:2" // 10 of 10, timm's default
		for _, part := range strings.Split(text, "-") {
			if m, err := strconv.Atoi(strings.TrimPrefix(part, "m")); err == nil && m >= 0 && m <= 10 {
				near = fmt.Sprintf("%s:%d:2", augRandom, 3*m) // of 30, not of 10
			}
		}
		return "timm's RandAugment has other operations and strengths than torchvision's, which is here; " + near + " is near it"
	case "original", "originalr", "v0", "v0r":
		return "timm's AutoAugment has other strengths than torchvision's, which is here; " + aaImageNet + " is near it"
	case "3a", "augmix":
		return "timm's " + name + " is not here; " + augTrivial + " and " + augRandom + ":M:N are"
	}
	return ""
}

// preset is a parsed --aug.
type preset struct {
	name string // one of the names above, "" where the data decides
	policy
}

// resizes is whether images are cut at random and resized.
func (p preset) resizes() bool {
	return p.name == augImageNet || p.name == augTrivial || p.name == augRandom
}

// parsePreset reads --aug.
func parsePreset(text string) (p preset, err error) {
	if p.name, _, _ = strings.Cut(text, ":"); p.name == augRandom {
		p.policy, err = parseRandom("--aug", text)
		return p, err
	}
	if p.name = text; text == augTrivial {
		p.policy.auto = loader.TrivialAugment
	}
	return p, oneOf("--aug", text, "", augNone, augCIFAR, augImageNet, augTrivial, augRandom)
}
