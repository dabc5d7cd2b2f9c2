package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"codeberg.org/sbinet/npyio/npz"

	"winnow/internal/atomicfile"
	"winnow/loader"
)

// Files of an audit's folder, the one that says that it is whole first.
const (
	auditJSONName  = "audit.json"
	labelsCSVName  = "labels.csv"
	labelsJSONName = "labels.jsonl"
	labelsNPZName  = "labels.npz"
	suspectsHTML   = "suspects.html"
	suspectsPNG    = "suspects.png"
)

var auditFiles = []string{auditJSONName, labelsCSVName, labelsJSONName, labelsNPZName, suspectsHTML, suspectsPNG}

var auditKinds = map[string]kind{auditJSONName: auditJSON, labelsCSVName: labelsCSV, labelsJSONName: labelsJSONL,
	labelsNPZName: labelsNPZ, suspectsHTML: pageFile, suspectsPNG: pngFile}

// takeAuditFolder takes a folder that may hold an earlier audit, and nothing
// else under these names.
func takeAuditFolder(dir string) (*atomicfile.Folder, error) {
	f, err := atomicfile.Take(dir, auditFiles)
	if errors.Is(err, atomicfile.ErrInUse) {
		return nil, fmt.Errorf("audit: folder %q: %w; wait for that audit to end", dir, err)
	} else if err != nil {
		return nil, fmt.Errorf("audit: folder %q: %w", dir, err)
	}
	for name, k := range auditKinds {
		if err := k.replaceable(filepath.Join(dir, name)); err != nil {
			f.Release()
			return nil, err
		}
	}
	return f, nil
}

// auditedSample is a line of labels.jsonl, and of labels.csv.
type auditedSample struct {
	Index     int      `json:"index"`
	File      string   `json:"file"`
	Given     int      `json:"given_label"`
	Predicted int      `json:"predicted_label"` // -1 where the image could not be read
	Issue     bool     `json:"is_label_issue"`
	Quality   *float32 `json:"label_quality"` // probability of the given label
	Suspicion *float32 `json:"suspicion"`     // of the ranking; larger is more suspect
	Confident *float32 `json:"confidence"`    // probability of the predicted label
	DAS       *float32 `json:"das"`
	MeanLoss  *float32 `json:"mean_loss"`
	Deviation *float32 `json:"loss_std"`
	Seen      *int     `json:"times_seen"`
	True      *int64   `json:"true_label,omitempty"` // where the noise is this program's own
}

// sample is what is known of a sample.
func (a *audited) sample(i int) *auditedSample {
	number := func(all []float32) *float32 {
		if all == nil || all[i] != all[i] {
			return nil
		}
		return &all[i]
	}
	k := a.known
	s := &auditedSample{Index: i, Given: int(a.evidence.Given[i]), Issue: a.issues[i], Suspicion: number(a.suspicion),
		DAS: number(k.DAS), MeanLoss: number(k.MeanLoss), Deviation: number(k.Deviation)}
	if l, ok := a.data.records.(loader.Located); ok {
		s.File = l.Where(uint32(i))
	}
	var confidence float32
	if s.Predicted, confidence = a.evidence.Predicted(i); s.Predicted >= 0 {
		s.Confident, s.Quality = &confidence, &a.evidence.Of(i)[s.Given]
	}
	if k.Seen != nil {
		n := int(k.Seen[i])
		s.Seen = &n
	}
	if a.data.wrong != nil {
		label := loader.TrueLabelOf(a.data.records, uint32(i))
		s.True = &label
	}
	return s
}

// write writes the folder.
func (a *audited) write(f *atomicfile.Folder, o auditOptions, pictures *suspects) error {
	for _, file := range []struct {
		name    string
		content func(io.Writer) error
	}{
		{labelsCSVName, a.writeCSV}, {labelsJSONName, a.writeLines}, {labelsNPZName, a.writeNPZ},
		{suspectsHTML, func(w io.Writer) error { return a.writeGallery(w, o, pictures) }}, {suspectsPNG, pictures.writeSheet},
		{auditJSONName, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(a.report(o))
		}},
	} {
		if err := f.Write(file.name, auditKinds[file.name].marked(file.content)); err != nil {
			return fmt.Errorf("audit: write %q: %w", filepath.Join(o.Out, file.name), err)
		}
	}
	return nil
}

func (a *audited) writeLines(w io.Writer) error {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	for _, i := range a.order {
		if err := enc.Encode(a.sample(i)); err != nil {
			return err
		}
	}
	return buf.Flush()
}

func (a *audited) writeCSV(w io.Writer) error {
	buf := bufio.NewWriter(w)
	c := csv.NewWriter(buf)
	head := []string{"index", "file", "given_label", "given_class", "predicted_label", "predicted_class", "is_label_issue", "label_quality",
		"suspicion", "confidence", "das", "mean_loss", "loss_std", "times_seen"}
	if a.data.wrong != nil {
		head = append(head, "true_label")
	}
	if err := c.Write(head); err != nil {
		return err
	}
	real := func(x *float32) string {
		if x == nil {
			return ""
		}
		return strconv.FormatFloat(float64(*x), 'g', -1, 32)
	}
	for _, i := range a.order {
		s := a.sample(i)
		line := []string{strconv.Itoa(s.Index), s.File, strconv.Itoa(s.Given), a.label(s.Given), strconv.Itoa(s.Predicted), a.label(s.Predicted),
			strconv.FormatBool(s.Issue), real(s.Quality), real(s.Suspicion), real(s.Confident), real(s.DAS), real(s.MeanLoss), real(s.Deviation), ""}
		if s.Seen != nil {
			line[len(line)-1] = strconv.Itoa(*s.Seen)
		}
		if s.True != nil {
			line = append(line, strconv.FormatInt(*s.True, 10))
		}
		if err := c.Write(line); err != nil {
			return err
		}
	}
	c.Flush()
	return errors.Join(c.Error(), buf.Flush())
}

func (a *audited) writeNPZ(w io.Writer) error {
	n := a.data.records.Len()
	predicted, confidence, order, true0 := make([]int64, n), make([]float32, n), make([]int64, n), make([]int64, n)
	for i := range n {
		k, p := a.evidence.Predicted(i)
		predicted[i], confidence[i], order[i] = int64(k), p, int64(a.order[i])
		true0[i] = loader.TrueLabelOf(a.data.records, uint32(i))
	}
	k := a.known
	arrays := []struct {
		name  string
		array any
		there bool
	}{
		{"given_label", a.evidence.Given, true}, {"predicted_label", predicted, true}, {"label_quality", a.evidence.SelfConfidence(), true},
		{"is_label_issue", a.issues, true}, {"order", order, true}, {"suspicion", a.suspicion, true}, {"confidence", confidence, true},
		{"das", k.DAS, k.DAS != nil}, {"mean_loss", k.MeanLoss, k.MeanLoss != nil}, {"loss_std", k.Deviation, k.Deviation != nil},
		{"times_seen", k.Seen, k.Seen != nil}, {"true_label", true0, a.data.wrong != nil},
	}
	z := npz.NewWriter(w)
	var err error
	for _, x := range arrays {
		if err == nil && x.there {
			err = z.Write(x.name+".npy", x.array)
		}
	}
	return errors.Join(err, z.Close())
}
