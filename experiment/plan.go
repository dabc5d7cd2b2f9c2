package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"winnow/datasets"
	"winnow/internal/files"
	"winnow/prune"
	"winnow/run"
)

// PlanFile and RunsDir are what an experiment's folder holds.
const (
	PlanFile   = "plan.json"
	RunsDir    = "runs"
	planFormat = "winnow.experiment/1"
)

// Bounds of a plan.
const (
	maxPlan = 16 << 20 // bytes
	MaxRuns = 10_000
)

// Flags of train that a run's place in the plan decides.
const (
	flagMethod = "prune"
	flagRatio  = "prune-ratio"
	flagSeed   = "seed"
	flagData   = "data"
	flagFold   = "leave-out"
	flagEpochs = "epochs"
	fullMethod = "none"
)

// Plan says what the runs are. Every run trains with the same flags, but for
// method, noise in --data, ratio and seed.
type Plan struct {
	Format  string            `json:"format"`
	Dir     string            `json:"dir"`   // where relative paths among the flags begin
	Flags   map[string]string `json:"flags"` // of train, as typed
	Methods []string          `json:"methods"`
	Noise   []string          `json:"noise,omitempty"`  // settings of the data; none, and 0, leave --data alone
	Ratios  []float64         `json:"ratios,omitempty"` // none leaves --prune-ratio alone
	Seeds   []uint64          `json:"seeds"`
	Folds   int               `json:"folds,omitempty"`  // each run without one of so many folds of the training samples; 0 leaves nothing out
	Budget  bool              `json:"budget,omitempty"` // beside each pruned run one in full that takes about as many samples
	Runs    []Run             `json:"runs"`             // what follows from the above, in the order of training
}

// Run is a run of the plan.
type Run struct {
	Name   string   `json:"name"`
	Method string   `json:"method"`
	Noise  string   `json:"noise,omitempty"`
	Ratio  *float64 `json:"ratio,omitempty"`
	Seed   uint64   `json:"seed"`
	Fold   int      `json:"fold,omitempty"`   // that it leaves out, from 1
	Epochs int      `json:"epochs,omitempty"` // other than those of the flags
}

// Complete checks a plan and fills in its runs: seed by seed, so that what is
// done at any time can be compared in pairs, full training first.
func (p *Plan) Complete() error {
	p.Format = planFormat
	var full, others []string
	policies := map[string]string{}
	for _, m := range p.Methods {
		_, policy, _, err := prune.Resolve(m, true)
		if err != nil {
			return err
		}
		switch {
		case policies[m] != "":
		case policy == prune.PolicyFull:
			full = append(full, m)
		default:
			others = append(others, m)
		}
		policies[m] = policy
	}
	p.Methods = append(full, others...)
	p.Ratios, p.Seeds = distinct(p.Ratios, same), distinct(p.Seeds, same)
	p.Noise = distinct(p.Noise, datasets.SameNoise) // the first spelling names the runs
	if n := len(p.Methods) * max(1, len(p.Noise)) * max(1, len(p.Ratios)) * len(p.Seeds) * max(1, p.Folds); n < 1 || n > MaxRuns || p.Folds < 0 || p.Folds > datasets.MaxFolds {
		return fmt.Errorf("experiment: %w: %d runs, want 1 to %d", ErrPlan, n, MaxRuns)
	}
	row := ratioRow()
	for _, ratio := range p.Ratios {
		if want := row.Wants(ratio); want != "" {
			return fmt.Errorf("experiment: %w: ratio %v, want %s", ErrPlan, ratio, want)
		}
	}
	p.Runs = nil
	for _, seed := range p.Seeds {
		for _, noise := range p.noises() {
			rate, ok := datasets.NoiseRate(noise)
			if !ok {
				return fmt.Errorf("experiment: %w: noise %.40q, want 0 to 1, alone or after one of %s and a colon", ErrPlan, noise, strings.Join(datasets.NoiseKinds(), ", "))
			}
			if rate == 0 {
				noise = ""
			} else if p.Flags[flagData] == "" {
				return fmt.Errorf("experiment: %w: noise in no data", ErrPlan)
			}
			for _, m := range p.Methods {
				ratios := []*float64{nil}
				if policies[m] != prune.PolicyFull && len(p.Ratios) > 0 {
					ratios = nil
					for i := range p.Ratios {
						ratios = append(ratios, &p.Ratios[i])
					}
				}
				for _, ratio := range ratios {
					p.Runs = append(p.Runs, p.folded(newRun(m, noise, ratio, seed))...)
				}
			}
		}
	}
	return nil
}

// folded is a run for each fold, or the run itself.
func (p *Plan) folded(r Run) []Run {
	if p.Folds == 0 {
		return []Run{r}
	}
	runs := make([]Run, p.Folds)
	for k := range runs {
		runs[k] = r
		runs[k].Fold = k + 1
		runs[k].Name += fmt.Sprintf("-f%d", k+1)
	}
	return runs
}

// noises are the settings of noise, "0" for clean labels.
func (p *Plan) noises() []string {
	if len(p.Noise) == 0 {
		return []string{"0"}
	}
	return p.Noise
}

// newRun names a run.
func newRun(method, noise string, ratio *float64, seed uint64) Run {
	name := method
	if noise != "" {
		name += "-n" + strings.ReplaceAll(noise, ":", "-")
	}
	if ratio != nil {
		name += "-r" + number(*ratio)
	}
	return Run{Name: fmt.Sprintf("%s-s%d", name, seed), Method: method, Noise: noise, Ratio: ratio, Seed: seed}
}

