package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"winnow/bench/measure"
	"winnow/datasets"
	"winnow/loader"
	"winnow/prune"
)

// Sizes of sets whose memory is compared: CIFAR's and ImageNet's.
const smallSet, largeSet = 50_000, 1_280_000

// memoryLine is what a run keeps in memory beside its model, after so many batches
// of its second epoch: pages of no file, and those of files, which the system takes
// away where it needs them. Images of a case are read in batches of 64, at 28x28 or
// cut to 224x224, by a plan of a pruner or all.
type memoryLine struct {
	Time    string `json:"time"`
	Command string `json:"command"`
	CPU     string `json:"cpu"`
	Case    string `json:"case"`
	Prune   string `json:"prune"`

	Small resident `json:"at_50000"`
	Large resident `json:"at_1280000"`
	// Growth is the large set's peak over the small one's.
	Growth float64 `json:"growth"`
}

// resident is in megabytes; Peak is the most that belonged to no file at once.
type resident struct {
	Anon float64 `json:"anonymous_mb"`
	Peak float64 `json:"anonymous_peak_mb"`
	File float64 `json:"file_mb"`
}

// memory compares sets of two sizes, each read in a process of its own.
func (o *options) memory(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "winnow-memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, kind := range []struct {
		name string
		make func(dir string, n int) (spec string, err error)
	}{{"memory of idx, 28x28", makeIDX}, {"memory of csv, 224x224", o.makeCSV}} {
		var specs [2]string
		for k, n := range []int{smallSet, largeSet} {
			if specs[k], err = kind.make(filepath.Join(dir, strconv.Itoa(n)), n); err != nil {
				return err
			}
		}
		for _, method := range []string{"none", "das-infobatch"} {
			l := memoryLine{Time: time.Now().UTC().Format(time.RFC3339), Command: "bench-loader -memory", CPU: measure.CPU(), Case: kind.name, Prune: method}
			for k, r := range []*resident{&l.Small, &l.Large} {
				if *r, err = residentOf(ctx, specs[k], method); err != nil {
					return err
				}
			}
			l.Growth = l.Large.Peak / l.Small.Peak
			fmt.Printf("%-22s %-13s at most %.1f MB at %d samples, %.1f at %d: %.3f of it; at the end %.1f and %.1f, pages of files %.1f and %.1f\n",
				l.Case, method, l.Small.Peak, smallSet, l.Large.Peak, largeSet, l.Growth, l.Small.Anon, l.Large.Anon, l.Small.File, l.Large.File)
			if err := add(o.out, &l); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeIDX writes IDX files of black images, whose pages are not on the disk.
func makeIDX(dir string, n int) (string, error) {
	err := os.MkdirAll(dir, 0o777)
	for prefix, n := range map[string]int{"train": n, "t10k": 10} {
		for suffix, dims := range map[string][]int{"images-idx3-ubyte": {n, 28, 28}, "labels-idx1-ubyte": {n}} {
			head, size := []byte{0, 0, 8, byte(len(dims))}, int64(1)
			for _, d := range dims {
				head, size = binary.BigEndian.AppendUint32(head, uint32(d)), size*int64(d)
			}
			name := filepath.Join(dir, prefix+"-"+suffix)
			err = errors.Join(err, os.WriteFile(name, head, 0o666), os.Truncate(name, int64(len(head))+size))
		}
	}
	return "idx:" + dir, err
}

// makeCSV writes a manifest that names the photographs of a case again and again.
func (o *options) makeCSV(dir string, n int) (string, error) {
	root, err := filepath.Abs(filepath.Join(o.images, "jpeg500"))
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(root, "train", "*", "*.jpg"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no photographs in %q", root)
	}
	if err != nil {
		return "", err
	}
	name := dir + ".csv"
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "path,label,split")
	for i := range n + 10 {
		split := "train"
		if i >= n {
			split = "val"
		}
		fmt.Fprintf(w, "%s,%d,%s\n", strings.TrimPrefix(files[i%len(files)], root+"/"), i%1000, split)
	}
	return fmt.Sprintf("csv:%s,root=%s", name, root), errors.Join(w.Flush(), f.Close())
}

// residentOf runs this program on a spec, five times, and gives the medians of what it prints.
func residentOf(ctx context.Context, spec, method string) (r resident, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	var anon, peak, file []float64
	for range 5 {
		cmd := exec.CommandContext(ctx, self, "-resident", spec, "-prune", method)
		cmd.Stderr = os.Stderr
		text, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", spec, err)
		}
		anon, peak, file = append(anon, r.Anon), append(peak, r.Peak), append(file, r.File)
	}
	return resident{measure.Median(anon), measure.Median(peak), measure.Median(file)}, nil
}

