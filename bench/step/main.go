// Command step times one training step of the benchmark models, ours and
// PyTorch's in turn, and appends the ratios as JSON lines to a file.
//
//	python3 bench/peers/torch_step.py export bench/models
//	go run ./bench/step -models bench/models -python python3
//
// Each round runs every side in a process of its own, so that peak memory is
// that of the side alone. Without -python only our side is timed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"winnow/bench/measure"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// line is one model's outcome; ratios are ours over PyTorch's, the median over rounds.
type line struct {
	Time     string   `json:"time"`
	Command  string   `json:"command"`
	CPU      string   `json:"cpu"`
	Threads  int      `json:"threads"`
	Rounds   int      `json:"rounds"`
	Model    string   `json:"model"`
	Batch    int      `json:"batch"`
	OursMS   float64  `json:"ours_ms"`
	PeerMS   float64  `json:"peer_ms,omitempty"`
	Ratio    float64  `json:"ratio,omitempty"`
	Ratios   []string `json:"ratios,omitempty"`
	OursMB   float64  `json:"ours_mb"`
	PeerMB   float64  `json:"peer_mb,omitempty"`
	Versions string   `json:"versions"`
}

// Models and their batch sizes: the benchmark's own, and further ones of torchvision to name with -only.
var batches = map[string]int{
	"mlp": 128, "lenet": 128, "resnet8": 128, "resnet20": 128, "resnet18": 64,
	"mobilenet_v2": 16, "mnasnet1_0": 16, "efficientnet_b0": 16, "resnext50_32x4d": 16, "densenet121": 16,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("step: ")
	models := flag.String("models", "bench/models", "folder of NAME.onnx, made by bench/peers/torch_step.py export")
	python := flag.String("python", "", "a Python with torch, to time the peer")
	peer := flag.String("peer", "bench/peers/torch_step.py", "the peer's script")
	names := flag.String("only", "mlp,lenet,resnet8,resnet20,resnet18", "models")
	rounds := flag.Int("rounds", 5, "times each side is run")
	seconds := flag.Float64("seconds", 3, "time a run steps for")
	threads := flag.Int("threads", 2, "threads of each side")
	out := flag.String("out", "bench/results/step.jsonl", "file to append results to")
	one := flag.String("one", "", "time our side of one model and print it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *one != "" {
		r, err := ours(filepath.Join(*models, *one+".onnx"), *one, batches[*one], *threads, *seconds)
		if err != nil {
			log.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			log.Fatal(err)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range strings.Split(*names, ",") {
		if batches[name] == 0 {
			log.Fatalf("model %q is not of the benchmark", name)
		}
		l := line{
			Time: time.Now().UTC().Format(time.RFC3339), Command: fmt.Sprintf("bench-step -rounds %d -seconds %g -threads %d", *rounds, *seconds, *threads),
			CPU: measure.CPU(), Threads: *threads, Rounds: *rounds, Model: name, Batch: batches[name],
		}
		env := []string{fmt.Sprintf("WINNOW_THREADS=%d", *threads), fmt.Sprintf("OMP_NUM_THREADS=%d", *threads)}
		var own, other, ownMB, otherMB, ratios []float64
		for range *rounds {
			seconds := strconv.FormatFloat(*seconds, 'g', -1, 64)
			a, err := measure.Child(ctx, env, self, "-one", name, "-models", *models, "-threads", strconv.Itoa(*threads), "-seconds", seconds)
			if err != nil {
				log.Fatal(err)
			}
			own, ownMB, l.Versions = append(own, a.MedianMS), append(ownMB, a.PeakMB), a.Version
			if *python == "" {
				continue
			}
			b, err := measure.Child(ctx, env, *python, *peer, "time", name, seconds)
			if err != nil {
				log.Fatal(err)
			}
			other, otherMB = append(other, b.MedianMS), append(otherMB, b.PeakMB)
			ratios = append(ratios, a.MedianMS/b.MedianMS)
			l.Ratios = append(l.Ratios, fmt.Sprintf("%.3f", a.MedianMS/b.MedianMS))
			l.Versions = a.Version + ", " + b.Version
		}
		l.OursMS, l.OursMB = measure.Median(own), measure.Median(ownMB)
		l.PeerMS, l.PeerMB, l.Ratio = measure.Median(other), measure.Median(otherMB), measure.Median(ratios)
		text, err := json.Marshal(l)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%-9s ours %8.2f ms  peer %8.2f ms  ratio %.3f  memory %.0f and %.0f MB\n", name, l.OursMS, l.PeerMS, l.Ratio, l.OursMB, l.PeerMB)
		if err := add(*out, text); err != nil {
			log.Fatal(err)
		}
	}
}

func add(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

// ours times steps of a model made into a bundle with the peer's recipe.
func ours(path, name string, batch, threads int, seconds float64) (*measure.Result, error) {
	m, err := wire.Read(path)
	if err != nil {
		return nil, err
	}
	d, err := ortrun.Open(ortrun.Options{Device: "cpu", Threads: threads})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := measure.Bundle(m, name, d.ConvBlock())
	if err != nil {
		return nil, err
	}
	s, err := measure.NewStepper(d, b, batch)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	times, err := s.Time(seconds)
	if err != nil {
		return nil, err
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return nil, err
	}
	return &measure.Result{
		Model: name, Batch: batch, Steps: len(times), MedianMS: measure.Median(times), MinMS: times[0],
		PeakMB: float64(usage.Maxrss) / 1024, Version: "ONNX Runtime " + d.LibraryVersion(),
	}, nil
}
