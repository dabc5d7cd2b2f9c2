package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"winnow/internal/printable"
	"winnow/loader"
	"winnow/models"
	"winnow/onnx/export"
	ortrun "winnow/runtime"
	"winnow/train/costs"
)

// costOptions are those of inspect --costs.
type costOptions struct {
	Steps  int
	Top    int
	Trace  string
	Device deviceOptions
	Layout string
}

const (
	defaultTop = 10
	// launchBlocking makes CUDA run each kernel before its launch returns (CUDA
	// C++ Programming Guide, debugging).
	launchBlocking = "CUDA_LAUNCH_BLOCKING"
)

func (o *costOptions) flags() []cli.Flag {
	return append([]cli.Flag{
		&cli.IntFlag{Name: "steps", Value: costs.DefaultSteps, Destination: &o.Steps, Category: flagsMachine,
			Usage: "training steps `N` that --costs measures"},
		&cli.IntFlag{Name: "top", Value: defaultTop, Destination: &o.Top, Category: flagsOutput,
			Usage: "show the `N` most expensive operators and layers of --costs"},
		&cli.StringFlag{Name: "profile-out", Destination: &o.Trace, Category: flagsOutput, TakesFile: true,
			Usage: "write ONNX Runtime's profile of --costs to `FILE`, for Perfetto or chrome://tracing; replaces an older profile, never another file"},
		layoutFlag(&o.Layout, runLayouts, "training graph that --costs runs; auto takes kernels, else nchwc, where there is one for this CPU"),
	}, o.Device.flags()...)
}

// costFlagNames are the flags that mean nothing without --costs.
func costFlagNames() []string {
	return names(new(costOptions).flags())
}

func inspectCosts(ctx context.Context, o inspectOptions, out *output) error {
	if o.BatchSize > loader.MaxBatchSize {
		return usagef("--batch-size %d: give 1 to %d", o.BatchSize, loader.MaxBatchSize)
	}
	if o.Costs.Steps < 1 || o.Costs.Steps > costs.MaxSteps {
		return usagef("--steps %d: give 1 to %d", o.Costs.Steps, costs.MaxSteps)
	}
	if o.Costs.Top < 1 {
		return usagef("--top %d: give 1 or more", o.Costs.Top)
	}
	if err := oneOf("--layout", o.Costs.Layout, runLayouts...); err != nil {
		return err
	}
	note := func(text string) { out.notef("note: %s", text) }
	recipe := defaultGraphOptions()
	source := bundleSource{
		Spec: o.Path, InitSeed: models.Seed, Forward: o.Forward, Graph: recipe, Images: imageOptions{Scale: export.DefaultScale},
		Blocks: func() (export.Blocks, error) { return blocksHere(o.Costs.Layout, o.Costs.Device.Library, false) }, Warn: note,
	}
	b, _, err := source.open(ctx)
	if err != nil {
		return err
	}
	device, err := openDevice(ctx, o.Costs.Device, note)
	if err != nil {
		return err
	}
	defer device.Close()
	measure := costs.Options{Layout: o.Costs.Layout, BatchSize: o.BatchSize, Steps: o.Costs.Steps, Device: device, Progress: countProgress(out, "step")}
	var c *costs.Costs
	if o.Costs.Trace == "" {
		c, err = costs.Measure(ctx, b, measure)
	} else {
		err = traceFile.write(o.Costs.Trace, func(w io.Writer) (err error) {
			measure.Trace = w
			c, err = costs.Measure(ctx, b, measure)
			return err
		})
	}
	if err != nil {
		return err
	}
	if o.JSON {
		return out.printJSON(c)
	}
	printCosts(c, o, out)
	return nil
}

