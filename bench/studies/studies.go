package main

import (
	"slices"
	"strings"
)

// study is one table of docs/results.md, or of a task one of docs/tasks.md:
// experiments whose runs are compared together, paired by seed, with full training
// on the same data.
type study struct {
	name, title string
	quick       bool   // of make results-quick
	task        string // what a task is measured by, of make results-tasks; "" for a class
	timed       bool   // its table has seconds, so nothing may run beside it
	experiments []plan
	audits      []plan
	beside      []contrast // methods that are compared with each other
}

// plan is what winnow experiment is told, or, for an audit, winnow train.
type plan struct {
	name string // of its folder, below the study's
	args []string
	more []string // of args what tells its runs from those of the same methods in other plans
}

// method is one of the papers' rows, with the ratios that save about 30, 50 and
// 70% of the samples: InfoBatch prunes only samples below the mean and keeps a
// tenth of them, so BLS saves at most a half with it.
type method struct {
	dir, names, ratios string
	more               []string
}

var (
	windows = []string{"--prune-groups", "5", "--prune-scale", "0.8"}
	methods = []method{
		{"chance", "none,random,static", "0.35,0.58,0.81", nil},
		{"infobatch", "infobatch", "0.5,0.8,0.9", nil},
		{"bls-infobatch", "bls-infobatch", "0.6,0.9", nil},
		{"seta", "seta,bls-seta", "0.05,0.3,0.6", windows},
	}
)

// papers is the shape of the papers' tables.
func papers(train ...string) []plan {
	var plans []plan
	for _, m := range methods {
		plans = append(plans, plan{name: m.dir, args: slices.Concat(train, []string{"--methods", m.names, "--ratios", m.ratios}, m.more)})
	}
	return plans
}

// wrong are the kinds of wrong labels: of the method's paper, and one that
// follows from the image.
const wrong = "symmetric:0.2,symmetric:0.5,symmetric:0.8,asymmetric:0.2,instance:0.4"

// noisy is training on wrong labels, at ratios that save about a third.
func noisy(train ...string) []plan {
	train = append(slices.Clone(train), "--noise", wrong)
	with := func(name, methods, ratio string, flags []string, more ...string) plan {
		return plan{name, slices.Concat(train, []string{"--methods", methods, "--ratios", ratio}, flags, more), more}
	}
	return []plan{
		with("infobatch", "none,infobatch,das-infobatch", "0.5", nil),
		with("seta", "seta,das-seta", "0.1", windows),
		with("holdout", "das-infobatch", "0.5", nil, "--prune-reference", "holdout:0.01"),
		with("holdout-seta", "das-seta", "0.1", windows, "--prune-reference", "holdout:0.01"),
		with("pseudo", "das-infobatch", "0.5", nil, "--prune-reference", "pseudo:0.01"),
		with("pseudo-seta", "das-seta", "0.1", windows, "--prune-reference", "pseudo:0.01"),
		with("rescaled", "das-infobatch", "0.5", nil, "--prune-rescale", "sample"),
		with("not-rescaled", "infobatch", "0.5", nil, "--prune-rescale", "none"),
	}
}

// memorised is training on so few images, half of them with wrong labels, that
// full training learns these by heart.
func memorised(train ...string) []plan {
	train = append(slices.Clone(train), "--limit-train", "5000", "--noise", "symmetric:0.5")
	return []plan{
		{name: "infobatch", args: slices.Concat(train, []string{"--methods", "none,infobatch,das-infobatch", "--ratios", "0.5"})},
		{name: "seta", args: slices.Concat(train, []string{"--methods", "seta,das-seta", "--ratios", "0.1"}, windows)},
		{name: "chance", args: slices.Concat(train, []string{"--methods", "random", "--ratios", "0.29"})},
	}
}

func recipe(bundle, data, epochs, seeds string) []string {
	return []string{"--bundle", bundle, "--data", data, "--epochs", epochs, "--seed", "1", "--seeds", seeds}
}

// audited is full training on wrong labels, whose losses are recorded.
func audited(bundle, epochs string) []plan {
	var plans []plan
	for _, kind := range []string{"symmetric:0.2", "asymmetric:0.2", "instance:0.4"} {
		plans = append(plans, plan{name: strings.ReplaceAll(kind, ":", "-"),
			args: []string{"--bundle", bundle, "--data", "fashion-mnist:noise=" + kind, "--epochs", epochs, "--seed", "1", "--prune", "das-full"}})
	}
	return plans
}

// mnist is where make results links the files of the module that has them.
const mnist = "mnist:runs/mnist"

