package audit

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"testing"
)

// Issues, label quality and how well it finds wrong labels are those of cleanlab
// and scikit-learn.
func TestAgainstCleanlab(t *testing.T) {
	text, err := os.ReadFile("testdata/labels.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Classes       int
		Given         []int64
		Wrong         []bool
		Probabilities [][]float32
		Quality       []float32 `json:"label_quality"`
		Issues        []bool    `json:"is_label_issue"`
		AUC           float64   `json:"roc_auc"`
		AP            float64   `json:"average_precision"`
		Precision     float64
		Recall        float64
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) != 3 {
		t.Fatal(err, len(cases))
	}
	for n, c := range cases {
		e, err := NewEvidence(c.Given, c.Classes)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range c.Probabilities {
			copy(e.Of(i), row)
		}
		if got := e.SelfConfidence(); !slices.Equal(got, c.Quality) {
			t.Errorf("case %d: label quality %v", n, got)
		}
		issues := e.Issues()
		if !slices.Equal(issues, c.Issues) {
			for i := range issues {
				if issues[i] != c.Issues[i] {
					t.Errorf("case %d: sample %d, given %d, %v: issue %v", n, i, c.Given[i], c.Probabilities[i], issues[i])
				}
			}
		}
		near := func(name string, got, want float64) {
			if math.Abs(got-want) > 1e-9 {
				t.Errorf("case %d: %s is %v, want %v", n, name, got, want)
			}
		}
		d := Detect(BySelfConfidence, Suspicion(BySelfConfidence, e, &Run{}), c.Wrong)
		near("ROC AUC", d.ROCAUC, c.AUC)
		near("average precision", d.AveragePrecision, c.AP)
		s := Decide(issues, c.Wrong)
		near("precision", s.Precision, c.Precision)
		near("recall", s.Recall, c.Recall)
	}
}

func TestOrder(t *testing.T) {
	nan := float32(math.NaN())
	if got := Order([]float32{0.5, nan, 2, 0.5, float32(math.Inf(1)), nan}); !slices.Equal(got, []int{4, 2, 0, 3, 1, 5}) {
		t.Error(got)
	}
	// Samples that nothing is known of are as one below all others: of three wrong
	// labels the ranking knows two, and one of the two unknown samples is wrong.
	d := Detect("x", []float32{3, nan, 2, 1, nan, 0}, []bool{true, true, true, false, false, false})
	if want := 1.0/3 + 1.0/3 + 1.0/3*3/6; math.Abs(d.AveragePrecision-want) > 1e-12 || d.AtWrong != 2.0/3 || math.Abs(d.ROCAUC-(3+3+0.5)/9) > 1e-12 {
		t.Errorf("%+v, want average precision %v", d, want)
	}
	for _, wrong := range [][]bool{{false, false}, {true, true}, {}} {
		if d := Detect("x", make([]float32, len(wrong)), wrong); d.ROCAUC == d.ROCAUC {
			t.Errorf("%v: %+v", wrong, d)
		}
	}
}

// A loss is suspect by what it is above the loss of the epochs that saw the
// sample: one that was left out of the late epochs is not for that.
func TestMeanLoss(t *testing.T) {
	e, err := NewEvidence([]int64{0, 1}, 2)
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{MeanLoss: []float32{2, 1}, Expected: []float32{2, 0.5}}
	if got := Suspicion(ByMeanLoss, e, r); !slices.Equal(got, []float32{0, 0.5}) {
		t.Error(got)
	}
	if Suspicion(ByMeanLoss, e, &Run{}) != nil || Suspicion(ByDAS, e, &Run{}) != nil || Suspicion("nothing", e, r) != nil {
		t.Error("a ranking of nothing")
	}
	if got := Suspicion(ByDAS, e, &Run{DAS: []float32{0.5, -1}}); !slices.Equal(got, []float32{-0.5, 1}) {
		t.Error(got)
	}
}

func TestNewEvidenceRefuses(t *testing.T) {
	if _, err := NewEvidence([]int64{0, 2}, 2); !errors.Is(err, ErrLabel) {
		t.Error(err)
	}
	if _, err := NewEvidence(make([]int64, 3), math.MaxInt32); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	e, err := NewEvidence([]int64{0}, 2) // an image that could not be read
	if err != nil {
		t.Fatal(err)
	}
	if k, c := e.Predicted(0); k != -1 || c == c || e.Issues()[0] {
		t.Error(k, c)
	}
}
