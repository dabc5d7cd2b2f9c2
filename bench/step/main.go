// Command step times one training step of the benchmark models, ours and the
// four ways to run PyTorch on a CPU in turn, and appends the ratios as JSON
// lines to a file.
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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"winnow/bench/measure"
	"winnow/onnx/wire"
	ortrun "winnow/runtime"
)

// line is one model's outcome. Ratios are ours over the way of PyTorch with
// the smallest median, round by round, and Ratio is their median.
type line struct {
	Time     string          `json:"time"`
	Command  string          `json:"command"`
	CPU      string          `json:"cpu"`
	Threads  int             `json:"threads"`
	Rounds   int             `json:"rounds"`
	Model    string          `json:"model"`
	Batch    int             `json:"batch"`
	Ours     side            `json:"ours"`
	Peers    map[string]side `json:"peers,omitempty"`
	Fastest  string          `json:"fastest,omitempty"`
	Ratio    float64         `json:"ratio,omitempty"`
	Ratios   []string        `json:"ratios,omitempty"`
	Eager    float64         `json:"eager_ratio,omitempty"`
	Memory   float64         `json:"memory_ratio,omitempty"`
	Versions string          `json:"versions"`
}

// side is one way to run the step: medians over rounds, and the time to the end
// of the first step in the first round, when nothing is in a compiler's cache.
type side struct {
	MS      float64 `json:"ms"`
	FirstMS float64 `json:"first_ms"`
	MB      float64 `json:"mb"`

	times, peaks []float64
}

func (s *side) add(r measure.Result) {
	if len(s.times) == 0 {
		s.FirstMS = r.FirstMS
	}
	s.times, s.peaks = append(s.times, r.MedianMS), append(s.peaks, r.PeakMB)
	s.MS, s.MB = measure.Median(s.times), measure.Median(s.peaks)
}

// ways are the peer's, the last argument of its script; -ways takes fewer.
var ways = []string{"eager", "channels_last", "compile", "both"}

// Models and their batch sizes: the benchmark's own, and further ones of torchvision and timm to name with -only.
var batches = map[string]int{
	"mlp": 128, "lenet": 128, "resnet8": 128, "resnet20": 128, "resnet18": 64,
	"mobilenet_v2": 16, "mnasnet1_0": 16, "efficientnet_b0": 16, "resnext50_32x4d": 16, "densenet121": 16,
	"vit_tiny": 16, "convnext_atto": 16,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("step: ")
	models := flag.String("models", "bench/models", "folder of NAME.onnx, made by bench/peers/torch_step.py export")
	python := flag.String("python", "", "a Python with torch, to time the peer")
	peer := flag.String("peer", "bench/peers/torch_step.py", "the peer's script")
	names := flag.String("only", "mlp,lenet,resnet8,resnet20,resnet18,mobilenet_v2,efficientnet_b0,densenet121,resnext50_32x4d,vit_tiny,convnext_atto", "models")
	some := flag.String("ways", strings.Join(ways, ","), "ways of the peer to time, eager among them: the two that compile take a minute each")
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
	if ways = strings.Split(*some, ","); !slices.Contains(ways, "eager") {
		log.Fatalf("-ways %s is without eager, which every ratio is given beside", *some)
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
			Time: time.Now().UTC().Format(time.RFC3339), Command: fmt.Sprintf("bench-step -rounds %d -seconds %g -threads %d -ways %s", *rounds, *seconds, *threads, *some),
			CPU: measure.CPU(), Threads: *threads, Rounds: *rounds, Model: name, Batch: batches[name],
		}
		if err := l.measure(ctx, self, *models, *python, *peer, strconv.FormatFloat(*seconds, 'g', -1, 64)); err != nil {
			log.Fatal(err)
		}
		text, err := json.Marshal(l)
		if err != nil {
			log.Fatal(err)
		}
		l.print()
		if err := add(*out, text); err != nil {
			log.Fatal(err)
		}
	}
}

// measure runs the sides round by round, none twice before each has run once.
func (l *line) measure(ctx context.Context, self, models, python, peer, seconds string) error {
	cache, err := os.MkdirTemp("", "winnow-bench-step-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	threads := strconv.Itoa(l.Threads)
	env := []string{"WINNOW_THREADS=" + threads, "OMP_NUM_THREADS=" + threads, "TORCHINDUCTOR_CACHE_DIR=" + cache}
	peers := map[string]*side{}
	for range l.Rounds {
		r, err := measure.Child(ctx, env, self, "-one", l.Model, "-models", models, "-threads", threads, "-seconds", seconds)
		if err != nil {
			return err
		}
		l.Ours.add(r)
		l.Versions = r.Version
		if python == "" {
			continue
		}
		for _, way := range ways {
			p, err := measure.Child(ctx, env, python, peer, "time", l.Model, seconds, way)
			if err != nil {
				return err
			}
			if peers[way] == nil {
				peers[way] = &side{}
			}
			peers[way].add(p)
			l.Versions = r.Version + ", " + p.Version
		}
	}
	l.compare(peers)
	return nil
}

func (l *line) compare(peers map[string]*side) {
	for _, way := range ways {
		p := peers[way]
		if p == nil {
			return
		}
		if l.Peers == nil {
			l.Peers = map[string]side{}
		}
		l.Peers[way] = *p
		if l.Fastest == "" || p.MS < l.Peers[l.Fastest].MS {
			l.Fastest = way
		}
	}
	ratios := l.ratios(*peers[l.Fastest])
	for _, r := range ratios {
		l.Ratios = append(l.Ratios, fmt.Sprintf("%.3f", r))
	}
	l.Ratio, l.Eager = measure.Median(ratios), measure.Median(l.ratios(*peers["eager"]))
	l.Memory = l.Ours.MB / peers[l.Fastest].MB
}

func (l *line) ratios(peer side) []float64 {
	r := make([]float64, len(peer.times))
	for i := range r {
		r[i] = l.Ours.times[i] / peer.times[i]
	}
	return r
}

func (l *line) print() {
	fmt.Printf("%-15s ours %9.2f ms, first step after %6.0f ms, %5.0f MB\n", l.Model, l.Ours.MS, l.Ours.FirstMS, l.Ours.MB)
	for _, way := range ways {
		if p, ok := l.Peers[way]; ok {
			fmt.Printf("  %-13s     %9.2f ms, first step after %6.0f ms, %5.0f MB\n", way, p.MS, p.FirstMS, p.MB)
		}
	}
	if l.Fastest != "" {
		fmt.Printf("  over %-13s %.3f (%s); over eager %.3f; memory %.2f\n", l.Fastest, l.Ratio, strings.Join(l.Ratios, ", "), l.Eager, l.Memory)
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
	begin := time.Now()
	m, err := wire.Read(path)
	if err != nil {
		return nil, err
	}
	d, err := ortrun.Open(ortrun.Options{Device: "cpu", Threads: threads})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := measure.Bundle(m, name, measure.Blocks(d))
	if err != nil {
		return nil, err
	}
	s, err := measure.NewStepper(d, b, batch)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if _, err := s.Step(); err != nil {
		return nil, err
	}
	first := time.Since(begin)
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
		FirstMS: first.Seconds() * 1e3,
		PeakMB:  float64(usage.Maxrss) / 1024, Version: "ONNX Runtime " + d.LibraryVersion(),
	}, nil
}