func ratioRow() *prune.Option {
	rows := prune.UserOptions()
	return &rows[slices.IndexFunc(rows, func(r prune.Option) bool { return r.Name == flagRatio })]
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func same[T comparable](a, b T) bool { return a == b }

// distinct drops what is there before.
func distinct[T any](list []T, same func(a, b T) bool) (out []T) {
	for _, x := range list {
		if !slices.ContainsFunc(out, func(y T) bool { return same(x, y) }) {
			out = append(out, x)
		}
	}
	return out
}

// Read reads the plan of an experiment's folder.
func Read(dir string) (*Plan, error) {
	path := filepath.Join(dir, PlanFile)
	text, err := files.Read(path, maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("experiment: %q: %w: there is no %s", dir, ErrPlan, PlanFile)
	} else if err != nil {
		return nil, fmt.Errorf("experiment: %q: %w: %w", path, ErrPlan, err)
	}
	p := &Plan{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("experiment: %q: %w: %w", path, ErrPlan, err)
	}
	if p.Format != planFormat {
		return nil, fmt.Errorf("experiment: %q: %w: format %.40q, this program reads %q", path, ErrPlan, p.Format, planFormat)
	}
	if data, ok := p.Flags[flagData]; ok { // relative in plans of earlier versions
		p.Flags[flagData] = datasets.Absolute(data, p.Dir)
	}
	if err := p.Complete(); err != nil {
		return nil, fmt.Errorf("experiment: %q: %w", path, err)
	}
	return p, nil
}

// Join adds methods, ratios and seeds to those of an earlier plan of the folder.
// What its runs train with must be the same.
func (p *Plan) Join(earlier *Plan) error {
	for _, name := range slices.Sorted(maps.Keys(merged(p.Flags, earlier.Flags))) {
		now, given := p.Flags[name]
		was, had := earlier.Flags[name]
		if given != had || now != was {
			return fmt.Errorf("experiment: %w: --%s is %s now, and was %s in the plan there; take another --out", ErrOther, name, typed(now, given), typed(was, had))
		}
	}
	if (len(p.Ratios) == 0) != (len(earlier.Ratios) == 0) {
		return fmt.Errorf("experiment: %w: --ratios is in only one of this and the plan there; take another --out", ErrOther)
	}
	if p.Folds != earlier.Folds {
		return fmt.Errorf("experiment: %w: %d folds now, and %d in the plan there; take another --out", ErrOther, p.Folds, earlier.Folds)
	}
	p.Budget = p.Budget || earlier.Budget
	if isFolder(earlier.Dir) { // else the flags, which are the same, hold where they were typed now
		p.Dir = earlier.Dir
	}
	p.Noise = slices.Concat(earlier.noises(), p.noises())
	p.Methods = slices.Concat(earlier.Methods, p.Methods)
	p.Ratios = slices.Concat(earlier.Ratios, p.Ratios)
	p.Seeds = slices.Concat(earlier.Seeds, p.Seeds)
	return p.Complete()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return all
}

func typed(value string, given bool) string {
	if !given {
		return "not given"
	}
	return strconv.Quote(value)
}

// write writes the plan.
func (p *Plan) write(w io.Writer) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// flags are those that a run is trained with.
func (p *Plan) flags(r *Run) map[string]string {
	all := merged(p.Flags, map[string]string{flagMethod: r.Method, flagSeed: strconv.FormatUint(r.Seed, 10)})
	if r.Noise != "" {
		all[flagData] = datasets.With(all[flagData], "noise", r.Noise)
	}
	if r.Fold > 0 {
		all[flagFold] = fmt.Sprintf("%d/%d", r.Fold, p.Folds)
	}
	if r.Epochs > 0 {
		all[flagEpochs] = strconv.Itoa(r.Epochs)
	}
	if r.Ratio != nil {
		all[flagRatio] = number(*r.Ratio)
	}
	return all
}

// args is the command line of a run, without the program: it begins the run in
// a folder, or goes on with it.
func (p *Plan) args(r *Run, dir string) []string {
	args := []string{"train"}
	flags := p.flags(r)
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+name+"="+flags[name])
	}
	return append(args, "--resume=auto", "--report=false", "--out="+dir)
}

// finished reads a run that is there, nil where it is not finished; one that
// another command line made is an error that wraps ErrOther.
func (p *Plan) finished(r *Run, dir string) (*run.Run, error) {
	done, err := run.Read(dir)
	if errors.Is(err, run.ErrNoRun) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	s := &done.Summary
	c := &s.Config
	differs := ""
	switch last, err := run.Last(dir); {
	case c.Prune.Method != r.Method:
		differs = flagMethod + "=" + c.Prune.Method
	case s.Seed != r.Seed:
		differs = fmt.Sprintf("%s=%d", flagSeed, s.Seed)
	case r.Ratio != nil && c.Prune.Ratio != *r.Ratio:
		differs = flagRatio + "=" + number(c.Prune.Ratio)
	case err == nil: // else its checkpoints are gone
		want := p.flags(r)
		if data, ok := last.Typed.Flags[flagData]; ok {
			last.Typed.Flags[flagData] = datasets.Absolute(data, last.Typed.Dir)
		}
		for _, name := range slices.Sorted(maps.Keys(merged(want, last.Typed.Flags))) {
			if want[name] != last.Typed.Flags[name] && differs == "" {
				differs = name + "=" + last.Typed.Flags[name]
			}
		}
	}
	if differs != "" {
		return nil, fmt.Errorf("experiment: run %q: %w: it was trained with --%s; move it away, or take another --out", dir, ErrOther, differs)
	}
	if s.Interrupted {
		return nil, nil
	}
	return done, nil
}
