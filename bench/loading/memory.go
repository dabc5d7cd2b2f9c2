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
	"strconv"
	"strings"
	"time"

	"winnow/bench/measure"
	"winnow/datasets"
	"winnow/loader"
)

// Sizes of sets whose memory is compared: CIFAR's and ImageNet's.
const smallSet, largeSet = 50_000, 1_280_000

// memoryLine is what one kind of data keeps in memory: pages that are in use and
// not of a mapped file, after so many batches of the first epoch.
type memoryLine struct {
	Time    string  `json:"time"`
	Command string  `json:"command"`
	CPU     string  `json:"cpu"`
	Case    string  `json:"case"`
	Small   float64 `json:"resident_mb_at_50000"`
	Large   float64 `json:"resident_mb_at_1280000"`
	// Each is the bytes that a sample more costs.
	Each float64 `json:"bytes_a_sample"`
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
	}{{"memory of idx", makeIDX}, {"memory of csv", o.makeCSV}} {
		var mb [2]float64
		for k, n := range []int{smallSet, largeSet} {
			spec, err := kind.make(filepath.Join(dir, strconv.Itoa(n)), n)
			if err != nil {
				return err
			}
			if mb[k], err = residentOf(ctx, spec); err != nil {
				return err
			}
		}
		l := memoryLine{time.Now().UTC().Format(time.RFC3339), "bench-loader -memory", measure.CPU(), kind.name, mb[0], mb[1],
			(mb[1] - mb[0]) * 1e6 / (largeSet - smallSet)}
		fmt.Printf("%-14s %.1f MB at %d samples, %.1f at %d: %.1f bytes a sample\n", l.Case, l.Small, smallSet, l.Large, largeSet, l.Each)
		if err := add(o.out, &l); err != nil {
			return err
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

// residentOf runs this program on a spec and reads the megabytes that it prints.
func residentOf(ctx context.Context, spec string) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "-resident", spec)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", spec, err)
	}
	var mb float64
	return mb, json.Unmarshal(text, &mb)
}

// printResident reads the first batches of an epoch and prints what is resident.
func (o *options) printResident(ctx context.Context, spec string) error {
	const batches = 40
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
	ld, err := loader.New(src, loader.Options{BatchSize: 16, Workers: o.workers, Shuffle: true})
	if err != nil {
		return err
	}
	it, err := ld.Epoch(ctx, 1, nil, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for range batches {
		if _, err := it.Next(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for l := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(l, "RssAnon:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			fmt.Println(kb * 1024 / 1e6)
			return err
		}
	}
	return errors.New("the system does not say what is resident")
}