func printCosts(c *costs.Costs, o inspectOptions, out *output) {
	out.printf("%s: a training step of %d on %s, %s, layout %s, ONNX Runtime %s\n\n",
		out.style(styleBold, o.Path), c.BatchSize, c.Device, counted(c.Threads, "thread"), c.Layout, c.RuntimeVersion)
	digits := 2
	if c.Step < 10 {
		digits = 3
	}
	ms := func(t float64) string { return strconv.FormatFloat(t, 'f', digits, 64) }
	out.columns("lrl", [][]string{
		{"a step", ms(c.Step) + " ms", fmt.Sprintf("median of %d, after %d to warm up", c.Steps, c.Warmup)},
		{"profiled", ms(c.Profiled) + " ms", "with ONNX Runtime's profiler on"},
		{"in nodes", ms(c.InNodes) + " ms", fmt.Sprintf("%s nodes, each the median of its times", countText(int64(len(c.Nodes))))},
	})
	if p := c.Peaks; p != nil {
		out.printf("  peaks     %.0f GFLOP/s in a matrix product, %.1f GB/s in a sum of vectors; a limit is the time at these\n", p.GFLOPS, p.GBPS)
	}
	var shown []costs.Part
	head := []string{"", "all", "share", "limit", "nodes"}
	for _, p := range c.Parts {
		shown = append(shown, costs.Part(p.Name))
		head = append(head, p.Name)
	}
	share := func(t float64) string {
		if c.InNodes == 0 {
			return ""
		}
		return percent(t / c.InNodes)
	}
	row := func(c costs.Cost) []string {
		cells := []string{c.Name, ms(c.Time), share(c.Time), ms(c.Limit), countText(int64(c.Count))}
		for _, p := range shown {
			cell := ""
			if t, ok := c.Parts[p]; ok {
				cell = ms(t)
			}
			cells = append(cells, cell)
		}
		return cells
	}
	total := costs.Cost{Name: "all", Count: len(c.Nodes), Time: c.InNodes, Parts: map[costs.Part]float64{}}
	for _, p := range c.Parts {
		total.Parts[costs.Part(p.Name)] = p.Time
		total.Limit += p.Limit
	}
	shares := []string{"share", "", "", "", ""}
	for _, p := range c.Parts {
		shares = append(shares, share(p.Time))
	}
	right := strings.Repeat("r", len(head)-1)

	out.printf("\nMilliseconds by operator\n")
	rows := [][]string{head}
	for _, op := range dearest(c.Operators, o.Costs.Top, "operators") {
		rows = append(rows, row(op))
	}
	out.columns("l"+right, append(rows, row(total), shares))

	out.printf("\nMilliseconds by layer of the model\n")
	rows = [][]string{append(head, "operator", "weights")}
	for _, l := range dearest(c.Layers, o.Costs.Top, "layers") {
		rows = append(rows, append(row(l), l.Op, strings.Join(l.Parameters, " ")))
	}
	out.columns("l"+right+"ll", rows)
	if c.Provider != ortrun.CPUProvider && os.Getenv(launchBlocking) != "1" {
		out.printf("\nnote: a node's time is that of the CPU, which hands work over and goes on;\n"+
			"with %s=1 in the environment it waits for each kernel\n", launchBlocking)
	}
}

// dearest is the first n of a list, and one more for the sum of the rest.
func dearest(list []costs.Cost, n int, what string) []costs.Cost {
	if len(list) <= n+1 {
		return list
	}
	rest := costs.Cost{Name: fmt.Sprintf("%d more %s", len(list)-n, what), Parts: map[costs.Part]float64{}}
	for _, c := range list[n:] {
		rest.Count += c.Count
		rest.Time += c.Time
		rest.Limit += c.Limit
		for p, t := range c.Parts {
			rest.Parts[p] += t
		}
	}
	return append(list[:n:n], rest)
}

// columns writes rows in columns, each aligned as align says: l or r.
func (o *output) columns(align string, rows [][]string) {
	width := make([]int, len(align))
	for _, r := range rows {
		for i, cell := range r {
			cell = printable.Text(cell)
			r[i] = cell
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			line.WriteString("  ")
			if align[i] == 'r' {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		o.printf("%s\n", styled(strings.TrimRight(line.String(), " ")))
	}
}
