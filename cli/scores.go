package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"codeberg.org/sbinet/npyio/npz"
	"github.com/urfave/cli/v2"

	"winnow/prune"
	runs "winnow/run"
)

type scoresOptions struct {
	Run string
	Out string
}

func newScoresCommand(out *output) *cli.Command {
	var o scoresOptions
	return &cli.Command{
		Name:      "scores",
		Usage:     "write the scores of a run's training samples",
		ArgsUsage: "RUN",
		Description: about(`Writes what the newest checkpoint of a run holds of each training sample, as CSV or
as npz for NumPy:
  index      of the sample in the training data
  score      of the method, empty (NaN) where it has none
  variance   of the reports about the score; UCB
  held_out   1 for a sample that is kept out of training
  kept       1 for a sample of the last plan
  weight     in that plan
  taken      in how many plans it was so far
  mean_loss  over the times that it was seen, and loss_std, their standard
             deviation; where the bundle gives the loss of each sample
  kept_E     1 for a sample of the plan of epoch E, of every epoch so far
  loss_E     in epoch E, the last ones of a run with DAS; empty where skipped

Columns that the method keeps nothing for are left out. npz has arrays of these
names, and epoch, that of the last plan.`,
			[]int{0, 1, 2, 3},
			"winnow scores runs/lenet-glyphs-auto-s0 >scores.csv",
			"winnow scores runs/lenet-glyphs-auto-s0 --out scores.npz"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true,
				DefaultText: "CSV to standard output", Usage: "`FILE` to write, .csv or .npz; replaces an older one, never another file"},
		},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, 1, "the folder of a run")
			if err != nil {
				return err
			}
			o.Run = args[0]
			return runScores(c.Context, o, out)
		},
	}
}

func runScores(_ context.Context, o scoresOptions, out *output) error {
	kind, write := scoresCSV, writeScoresCSV
	switch ending := strings.ToLower(filepath.Ext(o.Out)); ending {
	case ".csv", "":
	case ".npz":
		kind, write = scoresNPZ, writeScoresNPZ
	default:
		return usagef("--out %s: give a name that ends in .csv or .npz", o.Out)
	}
	if o.Out != "" {
		if filepath.Ext(o.Out) == "" {
			return usagef("--out %s: give a name that ends in .csv or .npz", o.Out)
		}
		if err := kind.placeable(o.Out); err != nil {
			return err
		}
	}
	c, err := runs.Newest(o.Run)
	if err != nil {
		return notExperiment(o.Run, err)
	}
	s, err := prune.ReadState(c.Pruner)
	if err != nil {
		return fmt.Errorf("run %q: %w", o.Run, err)
	}
	columns := scoreColumns(s)
	if o.Out == "" {
		return writeScoresCSV(out.stdout, s, columns)
	}
	if err := kind.write(o.Out, func(w io.Writer) error { return write(w, s, columns) }); err != nil {
		return err
	}
	out.printf("%s of %s samples, after epoch %d by %s and %s: %s\n", o.Out, countText(int64(s.Samples)), s.Epoch, s.Scorer, s.Policy, o.Run)
	return nil
}

// scoreColumn is what is known of each sample under a name.
type scoreColumn struct {
	name string
	all  any // []uint32, []float32, []uint8 or []uint16
	text func(i int) string
}

// scoreColumns are those that the method keeps something for.
func scoreColumns(s *prune.State) []scoreColumn {
	index := make([]uint32, s.Samples)
	for i := range index {
		index[i] = uint32(i)
	}
	columns := []scoreColumn{{"index", index, strconv.Itoa}}
	floats := func(name string, x []float32) {
		if x != nil {
			columns = append(columns, scoreColumn{name, x, func(i int) string {
				if math.IsNaN(float64(x[i])) {
					return ""
				}
				return strconv.FormatFloat(float64(x[i]), 'g', -1, 32)
			}})
		}
	}
	flags := func(name string, x []bool) {
		bits := make([]uint8, len(x))
		for i, on := range x {
			if on {
				bits[i] = 1
			}
		}
		columns = append(columns, scoreColumn{name, bits, func(i int) string { return strconv.Itoa(int(bits[i])) }})
	}
	floats("score", s.Scores)
	floats("variance", s.Variances)
	flags("held_out", s.Held)
	flags("kept", s.Kept)
	floats("weight", s.Weights)
	if s.Taken != nil {
		columns = append(columns, scoreColumn{"taken", s.Taken, func(i int) string { return strconv.Itoa(int(s.Taken[i])) }})
	}
	if s.Loss != nil {
		floats("mean_loss", s.Loss.Mean)
		floats("loss_std", s.Loss.Deviation)
	}
	for e, plan := range s.Plans {
		kept := make([]bool, s.Samples)
		for i := range kept {
			kept[i] = plan.Has(i)
		}
		flags(fmt.Sprintf("kept_%d", e+1), kept)
	}
	for _, l := range s.Losses {
		floats(fmt.Sprintf("loss_%d", l.Epoch), l.Loss)
	}
	return columns
}

func writeScoresCSV(w io.Writer, s *prune.State, columns []scoreColumn) error {
	buf := bufio.NewWriter(w)
	c := csv.NewWriter(buf)
	line := make([]string, len(columns))
	for k := range columns {
		line[k] = columns[k].name
	}
	if err := c.Write(line); err != nil {
		return err
	}
	for i := range s.Samples {
		for k := range columns {
			line[k] = columns[k].text(i)
		}
		if err := c.Write(line); err != nil {
			return err
		}
	}
	c.Flush()
	return errors.Join(c.Error(), buf.Flush())
}

func writeScoresNPZ(w io.Writer, s *prune.State, columns []scoreColumn) error {
	z := npz.NewWriter(w)
	err := z.Write("epoch.npy", []int64{int64(s.Epoch)})
	for k := range columns {
		if err == nil {
			err = z.Write(columns[k].name+".npy", columns[k].all)
		}
	}
	return errors.Join(err, z.Close())
}
