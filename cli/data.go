package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"winnow/datasets"
	"winnow/loader"
	"winnow/loader/raster"
	"winnow/models"
)

// defaultData is the generated data set, which needs no files.
const defaultData = "glyphs"

func dataFlag(dst *string) cli.Flag {
	return &cli.StringFlag{Name: "data", Aliases: []string{"d"}, Destination: dst, Category: flagsData,
		DefaultText: defaultData + " for a shipped bundle", Usage: "data `SPEC`, KIND[:PATH][,KEY=VALUE...], or only a path, whose kind is found and said; kinds are " + strings.Join(datasets.Kinds(), ", ") + " (see winnow data list)"}
}

// dataFor is the data that a command takes where none was named: the generated images for a
// shipped bundle. Which images a user's own model is for is not guessed.
func dataFor(command, model, spec string) (string, error) {
	switch {
	case spec != "":
		return spec, nil
	case model == "unet":
		return defaultData + ":task=mask", nil
	case slices.Contains(models.Names(), model):
		return defaultData, nil
	}
	return "", usagef("%s: give --data: which images %q is for cannot be told from the model (winnow data list; --data %s takes generated ones)", command, model, defaultData)
}

// Names of the splits.
const (
	splitTrain = "train"
	splitTest  = "test"
)

func splitFlag(dst *string, def string) cli.Flag {
	return &cli.StringFlag{Name: "split", Value: def, Destination: dst, Category: flagsData, Usage: "`train|test`: which samples"}
}

// split is the samples of a name that splitFlag takes.
func split(d *datasets.Dataset, name string) (loader.Records, error) {
	if err := oneOf("--split", name, splitTrain, splitTest); err != nil {
		return nil, err
	}
	if name == splitTrain {
		return d.Train, nil
	}
	return d.Test, nil
}

func newDataCommand(out *output) *cli.Command {
	return &cli.Command{
		Name:        "data",
		Usage:       "list, fetch, show, describe, check and convert data sets",
		Description: about("", []int{0, 1, 2, 3, 130}),
		Subcommands: []*cli.Command{
			newDataListCommand(out),
			newDataFetchCommand(out),
			newDataShowCommand(out),
			newDataInfoCommand(out),
			newDataCheckCommand(out),
			newDataConvertCommand(out),
			newDataCacheCommand(out),
		},
	}
}

type dataListOptions struct{ JSON bool }

func newDataListCommand(out *output) *cli.Command {
	var o dataListOptions
	return &cli.Command{
		Name:        "list",
		Usage:       "list the data sets that --data takes",
		Description: about("", []int{0, 2}),
		Flags:       []cli.Flag{jsonFlag(&o.JSON)},
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			return runDataList(c.Context, o, out)
		},
	}
}

func runDataList(_ context.Context, o dataListOptions, out *output) error {
	infos := datasets.List()
	if o.JSON {
		return out.printJSON(infos)
	}
	for _, i := range infos {
		where := i.Where
		switch {
		case i.Installed && where == "":
			where = "built in"
		case !i.Installed && i.Fetchable:
			where = "not installed: winnow data fetch " + i.Name
		case !i.Installed:
			where = "give its folder: " + i.Name + ":PATH"
		}
		out.printf("%s  %s\n", out.style(styleBold, i.Name), i.About)
		var rows [][]string
		if i.Train > 0 {
			rows = [][]string{
				{"samples", fmt.Sprintf("%s train, %s test", countText(int64(i.Train)), countText(int64(i.Test)))},
				{"images", fmt.Sprintf("%dx%dx%d", i.Shape[0], i.Shape[1], i.Shape[2])},
				{"classes", fmt.Sprint(i.Classes)},
			}
		}
		if i.Settings != "" {
			rows = append(rows, []string{"settings", i.Settings})
		}
		out.table(append(rows, []string{"where", where}))
	}
	return nil
}

type dataFetchOptions struct {
	Names []string
	Dir   string
}

func newDataFetchCommand(out *output) *cli.Command {
	var o dataFetchOptions
	return &cli.Command{
		Name:      "fetch",
		Usage:     "download data sets into the data folder",
		ArgsUsage: "NAME...",
		Description: about("Files are checked by SHA-256; what is already there is left alone.",
			[]int{0, 1, 2, 3, 130}, "winnow data fetch fashion-mnist"),
		Flags: []cli.Flag{&cli.StringFlag{Name: "dir", Destination: &o.Dir, Category: flagsData,
			DefaultText: "WINNOW_DATA, else the user's cache", Usage: "data folder `DIR`"}},
		Action: func(c *cli.Context) error {
			args, err := positional(c, 1, -1, "the name of a data set")
			if err != nil {
				return err
			}
			o.Names = args
			return runDataFetch(c.Context, o, out)
		},
	}
}

