package run

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"winnow/internal/files"
	"winnow/internal/tfevents"
)

// Files that have the numbers of metrics.jsonl for others to read. They follow
// it: each is written anew from it once a run begins or goes on.
const (
	CSVFile    = "metrics.csv"
	EventsFile = "events.out.tfevents.winnow" // TensorBoard finds files with tfevents in their names
)

// epochColumns are the numbers of an epoch by their names in metrics.jsonl, in
// its order.
var epochColumns = columnsOf(reflect.TypeFor[Epoch](), nil)

type epochColumn struct {
	name  string
	index []int // of the field
}

func columnsOf(t reflect.Type, at []int) (list []epochColumn) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), at...), i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			list = append(list, columnsOf(f.Type, index)...)
		case f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.Float64:
			list = append(list, epochColumn{name, index})
		}
	}
	return list
}

// value is the number of an epoch.
func (c *epochColumn) value(e *Epoch) float64 {
	v := reflect.ValueOf(e).Elem().FieldByIndex(c.index)
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

// logs are the files for others while a run is at work.
type logs struct {
	csv    bytes.Buffer
	extra  []string // names of test_metrics, of a task that is no class
	train  []string // names of train_metrics
	events bool     // it is there, whole so far
}

// Log writes an epoch, which is the last of metrics.jsonl, to metrics.csv, and
// with events to the event file; now is when it ended.
func (f *Folder) Log(e Epoch, events bool, now time.Time) error {
	if f.logs.csv.Len() == 0 {
		if err := f.beginLogs(events, now); err != nil {
			return err
		}
	} else {
		f.logs.row(&e)
	}
	if err := f.WriteBytes(CSVFile, f.logs.csv.Bytes()); err != nil || !events {
		return err
	}
	if !f.logs.events {
		f.logs.events = true // beginLogs has written it
		return nil
	}
	file, err := f.disk.Append(f.held.Path(EventsFile))
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := errors.Join(writeAll(file, appendScalars(nil, &e, seconds(now))), file.Close()); err != nil {
		return fmt.Errorf("run: writing %q: %w", filepath.Join(f.dir, EventsFile), err)
	}
	return nil
}

// beginLogs takes over the epochs that metrics.jsonl has. What is there under
// the names and is not a run's is an error that wraps ErrForeign.
func (f *Folder) beginLogs(events bool, now time.Time) error {
	for _, name := range []string{CSVFile, EventsFile} {
		file, size, err := files.Open(f.held.Path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("run: %q: %w: %s: %w", f.dir, ErrBadRun, name, reason(err))
		}
		v := judges[name](file, size)
		if err := file.Close(); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		if v == other {
			return fmt.Errorf("run: folder %q: %w (%s); move it away", f.dir, ErrForeign, name)
		}
	}
	epochs, err := readMetrics(f.held.Path(MetricsFile), maxEpochs)
	if err != nil {
		return fmt.Errorf("run: %q: %w", f.dir, err)
	}
	if n := len(epochs); n > 0 {
		f.logs.extra = slices.Sorted(maps.Keys(epochs[n-1].TestMetrics))
		f.logs.train = slices.Sorted(maps.Keys(epochs[n-1].TrainMetrics))
	}
	f.logs.head()
	wall := seconds(now)
	for i := range epochs {
		f.logs.row(&epochs[i])
		wall -= epochs[i].WallSeconds
	}
	if !events {
		return nil
	}
	data := tfevents.AppendVersion(nil, wall)
	for i := range epochs {
		wall += epochs[i].WallSeconds
		data = appendScalars(data, &epochs[i], wall)
	}
	return f.WriteBytes(EventsFile, data)
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func (l *logs) head() {
	names := make([]string, len(epochColumns))
	for i := range epochColumns {
		names[i] = epochColumns[i].name
	}
	names = append(names, l.extra...)
	for _, name := range l.train {
		names = append(names, "train "+name)
	}
	l.line(names)
}

func (l *logs) row(e *Epoch) {
	values := make([]string, len(epochColumns))
	for i := range epochColumns {
		values[i] = strconv.FormatFloat(epochColumns[i].value(e), 'g', -1, 64)
	}
	for _, name := range l.extra {
		values = append(values, strconv.FormatFloat(e.TestMetrics[name], 'g', -1, 64))
	}
	for _, name := range l.train {
		values = append(values, strconv.FormatFloat(e.TrainMetrics[name], 'g', -1, 64))
	}
	l.line(values)
}

func (l *logs) line(fields []string) {
	w := csv.NewWriter(&l.csv)
	_ = w.Write(fields) // to memory
	w.Flush()
}

// appendScalars appends the numbers of an epoch, times apart from the others.
func appendScalars(dst []byte, e *Epoch, wall float64) []byte {
	var scalars []tfevents.Scalar
	for i := range epochColumns {
		c := &epochColumns[i]
		if c.name == "epoch" {
			continue
		}
		tag := "epoch/" + c.name
		if of, ok := strings.CutSuffix(c.name, "_seconds"); ok {
			tag = "seconds/" + of
		}
		scalars = append(scalars, tfevents.Scalar{Tag: tag, Value: float32(c.value(e))})
	}
	for _, name := range slices.Sorted(maps.Keys(e.TestMetrics)) {
		scalars = append(scalars, tfevents.Scalar{Tag: "metrics/" + name, Value: float32(e.TestMetrics[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(e.TrainMetrics)) {
		scalars = append(scalars, tfevents.Scalar{Tag: "train/" + name, Value: float32(e.TrainMetrics[name])})
	}
	return tfevents.AppendScalars(dst, wall, int64(e.Epoch), scalars)
}

// judgeCSV wants the columns with which every version's began.
func judgeCSV(r io.ReaderAt, size int64) verdict {
	return judgeHead(r, size, func(head []byte) bool { return bytes.HasPrefix(head, []byte("epoch,train_loss,test_loss,")) })
}

func judgeEvents(r io.ReaderAt, size int64) verdict { return judgeHead(r, size, tfevents.Is) }

func judgeReport(r io.ReaderAt, size int64) verdict {
	return judgeHead(r, size, func(head []byte) bool { return bytes.Contains(head, []byte(ReportMark)) })
}

// judgeHead is for files that may stand by themselves, known by how they begin.
func judgeHead(r io.ReaderAt, size int64, is func(head []byte) bool) verdict {
	head := make([]byte, min(size, 4096))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF || !is(head) {
		return other
	}
	return fits
}
