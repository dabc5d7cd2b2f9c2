package cli

import (
	"fmt"
	"strconv"
	"strings"

	"winnow/loader"
	runs "winnow/run"
	ortrun "winnow/runtime"
	"winnow/train"
)

// runText says what is about to happen, a line each for what, on what, how and where.
func runText(r *train.Options, pixels string, d *ortrun.Device, out *output) styled {
	m := &r.Bundle.Manifest
	return out.sprintf(`model   %s, %s, %s, %s, %s
data    %s, %s train and %s test images
pixels  %s (%s)
recipe  %s, batch %s%s, lr %g %s, seed %d
device  %s, %s, ONNX Runtime %s`,
		r.BundleName, trainedText(m), optimizerText(m.Optimizer), lossText(m.Loss), precisionText(m.Precision),
		r.Data, countText(int64(r.Train.Len())), countText(int64(r.Test.Len())),
		normalizeText(m.Normalize), pixels,
		counted(r.Epochs, "epoch"), batchText(r), mixText(&r.Mix), r.LearningRate, r.Schedule.Name, r.Seed,
		d.Name(), counted(d.Threads(), "thread"), d.LibraryVersion())
}

// batchText is the size of a batch, and how many make a step.
func batchText(r *train.Options) string {
	if r.Accum > 1 {
		return fmt.Sprintf("%d x %d", r.Accum, r.BatchSize)
	}
	return strconv.Itoa(r.BatchSize)
}

// mixText says how batches are mixed, after a comma; "" where they are not.
func mixText(m *loader.Mix) string {
	var parts []string
	if m.Mixup > 0 {
		parts = append(parts, fmt.Sprintf("mixup %v", m.Mixup))
	}
	if m.Cutmix > 0 {
		parts = append(parts, fmt.Sprintf("cutmix %v", m.Cutmix))
	}
	if len(parts) == 0 {
		return ""
	}
	text := ", " + strings.Join(parts, " or ")
	if m.Prob < 1 {
		text += fmt.Sprintf(" with probability %v", m.Prob)
	}
	return text
}

func printSummary(s *runs.Summary, dir string, out *output) {
	verdict := out.sprintf("%s %s (best %s) after %s", metricHead(s.Metric),
		out.style(styleBold, scoreText(s)), percent(s.BestTestAccuracy), counted(s.Epochs, "epoch"))
	if s.Epochs == 0 {
		verdict = "no epoch finished"
	}
	if s.Interrupted {
		verdict += ", interrupted"
	}
	out.printf("\n%s; %s of %s samples used, %s saved; %s\n", verdict,
		countText(s.TrainSamplesUsed), countText(s.TrainSamplesFull), percent(s.SavedRatio), seconds(s.WallSeconds))
	out.printf("run %s\n", dir)
	if s.Interrupted {
		out.printf("winnow train --resume %s goes on\n", dir)
	}
}