// printResident does what a run does with its data, the steps left out: it reads
// batches of two epochs, whose plans are a pruner's, and prints what is resident.
func (o *options) printResident(ctx context.Context, spec, method string) error {
	const batches, batch = 20, 64
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	peak := make(chan float64)
	go func() { peak <- peakOf(ctx) }()
	d, err := datasets.Open(spec, datasets.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	b := bench{pad: 2}
	if c, _, _ := loader.ShapeOf(d.Train); c == 0 {
		b.pad = 0
	}
	transform, err := o.transform(b, d.Train, &line{})
	if err != nil {
		return err
	}
	src, err := loader.NewSource(d.Train, transform)
	if err != nil {
		return err
	}
	ld, err := loader.New(src, loader.Options{BatchSize: batch, Workers: o.workers, Shuffle: true})
	if err != nil {
		return err
	}
	po := prune.Options{Samples: src.Len(), Epochs: 10}
	if po.Scorer, po.Policy, _, err = prune.Resolve(method, true); err != nil {
		return err
	}
	p, err := prune.New(po)
	if err != nil {
		return err
	}
	for epoch := 1; epoch <= 2; epoch++ {
		plan, err := p.Plan(epoch)
		if err != nil {
			return err
		}
		it, err := ld.Epoch(ctx, epoch, plan.Indices, plan.Weights)
		if err != nil {
			return err
		}
		for range batches {
			b, err := it.Next()
			if err != nil {
				return err
			}
			if err := p.RecordLosses(b.Indices, make([]float32, b.N)); err != nil {
				return err
			}
			if method == "none" {
				continue
			}
			if err := p.ObserveSamples(b.Indices, make([]float32, b.N)); err != nil {
				return err
			}
		}
		if err := errors.Join(it.Close(), p.EndEpoch(epoch), p.Save(io.Discard)); err != nil {
			return err
		}
	}
	runtime.GC() // what it needs itself is there in each case then
	var r resident
	if r.Anon, r.File, err = status(); err != nil {
		return err
	}
	stop()
	r.Peak = max(<-peak, r.Anon)
	return json.NewEncoder(os.Stdout).Encode(&r)
}

// peakOf is the most megabytes that belonged to no file until ctx ends, looked at
// again and again.
func peakOf(ctx context.Context) (most float64) {
	for {
		anon, _, err := status()
		if err != nil {
			return 0
		}
		most = max(most, anon)
		select {
		case <-ctx.Done():
			return most
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// status are the megabytes of this process that belong to no file, and to files,
// to the page, which /proc/self/status does not give.
func status() (anon, file float64, err error) {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, 0, err
	}
	for _, of := range []struct {
		name string
		mb   *float64
	}{{"\nAnonymous:", &anon}, {"\nRss:", &file}} {
		_, rest, ok := strings.Cut(string(text), of.name)
		if !ok {
			return 0, 0, errors.New("the system does not say what is resident")
		}
		kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		if err != nil {
			return 0, 0, err
		}
		*of.mb = kb * 1024 / 1e6
	}
	return anon, file - anon, nil
}
