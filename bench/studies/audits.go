package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"winnow/audit"
)

// folds is how many models judge the samples that they have not seen.
const folds = 5

// auditsFile has the reports of a run's audits, in its folder.
const auditsFile = "audits.json"

// auditReport is what winnow audit says of known wrong labels.
type auditReport struct {
	Folds    int             `json:"folds"`
	Wrong    *audit.Decision `json:"known_wrong"`
	Rankings []struct {
		Ranking          string   `json:"ranking"`
		ROCAUC           *float64 `json:"roc_auc"`
		AveragePrecision *float64 `json:"average_precision"`
		AtWrong          *float64 `json:"precision_at_wrong"`
	} `json:"rankings"`
}

// audited is the command that trains the run of an audit.
func (p *program) audited(s study, e plan) []string {
	return slices.Concat([]string{"train"}, e.args, []string{"--out", filepath.ToSlash(p.dir(s, e))})
}

// audit are the commands that ask a run, and models that have not seen the samples.
func (p *program) audit(s study, e plan) [][]string {
	run := filepath.ToSlash(p.dir(s, e))
	return [][]string{{"audit", run}, {"audit", run, "--folds", strconv.Itoa(folds), "--out", run + "/audit-folds"}}
}

// writeAudits puts what is there of a study's audits into the folder and the page.
func (p *program) writeAudits(s study) error {
	all := map[string][]auditReport{}
	var t strings.Builder
	t.WriteString("| wrong labels | ranking | ROC AUC | average precision | precision among as many as are wrong | chosen: precision | recall |\n")
	t.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, e := range s.audits {
		text, err := os.ReadFile(filepath.Join(p.dir(s, e), auditsFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		var reports []auditReport
		if err := json.Unmarshal(text, &reports); err != nil {
			return err
		}
		all[e.name] = reports
		for _, r := range reports {
			by := ""
			if r.Folds > 0 {
				by = fmt.Sprintf(" out of %d folds", r.Folds)
			}
			for _, k := range r.Rankings {
				if by != "" && k.Ranking != "self-confidence" {
					continue // they are the run's own, as above
				}
				chosen, recall := "", "" // from the same probabilities as the self-confidence
				if k.Ranking == "self-confidence" && r.Wrong != nil {
					chosen, recall = percent(&r.Wrong.Precision), percent(&r.Wrong.Recall)
				}
				fmt.Fprintf(&t, "| %s | %s%s | %s | %s | %s | %s | %s |\n", e.name, k.Ranking, by,
					decimals(k.ROCAUC), decimals(k.AveragePrecision), percent(k.AtWrong), chosen, recall)
			}
		}
	}
	if len(all) == 0 {
		return p.fill(s, "Not trained yet.\n")
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.json, s.name+".json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return p.fill(s, t.String())
}

func decimals(x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%.3f", *x)
}
