package bundle

import (
	"fmt"
	"regexp"
	"strings"
)

// Names of losses, as Loss.Name has them.
const (
	CrossEntropy = "cross-entropy"
	BCE          = "bce" // binary cross-entropy with logits
	Focal        = "focal"
	Dice         = "dice"
	MSE          = "mse"
	L1           = "l1"
	Huber        = "huber"
	NoLoss       = "none" // the model ends in its loss
)

// Names of optimizers, as Optimizer.Name has them.
const (
	SGD     = "sgd"
	Adam    = "adam"
	AdamW   = "adamw"
	RMSprop = "rmsprop"
	LARS    = "lars"
	LAMB    = "lamb"
)

// Layouts of images within a training step.
const (
	LayoutAuto     = "auto"     // the last of these that bundle and device have for each other
	LayoutPortable = "portable" // train.onnx
	LayoutNCHWC    = "nchwc"    // blocks of channels: the graph that Manifest.Blocked describes
	LayoutKernels  = "kernels"  // the same with operators of package runtime/kernels, made for a run
)

// Parts of a training graph, as the names of its nodes begin; a node of the
// model keeps its name.
const (
	PartImages  = "images"  // normalises the images
	PartForward = "forward" // stands for a node of the model
	PartBatch   = "batch"   // counts the samples
	PartLoss    = "loss"
	PartGrad    = "grad"   // takes part in the gradient of a node of the model
	PartUpdate  = "update" // is the optimizer's
)

// longestOwner bounds the names that are written into those of many others.
const longestOwner = 200

// NodeName is the name of a node, and of its first output, in a part of the
// graph: "loss.sub_7", and "grad./conv1/Conv.matmul_41" for an owner, the node
// of the model on whose behalf it is there; so a profile can be read by layer.
// An owner of "", or of a very long name, is left out, and so is a part of "".
func NodeName(part, owner, op string, serial int) string {
	var b strings.Builder
	for _, prefix := range []string{part, owner} {
		if prefix != "" && len(prefix) <= longestOwner {
			b.WriteString(prefix)
			b.WriteByte('.')
		}
	}
	fmt.Fprintf(&b, "%s_%d", strings.ToLower(op), serial)
	return b.String()
}

// owned is a name of NodeName that says its owner, with a number behind it
// where the name was taken.
var owned = regexp.MustCompile(`^(` + PartForward + `|` + PartGrad + `)\.(.+)\.[a-z0-9]+_[0-9]+(\.[0-9]+)?$`)

// ParseNodeName is the part of the graph that a node of such a name belongs to
// and the node of the model that it is for, "" where it is for none. A part of
// "" is that of the model's own nodes.
func ParseNodeName(name string) (part, owner string) {
	if found := owned.FindStringSubmatch(name); found != nil {
		return found[1], found[2]
	}
	for _, part := range []string{PartImages, PartForward, PartBatch, PartLoss, PartGrad, PartUpdate} {
		if strings.HasPrefix(name, part+".") {
			return part, ""
		}
	}
	return "", ""
}