func runDataFetch(ctx context.Context, o dataFetchOptions, out *output) error {
	for _, name := range o.Names {
		if err := datasets.Fetch(ctx, name, o.Dir, fetchProgress(out, name)); err != nil {
			return err
		}
		out.printf("%s is in place\n", name)
	}
	return nil
}

type dataShowOptions struct {
	Spec       string
	Index      int
	Count      int
	Split      string
	Out        string
	Augmented  bool
	InputSize  string
	Epoch      int
	Seed       uint64
	Transforms transformOptions
}

func newDataShowCommand(out *output) *cli.Command {
	var o dataShowOptions
	flags := []cli.Flag{
		&cli.IntFlag{Name: "index", Aliases: []string{"i"}, Destination: &o.Index, Category: flagsData, Usage: "number `N` of the first sample"},
		&cli.IntFlag{Name: "count", Aliases: []string{"n"}, Value: 4, Destination: &o.Count, Category: flagsData, Usage: "show `N` samples"},
		splitFlag(&o.Split, splitTrain),
		&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Destination: &o.Out, Category: flagsOutput, TakesFile: true, Usage: "write a contact sheet, `FILE.png`, instead"},
		&cli.BoolFlag{Name: "augmented", Destination: &o.Augmented, Category: flagsData, Usage: "with --out: as the model sees them in training, by the flags of train"},
		&cli.StringFlag{Name: "input-size", Destination: &o.InputSize, Category: flagsData, DefaultText: "224, and the images' own where they are taken as they are", Usage: "with --augmented: size `CxHxW` of the model's images, or HxW, or the side alone"},
		&cli.IntFlag{Name: "epoch", Value: 1, Destination: &o.Epoch, Category: flagsData, Usage: "with --augmented: what epoch `E` sees"},
		seedFlag(&o.Seed),
	}
	return &cli.Command{
		Name:      "show",
		Usage:     "draw samples of a data set in the terminal, or on a contact sheet",
		ArgsUsage: "[SPEC]",
		Description: about("Presets of --aug, over which the flags that are given go:\n"+presetText(), []int{0, 2, 3, 4},
			"winnow data show fashion-mnist --split test --count 8",
			"winnow data show folder:DIR --count 64 --out sheet.png",
			"winnow data show folder:DIR --count 64 --out seen.png --augmented --aug imagenet --input-size 224"),
		Flags: append(flags, o.Transforms.flags()...),
		Action: func(c *cli.Context) error {
			args, err := positional(c, 0, 1, "")
			if err != nil {
				return err
			}
			o.Spec, o.Transforms.given = specOr(args), c.IsSet
			return runDataShow(c.Context, o, out)
		},
	}
}

func runDataShow(ctx context.Context, o dataShowOptions, out *output) error {
	if err := o.check(); err != nil {
		return err
	}
	d, decoder, err := openWith(ctx, o.Spec, o.Transforms.Decoder, out)
	if err != nil {
		return err
	}
	defer d.Close()
	src, err := split(d, o.Split)
	if err != nil {
		return err
	}
	if o.Index < 0 || o.Count < 1 || o.Index >= src.Len() || o.Count > src.Len()-o.Index {
		return usagef("data show: samples %d to %d are not all among the %s of %q",
			o.Index, o.Index+o.Count-1, countText(int64(src.Len())), o.Spec)
	}
	if o.Out != "" {
		return writeSheet(ctx, o, d, src, decoder, out)
	}
	var r loader.Record
	for i := o.Index; i < o.Index+o.Count; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := src.Read(uint32(i), &r); err != nil {
			return fmt.Errorf("data show: sample %d of %q: %w", i, o.Spec, err)
		}
		image, err := shown(&r)
		if err != nil {
			return fmt.Errorf("data show: sample %d of %q: %w: %w", i, o.Spec, loader.ErrBadData, err)
		}
		label := src.Target(uint32(i)).Class()
		name := ""
		if label >= 0 && label < int64(len(d.ClassNames)) {
			name = " (" + d.ClassNames[label] + ")"
		}
		out.printf("sample %d: label %d%s, %dx%dx%d\n%s\n", i, label, name, image.C, image.H, image.W, styled(drawImage(image.Pix, image.C, image.H, image.W)))
	}
	return nil
}

