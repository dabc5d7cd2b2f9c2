package main

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"winnow/eval"
	"winnow/run"
)

// contrast is two methods that are compared with each other, not with full
// training: folders of runs below the study's, without the seed.
type contrast struct{ of, to string }

// besideChance are the methods of the papers beside chance at about the same
// share of samples, and what the batch's loss costs beside that of each sample.
var besideChance = []contrast{
	{"infobatch/runs/infobatch-r0.5", "chance/runs/random-r0.35"},
	{"infobatch/runs/infobatch-r0.8", "chance/runs/random-r0.58"},
	{"infobatch/runs/infobatch-r0.9", "chance/runs/random-r0.81"},
	{"seta/runs/seta-r0.05", "chance/runs/random-r0.35"},
	{"seta/runs/seta-r0.3", "chance/runs/random-r0.58"},
	{"seta/runs/seta-r0.6", "chance/runs/random-r0.81"},
	{"bls-infobatch/runs/bls-infobatch-r0.6", "chance/runs/random-r0.35"},
	{"seta/runs/bls-seta-r0.6", "chance/runs/random-r0.81"},
	{"bls-infobatch/runs/bls-infobatch-r0.6", "infobatch/runs/infobatch-r0.5"},
	{"seta/runs/bls-seta-r0.3", "seta/runs/seta-r0.3"},
	{"chance/runs/random-r0.58", "chance/runs/static-r0.58"},
}

// besideHosts are, for each kind of wrong labels, DAS beside the method that it is
// put before, its other references and rescaling beside its defaults, and
// InfoBatch without rescaling.
func besideHosts() (list []contrast) {
	for kind := range strings.SplitSeq(wrong, ",") {
		n := "-n" + strings.ReplaceAll(kind, ":", "-")
		infobatch, seta := "infobatch"+n+"-r0.5", "seta"+n+"-r0.1"
		das := "infobatch/runs/das-" + infobatch
		list = append(list, contrast{das, "infobatch/runs/" + infobatch})
		for _, other := range []string{"holdout", "pseudo", "rescaled"} {
			list = append(list, contrast{other + "/runs/das-" + infobatch, das})
		}
		list = append(list, contrast{"not-rescaled/runs/" + infobatch, "infobatch/runs/" + infobatch})
		for _, reference := range []string{"seta", "holdout-seta", "pseudo-seta"} {
			list = append(list, contrast{reference + "/runs/das-" + seta, "seta/runs/" + seta})
		}
	}
	return list
}

// besideTable is a study's contrasts as Markdown, "" where no seed of two has both runs.
func (p *program) besideTable(s study) (string, error) {
	var t strings.Builder
	full, err := p.samplesInFull(s)
	if err != nil {
		return "", err
	}
	for _, c := range s.beside {
		of, err := p.ofSeed(s, c.of)
		if err != nil {
			return "", err
		}
		to, err := p.ofSeed(s, c.to)
		if err != nil {
			return "", err
		}
		var differences, saved, savedTo []float64
		for _, seed := range slices.Sorted(maps.Keys(of)) {
			r, b := of[seed], to[seed]
			if b == nil || full[r.Data] == 0 {
				continue
			}
			share := func(s *run.Summary) float64 { return 1 - float64(s.TrainSamplesUsed)/full[r.Data] }
			differences = append(differences, r.TestAccuracy-b.TestAccuracy)
			saved, savedTo = append(saved, share(r)), append(savedTo, share(b))
		}
		if len(differences) < 2 {
			continue
		}
		d := eval.Paired(differences)
		if d.Low == nil {
			continue
		}
		if t.Len() == 0 {
			t.WriteString("\nBeside each other, by the same test:\n\n| method | beside | seeds | difference, points | 95% interval | samples saved by either |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
		}
		fmt.Fprintf(&t, "| %s | %s | %d | %+.2f | %+.2f to %+.2f | %.1f%%, %.1f%% |\n", s.nameOf(c.of), s.nameOf(c.to), d.Pairs,
			100*d.Mean, 100**d.Low, 100**d.High, 100*eval.MomentsOf(saved).Mean, 100*eval.MomentsOf(savedTo).Mean)
	}
	return t.String(), nil
}

// runFolder is how an experiment calls a run, without its seed.
var runFolder = regexp.MustCompile(`^(.*?)(?:-n([a-z]+)-([0-9.]+))?-r([0-9.]+)$`)

// nameOf calls the runs of a contrast as the table of the study does.
func (s study) nameOf(folder string) string {
	m := runFolder.FindStringSubmatch(path.Base(folder))
	if m == nil {
		return folder
	}
	name := m[1] + " ratio=" + m[4]
	if m[2] != "" { // whose ratio is the method's only one
		name = m[1] + " noise=" + m[2] + ":" + m[3]
	}
	experiment, _, _ := strings.Cut(folder, "/")
	for _, e := range s.experiments {
		for k := 0; e.name == experiment && k+1 < len(e.more); k += 2 {
			name += " " + strings.TrimPrefix(e.more[k], "--prune-") + "=" + e.more[k+1]
		}
	}
	return name
}

// samplesInFull is how many samples full training used, by the data: what is saved
// is a share of them, as in the table of the study, also for a run that holds
// samples out.
func (p *program) samplesInFull(s study) (map[string]float64, error) {
	runs, _, err := p.finished(s)
	if err != nil {
		return nil, err
	}
	full := map[string]float64{}
	for _, dir := range runs {
		r, err := run.Read(dir)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(filepath.Base(dir), "none-") {
			full[r.Summary.Data] = float64(r.Summary.TrainSamplesUsed)
		}
	}
	return full, nil
}

// ofSeed are the finished runs of a method by their seeds.
func (p *program) ofSeed(s study, folder string) (map[uint64]*run.Summary, error) {
	dirs, err := filepath.Glob(filepath.Join(p.runs, s.name, filepath.FromSlash(folder)+"-s*"))
	if err != nil {
		return nil, err
	}
	found := map[uint64]*run.Summary{}
	for _, dir := range dirs {
		r, err := run.Read(dir)
		if errors.Is(err, run.ErrNoRun) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !r.Summary.Interrupted {
			found[r.Summary.Seed] = &r.Summary
		}
	}
	return found, nil
}
