package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"winnow/internal/atomicfile"
	"winnow/internal/files"
	"winnow/onnx/bundle"
	"winnow/onnx/wire"
	"winnow/prune"
)

// verdict is what the content of a file says of its being of a run.
type verdict int

const (
	other  verdict = iota
	fits           // of a run if there is one: a model of ours may stand by itself
	proves         // of a run for certain
)

// judges are the readers of a run's files.
var judges = map[string]func(io.ReaderAt, int64) verdict{
	SummaryFile: judgeSummary, ModelFile: judgeModel, earlierState: judgeCheckpoint,
	earlierPruner: judgePruner, MetricsFile: judgeMetrics, ConfigFile: judgeConfig, ReportFile: judgeReport,
	CSVFile: judgeCSV, EventsFile: judgeEvents,
}

func proven(ok bool) verdict {
	if ok {
		return proves
	}
	return other
}

// earlierRun names the files of the run that a folder holds. A file with such a
// name that no run wrote is an error that wraps ErrForeign.
func earlierRun(dir string) ([]string, error) {
	var run []string
	shown := false
	for _, name := range runFiles {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		v := other
		switch {
		case name == CheckpointDir && info.IsDir():
			if v = judgeGenerations(path); v == fits { // nothing is in it
				continue
			}
		case name != CheckpointDir && info.Mode().IsRegular():
			f, size, err := files.Open(path)
			if err != nil {
				return nil, err
			}
			v = judges[name](f, size)
			if err := f.Close(); err != nil {
				return nil, err
			}
		}
		if v == other {
			return nil, foreign(name)
		}
		run = append(run, name)
		shown = shown || v == proves
	}
	if len(run) == 1 && run[0] == ConfigFile { // of a run that came to nothing more
		return nil, nil
	}
	if len(run) > 0 && !shown {
		return nil, foreign(run[0])
	}
	return run, nil
}

func foreign(name string) error {
	return fmt.Errorf("%w (%s); choose another with --out", ErrForeign, name)
}

// checkSource refuses a run folder that holds what the bundle came from, by
// whatever path or link.
func checkSource(dir, source string) error {
	if source == "" {
		return nil
	}
	from, err := os.Stat(source)
	if err != nil {
		return err
	}
	if atomicfile.Inside(dir, source) {
		return fmt.Errorf("%w (%s, which --bundle names); choose another with --out", ErrForeign, source)
	}
	for _, name := range runFiles {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && os.SameFile(info, from) {
			return fmt.Errorf("%w (%s is %s, which --bundle names); choose another with --out", ErrForeign, name, source)
		}
	}
	return nil
}

func judgeSummary(r io.ReaderAt, size int64) verdict {
	var s struct {
		Runtime *string `json:"onnxruntime_version"`
		Full    *int64  `json:"train_samples_full"`
		Config  struct {
			Epochs    int `json:"epochs"`
			BatchSize int `json:"batch_size"`
			Prune     struct {
				Method string `json:"method"`
			} `json:"prune"`
		} `json:"config"`
	}
	text := make([]byte, min(size, maxSummary+1))
	if _, err := r.ReadAt(text, 0); err != nil && err != io.EOF || len(text) > maxSummary {
		return other
	}
	return proven(json.Unmarshal(text, &s) == nil && s.Runtime != nil && s.Full != nil &&
		s.Config.Epochs >= 1 && s.Config.BatchSize >= 1 && s.Config.Prune.Method != "")
}

// judgeMetrics wants epochs in all lines, but for a last one that was cut.
func judgeMetrics(r io.ReaderAt, size int64) verdict {
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), maxLine)
	v := fits
	for {
		line, err := in.ReadSlice('\n')
		switch head := []byte(`{"epoch":`); {
		case errors.Is(err, io.EOF) && !bytes.HasPrefix(line, head) && !bytes.HasPrefix(head, line):
			return other
		case errors.Is(err, io.EOF):
			return v
		case err != nil || !isEpoch(line):
			return other
		}
		v = proves
	}
}

func isEpoch(line []byte) bool {
	var e struct {
		Epoch    int      `json:"epoch"`
		Accuracy *float64 `json:"test_accuracy"`
		Used     *float64 `json:"samples_used"`
		Total    *float64 `json:"samples_total"`
		Saved    *float64 `json:"saved_ratio"`
		Prune    *float64 `json:"prune_seconds"`
	}
	return json.Unmarshal(line, &e) == nil && e.Epoch >= 1 &&
		e.Accuracy != nil && e.Used != nil && e.Total != nil && e.Saved != nil && e.Prune != nil
}

func judgeCheckpoint(r io.ReaderAt, size int64) verdict {
	meta, err := bundle.Metadata(r, size)
	return proven(err == nil && meta["format"] == earlierFormat)
}

// ReportMark is in every page of this program.
const ReportMark = `<meta name="generator" content="winnow">`

func judgePruner(r io.ReaderAt, _ int64) verdict {
	head := make([]byte, len(prune.StateMagic))
	_, err := r.ReadAt(head, 0)
	return proven(err == nil && string(head) == prune.StateMagic)
}

// judgeGenerations wants nothing but generations, and in these nothing but their
// files; a whole one among them, unless there is none.
func judgeGenerations(dir string) verdict {
	g := generations{realDisk{}, dir}
	names, err := g.disk.List(dir)
	if err != nil {
		return other
	}
	if len(names) == 0 {
		return fits
	}
	v := other
	for _, name := range names {
		if !generationName.MatchString(name) {
			return other
		}
		inside, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil || slices.ContainsFunc(inside, func(e fs.DirEntry) bool {
			return !e.Type().IsRegular() || !slices.Contains(generationFiles, e.Name())
		}) {
			return other
		}
		if _, err := g.read(name, false); err == nil {
			v = proves
		}
	}
	return v
}

func judgeConfig(r io.ReaderAt, _ int64) verdict {
	head := make([]byte, len(ConfigMark))
	if _, err := r.ReadAt(head, 0); err == nil && string(head) == ConfigMark {
		return fits
	}
	return other
}

func judgeModel(r io.ReaderAt, _ int64) verdict {
	if wire.Wrote(r) {
		return fits
	}
	return other
}
