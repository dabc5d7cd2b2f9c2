//go:build linux && soak

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/runtime/ortest"
)

const soakEpochs = 200

// load is what a process holds.
type load struct {
	resident              int // KiB
	goroutines, files, os int
}

// least is the lesser of two looks; one that was not taken is none.
func (l load) least(o load) load {
	if l.resident == 0 || o.resident == 0 {
		return load{l.resident + o.resident, l.goroutines + o.goroutines, l.files + o.files, l.os + o.os}
	}
	return load{min(l.resident, o.resident), min(l.goroutines, o.goroutines), min(l.files, o.files), min(l.os, o.os)}
}

func loadNow(t *testing.T) (l load) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		switch f := strings.Fields(line); f[0] {
		case "VmRSS:":
			l.resident, _ = strconv.Atoi(f[1])
		case "Threads:":
			l.os, _ = strconv.Atoi(f[1])
		}
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	l.files, l.goroutines = len(files), runtime.NumGoroutine()
	return l
}

// A long run takes no more memory at its end than after its fifth epoch, and as
// many goroutines and descriptors. What an epoch holds is the least that was seen
// in it: between, a checkpoint is written and images are read ahead. The first seconds
// are left out by epochs that are long enough: until each thread of Go has called
// into ONNX Runtime once, the C library's memory grows with their number.
func TestSoak(t *testing.T) {
	ortest.CPU(t, 1)
	out := filepath.Join(t.TempDir(), "run")
	done := make(chan outcome)
	go func() {
		done <- winnow(t, "train", "--bundle", "mlp", "--data", "glyphs:train=8192,test=256", "--epochs", strconv.Itoa(soakEpochs), "--batch-size", "64",
			"--prune", "bls-infobatch", "--crop-pad", "1", "--device", "cpu", "--threads", "1", "--workers", "2", "--save-every", "1e,90s", "-q", "--out", out)
	}()
	least := map[int]load{} // of each epoch
	for ended := false; !ended; {
		select {
		case o := <-done:
			o.succeeds(t)
			ended = true
		case <-time.After(10 * time.Millisecond):
			lines, _ := os.ReadFile(filepath.Join(out, "metrics.jsonl")) // there may be none yet
			epoch := bytes.Count(lines, []byte("\n")) + 1
			now := loadNow(t)
			if was, ok := least[epoch]; ok {
				now = now.least(was)
			}
			least[epoch] = now
		}
	}
	most := 0
	for epoch := 1; epoch <= soakEpochs; epoch++ {
		most = max(most, least[epoch].resident)
		if epoch%20 == 0 || epoch == 6 {
			t.Logf("epoch %d: %+v", epoch, least[epoch])
		}
	}
	// An epoch takes a tenth of a second, in which a look may always meet the
	// loader at work: five epochs are looked at together. The sixth epoch is what
	// stands after the fifth.
	window := func(from int) load {
		all := least[from]
		for epoch := from + 1; epoch < from+5; epoch++ {
			all = all.least(least[epoch])
		}
		return all
	}
	early, late := window(6), window(soakEpochs-4)
	t.Logf("%d epochs: %d KiB resident after epoch 5, %d KiB at most, %d KiB in the last epoch (%+.1f%%); goroutines %d and %d, descriptors %d and %d, threads %d and %d",
		soakEpochs, early.resident, most, late.resident, 100*float64(late.resident-early.resident)/float64(early.resident),
		early.goroutines, late.goroutines, early.files, late.files, early.os, late.os)
	if early.resident == 0 || late.resident == 0 {
		t.Fatal("an epoch was not seen")
	}
	if late.resident > early.resident+early.resident/20 {
		t.Errorf("memory grew by more than 5%%")
	}
	if late.goroutines > early.goroutines || late.files > early.files {
		t.Errorf("goroutines or descriptors grew")
	}
}
