// Command loading times reading, decoding and augmenting images beside PyTorch's
// DataLoader, and appends the ratios as JSON lines to a file.
//
//	python3 bench/peers/torch_loader.py make bench/images
//	go run ./bench/loading -images bench/images -python python3
//
// Both sides have the same cores, workers, images and transforms, and end in
// batches of uint8 [N, C, H, W]. Without -python only our side is timed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"winnow/bench/measure"
	"winnow/datasets"
	"winnow/loader"
	"winnow/loader/raster"
)

// line is one case's outcome, of images a second; ratios are ours over the
// peer's, the median over rounds.
type line struct {
	Time    string   `json:"time"`
	Command string   `json:"command"`
	CPU     string   `json:"cpu"`
	Workers int      `json:"workers"`
	Rounds  int      `json:"rounds"`
	Case    string   `json:"case"`
	Decoder string   `json:"decoder,omitempty"`
	Scaled  bool     `json:"scaled_decode,omitempty"`
	Ours    float64  `json:"ours_images_per_second"`
	Peer    float64  `json:"peer_images_per_second,omitempty"`
	Ratio   float64  `json:"ratio,omitempty"`
	Ratios  []string `json:"ratios,omitempty"`
	// CPU time of an image on all cores, the main process's included, and the
	// peer's over ours: other work on the machine moves it less than the ratio above.
	OursUser   float64 `json:"ours_user_ms"`
	OursSystem float64 `json:"ours_system_ms"`
	PeerUser   float64 `json:"peer_user_ms,omitempty"`
	PeerSystem float64 `json:"peer_system_ms,omitempty"`
	CPURatio   float64 `json:"cpu_ratio,omitempty"`
	// Half is the time of an epoch over a random half of the samples, over that of a full one.
	Half     float64 `json:"half_plan"`
	Allocs   float64 `json:"allocations_per_sample"`
	Versions string  `json:"versions,omitempty"`
}

// bench is a row of the table of cases.
type bench struct {
	name, spec string // the spec without its path
	batch      int
	pad        int // of raw images; 0 for files
}

var benches = []bench{
	{"jpeg500", "folder", 16, 0}, {"jpeg2048", "folder", 16, 0}, {"idx", "idx", 64, 2}, {"cifar10", "cifar10", 64, 4},
}

type options struct {
	images, python, peer, decoder, out string
	only                               string
	scaled                             bool
	rounds, workers                    int
	seconds                            float64
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("loading: ")
	var o options
	flag.StringVar(&o.images, "images", "bench/images", "folder that bench/peers/torch_loader.py make has filled")
	flag.StringVar(&o.python, "python", "", "a Python with torch and torchvision, to time the peer")
	flag.StringVar(&o.peer, "peer", "bench/peers/torch_loader.py", "the peer's script")
	flag.StringVar(&o.decoder, "decoder", raster.TurboDecoder, "what decodes JPEG: turbo or go")
	flag.BoolVar(&o.scaled, "scaled-decode", true, "shrink large JPEGs as they are decoded")
	flag.StringVar(&o.only, "only", "jpeg500,jpeg2048,idx,cifar10", "cases")
	flag.StringVar(&o.out, "out", "bench/results/loader.jsonl", "file to append results to")
	flag.IntVar(&o.rounds, "rounds", 3, "times each side is run")
	flag.IntVar(&o.workers, "workers", 2, "workers of each side")
	flag.Float64Var(&o.seconds, "seconds", 4, "time a run takes")
	memory := flag.Bool("memory", false, "compare the memory of small and large sets instead")
	resident := flag.String("resident", "", "print the megabytes in memory while this data is read")
	method := flag.String("prune", "none", "of -resident: pruning method")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *resident != "" || *memory {
		f := o.memory
		if *resident != "" {
			f = func(ctx context.Context) error { return o.printResident(ctx, *resident, *method) }
		}
		if err := f(ctx); err != nil {
			log.Fatal(err)
		}
		return
	}
	for _, b := range benches {
		if !strings.Contains(","+o.only+",", ","+b.name+",") {
			continue
		}
		if err := o.run(ctx, b); err != nil {
			log.Fatalf("%s: %v", b.name, err)
		}
	}
}