// studies are run from first to last: what tells most for its time comes first.
var studies = []study{
	{name: "quick", title: "mlp on Fashion-MNIST, three seeds", quick: true, experiments: []plan{
		{name: "all", args: append(recipe("mlp", "fashion-mnist", "10", "3"), "--methods", "none,random,infobatch,bls-infobatch", "--ratios", "0.5")},
	}},
	{name: "fashion-mlp", title: "mlp on Fashion-MNIST", experiments: papers(recipe("mlp", "fashion-mnist", "30", "5")...), beside: besideChance},
	{name: "noise-mlp", title: "mlp on Fashion-MNIST with wrong labels", experiments: noisy(recipe("mlp", "fashion-mnist", "30", "5")...), beside: besideHosts()},
	{name: "noise-small", title: "mlp on 5,000 images with wrong labels", experiments: memorised(recipe("mlp", "fashion-mnist", "60", "5")...), beside: []contrast{
		{"infobatch/runs/das-infobatch-nsymmetric-0.5-r0.5", "infobatch/runs/infobatch-nsymmetric-0.5-r0.5"},
		{"seta/runs/das-seta-nsymmetric-0.5-r0.1", "seta/runs/seta-nsymmetric-0.5-r0.1"},
		{"infobatch/runs/das-infobatch-nsymmetric-0.5-r0.5", "chance/runs/random-nsymmetric-0.5-r0.29"},
		{"seta/runs/das-seta-nsymmetric-0.5-r0.1", "chance/runs/random-nsymmetric-0.5-r0.29"},
	}},
	{name: "audit-mlp", title: "mlp on Fashion-MNIST with wrong labels", audits: audited("mlp", "30")},
	{name: "time", title: "lenet on Fashion-MNIST", timed: true, experiments: []plan{
		{name: "lenet", args: append(recipe("lenet", "fashion-mnist", "6", "3"), "--methods", "none,random,infobatch,bls-infobatch,seta,das-infobatch", "--ratios", "0.5")},
	}},
	{name: "mnist-mlp", title: "mlp on MNIST", experiments: papers(recipe("mlp", mnist, "30", "5")...), beside: besideChance},
	{name: "fashion-lenet", title: "lenet on Fashion-MNIST", experiments: papers(recipe("lenet", "fashion-mnist", "30", "5")...), beside: besideChance},
	{name: "mnist-lenet", title: "lenet on MNIST", experiments: papers(recipe("lenet", mnist, "10", "5")...), beside: besideChance},
	{name: "noise-lenet", title: "lenet on Fashion-MNIST with wrong labels", experiments: noisy(recipe("lenet", "fashion-mnist", "20", "3")...), beside: besideHosts()},
	{name: "audit-lenet", title: "lenet on Fashion-MNIST with wrong labels", audits: audited("lenet", "20")},
	{name: "fashion-resnet8", title: "resnet8 on Fashion-MNIST", experiments: papers(recipe("resnet8", "fashion-mnist", "15", "5")...), beside: besideChance},
	{name: "mnist-resnet8", title: "resnet8 on MNIST", experiments: papers(recipe("resnet8", mnist, "10", "5")...), beside: besideChance},
	{name: "task-labels", title: "several labels", task: "mAP, %", experiments: byBatchLoss("multi,train=10000,test=2000", "64", "--bundle", "lenet", "--loss", "bce", "--batch-loss-only")},
	{name: "task-pose", title: "position and angle", task: "R2, %", experiments: byBatchLoss("pose,train=10000,test=2000", "64", "--bundle", "lenet", "--num-classes", "3", "--loss", "mse", "--batch-loss-only")},
	{name: "task-boxes", title: "a detector with its loss inside", task: "test loss",
		experiments: byBatchLoss("boxes,size=32,train=10000,test=2000", "64", "--bundle", "onnx/export/testdata/detect.onnx", "--loss", "none")},
	{name: "task-masks", title: "a class for each pixel", task: "mean IoU, %",
		experiments: byBatchLoss("mask,train=2500,test=500", "32", "--bundle", "unet", "--class-weights", "0.1,1,1,1,1,1,1,1,1,1,1", "--batch-loss-only")},
}

// byBatchLoss is a task of generated characters in full, and pruned by the batch's
// loss alone at ratios that save about 20 and 35%, beside full training on as many
// samples.
func byBatchLoss(task, batch string, model ...string) []plan {
	args := append(model, "--data", "glyphs:task="+task, "--opt", "adam", "--lr", "0.002", "--weight-decay", "0",
		"--batch-size", batch, "--epochs", "15", "--seed", "1", "--seeds", "3", "--methods", "none,bls-infobatch", "--ratios", "0.4,0.7", "--budget")
	return []plan{{name: "all", args: args}}
}