// check refuses what needs no data to be refused.
func (o *dataShowOptions) check() error {
	switch {
	case o.Augmented && o.Out == "":
		return usagef("--augmented: only with --out")
	case o.Augmented && o.Split != splitTrain:
		return usagef("--augmented: training sees the samples of --split train alone")
	}
	if _, err := o.shape(); err != nil {
		return err
	}
	return o.Transforms.validate()
}

// shape is --input-size, with 0 channels where it leaves them to the images.
func (o *dataShowOptions) shape() (shape [3]int64, err error) {
	text := o.InputSize
	switch strings.Count(text, "x") {
	case 0:
		text = cmp.Or(text, "224")
		text = "1x" + text + "x" + text
	case 1:
		text = "1x" + text
	}
	shape, err = parseImageShape(text)
	if err != nil || shape[0] != 1 && shape[0] != 3 || max(shape[1], shape[2]) > 4096 {
		return shape, usagef("--input-size %s: give CxHxW, of 1 or 3 channels and sides of 1 to 4096, or HxW, or the side alone", o.InputSize)
	}
	if strings.Count(o.InputSize, "x") < 2 {
		shape[0] = 0
	}
	return shape, nil
}

// shown is the image of a record, shrunk where it is wider than a terminal.
func shown(r *loader.Record) (*raster.Image, error) {
	if r.C > 0 {
		return &raster.Image{C: r.C, H: r.H, W: r.W, Pix: r.Data}, nil
	}
	var whole, small raster.Image
	if err := (raster.Decoder{}).With(r.View).Decode(&whole, r.Data, 3, 1); err != nil {
		return nil, err
	}
	const widest = 76
	if whole.W <= widest {
		return &whole, nil
	}
	small.Reset(3, max(1, whole.H*widest/whole.W), widest)
	new(raster.Resizer).Resize(&small, &whole, whole.Whole(), small.H, small.W, 0, 0, raster.Bilinear)
	return &small, nil
}

// shades go from dark to light, on a dark terminal.
const shades = " .:-=+*#%@"

// drawImage writes an image, uint8 CHW, as text: a character for each pixel's
// mean over the channels, every second row left out as characters are tall.
func drawImage(image []byte, c, h, w int) string {
	var b strings.Builder
	for y := 0; y < h; y += 2 {
		b.WriteString("  ")
		for x := range w {
			sum, n := 0, 0
			for ch := range c {
				for dy := 0; dy < 2 && y+dy < h; dy++ {
					sum += int(image[(ch*h+y+dy)*w+x])
					n++
				}
			}
			b.WriteByte(shades[sum*len(shades)/(256*n)])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// unreadable is whether the system refuses a path for what it is.
func unreadable(err error) bool {
	return slices.ContainsFunc([]error{fs.ErrNotExist, fs.ErrPermission, syscall.ELOOP, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.EINVAL},
		func(kind error) bool { return errors.Is(err, kind) })
}

// openData opens a data spec. Generated data and label noise follow the spec's
// own seed, not the run's, so that runs with several seeds share their data.
// The kind that a path was taken for is told to notice.
func openData(ctx context.Context, spec string, out *output, notice func(string)) (*datasets.Dataset, error) {
	d, err := datasets.Open(spec, datasets.Options{Context: ctx, Progress: countProgress(out, "opening shards")})
	if unreadable(err) {
		return nil, inputf("%w", err)
	}
	if err == nil && d.Guess != "" {
		notice(fmt.Sprintf("data: %q is read as %s; --data %s:PATH says so, another kind if it is not", spec, d.Guess, d.Guess))
	}
	if err == nil {
		for _, text := range d.Notes {
			notice("data: " + text)
		}
	}
	return d, err
}

// openOwn opens the data of a run, or given, where that says where they are now.
func openOwn(ctx context.Context, own, given string, out *output, notice func(string)) (*datasets.Dataset, error) {
	d, err := openData(ctx, cmp.Or(given, own), out, notice)
	if given == "" && errors.Is(err, fs.ErrNotExist) {
		err = inputf("%w; --data SPEC says where the run's data are now", err)
	}
	return d, err
}

// limited takes the first n samples, 0 for all.
func limited(src loader.Records, n int, flag string) (loader.Records, error) {
	if n < 0 {
		return nil, usagef("%s %d: give 0 (all) or more", flag, n)
	}
	if n == 0 || n >= src.Len() {
		return src, nil
	}
	return datasets.Subset(src, n), nil
}
