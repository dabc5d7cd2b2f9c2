// Package experiment trains many runs as one plan: methods x ratios x seeds.
//
// It owns the experiment's folder: plan.json, which says what the runs are, and
// runs/NAME, a run folder each, written by a child process of this program. A
// finished run is never trained again nor changed; an unfinished one goes on from
// its newest checkpoint. It refuses a folder whose plan trains with other
// options, and a run that is not what the plan says.
//
// Terms. The runs of one method and ratio differ in their seeds alone, which draw
// the order, the augmentation, the plans, and a shipped bundle's first weights;
// so runs of one seed are a pair.
package experiment