// run times one case on both sides, in turn.
func (o *options) run(ctx context.Context, b bench) error {
	d, err := datasets.Open(b.spec+":"+filepath.Join(o.images, b.name), datasets.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	l := line{Time: time.Now().UTC().Format(time.RFC3339), CPU: measure.CPU(), Workers: o.workers, Rounds: o.rounds, Case: b.name,
		Command: fmt.Sprintf("bench-loader -rounds %d -seconds %g -workers %d", o.rounds, o.seconds, o.workers)}
	transform, err := o.transform(b, d.Train, &l)
	if err != nil {
		return err
	}
	src, err := loader.NewSource(d.Train, transform)
	if err != nil {
		return err
	}
	ld, err := loader.New(src, loader.Options{BatchSize: b.batch, Workers: o.workers, Shuffle: true})
	if err != nil {
		return err
	}
	t := timer{l: ld, n: src.Len()}
	if _, err := t.epoch(ctx, nil); err != nil { // files get warm, buffers are made
		return err
	}
	var own []rates
	var peer []peerResult
	for range o.rounds {
		r, err := t.measure(ctx, o.seconds)
		if err != nil {
			return err
		}
		own = append(own, r)
		if o.python == "" {
			continue
		}
		p, err := o.timePeer(ctx, b.name)
		if err != nil {
			return err
		}
		peer = append(peer, p)
		l.Ratios, l.Versions = append(l.Ratios, fmt.Sprintf("%.2f", r.rate/p.Rate)), p.Version
	}
	l.sum(own, peer)
	fmt.Printf("%-9s images/s %9.0f, peer %7.0f, ratio %6.2f  CPU ms/image %7.4f, peer %7.4f, ratio %6.2f  half a plan %.3f of an epoch  %.2f allocations/image\n",
		b.name, l.Ours, l.Peer, l.Ratio, l.OursUser+l.OursSystem, l.PeerUser+l.PeerSystem, l.CPURatio, l.Half, l.Allocs)
	return add(o.out, &l)
}

// sum takes the medians over rounds.
func (l *line) sum(own []rates, peer []peerResult) {
	of := func(n int, f func(k int) float64) float64 {
		values := make([]float64, n)
		for k := range values {
			values[k] = f(k)
		}
		return measure.Median(values)
	}
	n := len(own)
	l.Ours, l.Half = of(n, func(k int) float64 { return own[k].rate }), of(n, func(k int) float64 { return own[k].half })
	l.Allocs = of(n, func(k int) float64 { return own[k].allocs })
	l.OursUser, l.OursSystem = of(n, func(k int) float64 { return own[k].user }), of(n, func(k int) float64 { return own[k].system })
	n = len(peer)
	l.Peer, l.Ratio = of(n, func(k int) float64 { return peer[k].Rate }), of(n, func(k int) float64 { return own[k].rate / peer[k].Rate })
	l.PeerUser, l.PeerSystem = of(n, func(k int) float64 { return peer[k].User }), of(n, func(k int) float64 { return peer[k].System })
	l.CPURatio = of(n, func(k int) float64 { return (peer[k].User + peer[k].System) / (own[k].user + own[k].system) })
}

func (o *options) transform(b bench, r loader.Records, l *line) (loader.Transform, error) {
	if b.pad > 0 {
		return loader.Augment{CropPad: b.pad, HFlip: true}.Transform(loader.ShapeOf(r))
	}
	l.Decoder, l.Scaled = o.decoder, o.scaled && o.decoder == raster.TurboDecoder
	return loader.Images{
		Channels: 3, Height: 224, Width: 224, Interpolation: "bilinear", HFlip: 0.5, Decoder: l.Decoder, ScaledDecode: l.Scaled,
		Scale: [2]float64{loader.DefaultScaleLo, loader.DefaultScaleHi}, Ratio: [2]float64{loader.DefaultRatioLo, loader.DefaultRatioHi},
	}.Transform()
}

// timer runs epochs of a loader, whose number goes on.
type timer struct {
	l       *loader.Loader
	n, next int
}

// epoch reads a plan to its end; nil is all samples.
func (t *timer) epoch(ctx context.Context, plan []uint32) (time.Duration, error) {
	t.next++
	start := time.Now()
	it, err := t.l.Epoch(ctx, t.next, plan, nil)
	if err != nil {
		return 0, err
	}
	for {
		if _, err = it.Next(); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return time.Since(start), err
}

// rates are of full epochs, but for half; user and system are milliseconds of an image.
type rates struct{ rate, half, allocs, user, system float64 }

// cpuTime is the time that the process has spent outside the kernel and in it.
func cpuTime() (user, system time.Duration) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
}

// measure reads full epochs and random halves in turn, for so many seconds.
func (t *timer) measure(ctx context.Context, seconds float64) (r rates, err error) {
	rng := rand.New(rand.NewPCG(1, uint64(t.next)))
	var full, half, user, system time.Duration
	var before, after runtime.MemStats
	epochs, allocs := 0, uint64(0)
	for full+half < time.Duration(seconds*float64(time.Second)) || epochs == 0 {
		runtime.ReadMemStats(&before)
		userBefore, systemBefore := cpuTime()
		d, err := t.epoch(ctx, nil)
		if err != nil {
			return r, err
		}
		userAfter, systemAfter := cpuTime()
		user, system = user+userAfter-userBefore, system+systemAfter-systemBefore
		runtime.ReadMemStats(&after)
		allocs += after.Mallocs - before.Mallocs
		full += d
		plan := make([]uint32, t.n/2)
		for i, k := range rng.Perm(t.n)[:len(plan)] {
			plan[i] = uint32(k)
		}
		if d, err = t.epoch(ctx, plan); err != nil {
			return r, err
		}
		half += d
		epochs++
	}
	samples := float64(epochs * t.n)
	return rates{samples / full.Seconds(), half.Seconds() / full.Seconds(), float64(allocs) / samples, 1e3 * user.Seconds() / samples, 1e3 * system.Seconds() / samples}, nil
}

type peerResult struct {
	Rate    float64 `json:"images_per_second"`
	User    float64 `json:"user_ms"`
	System  float64 `json:"system_ms"`
	Version string  `json:"version"`
}

func (o *options) timePeer(ctx context.Context, name string) (r peerResult, err error) {
	cmd := exec.CommandContext(ctx, o.python, o.peer, "time", o.images, name, strconv.Itoa(o.workers), strconv.FormatFloat(o.seconds, 'g', -1, 64))
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("the peer: %w", err)
	}
	return r, json.Unmarshal(text, &r)
}

func add(path string, l any) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
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
