package datasets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/files"
	"winnow/internal/option"
	"winnow/loader"
)

// pairOptions are the settings of pairs:DIR.
type pairOptions struct {
	images, masks, classes string
	val                    float64
}

var pairRows = []option.Row[pairOptions]{
	{Name: "images", Doc: "folder `NAME` of the images", Default: "images", Field: func(o *pairOptions) any { return &o.images }},
	{Name: "masks", Doc: "folder `NAME` of the masks, PNG files with the names of the images", Default: "masks", Field: func(o *pairOptions) any { return &o.masks }},
	{Name: "classes", Doc: "file `FILE` of the names of classes, one a line, from 0", Default: "", Field: func(o *pairOptions) any { return &o.classes }},
	{Name: "val", Doc: "share `P` held back for evaluation, drawn by seed, where there are no folders train and val", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *pairOptions) any { return &o.val }},
}

func pairsFormat() *format {
	return newFormat(format{
		info: Info{Name: "pairs", Example: "pairs:DIR", About: "images/... and masks/... with the same names, the pixels of masks being classes; train and val below either, or one split"},
		path: needsPath, encoded: true,
	}, pairRows, func(s *spec, v *pairOptions, o Options) (*Dataset, error) {
		d, err := openPairs(s, v, o)
		if err != nil {
			return nil, fmt.Errorf("datasets: pairs %q: %w", s.path, err)
		}
		return d, nil
	})
}

func openPairs(s *spec, v *pairOptions, o Options) (*Dataset, error) {
	root, err := files.OpenFolder(s.path)
	if err != nil {
		return nil, reason(err)
	}
	d := &Dataset{closers: []io.Closer{root}}
	if err := d.fromPairs(s, v, o, root); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// pairEndings are those of images that have a mask.
var pairEndings = []string{".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}

func (d *Dataset) fromPairs(s *spec, v *pairOptions, o Options, root *files.Folder) error {
	if v.classes != "" {
		text, err := os.ReadFile(v.classes)
		if err != nil {
			return fmt.Errorf("classes %q: %w", v.classes, reason(err))
		}
		d.ClassNames = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	masked := func() *targeted {
		return &targeted{list: []target{{spec: loader.TargetSpec{Name: "mask", Kind: loader.MaskTarget, Type: loader.Uint8}, masks: &paths{}, root: root}}}
	}
	train, test := masked(), masked()
	trainFiles, testFiles := d.listed(s.name+" train", root, train), d.listed(s.name+" val", root, test)
	given := false
	err := filepath.WalkDir(filepath.Join(s.path, v.images), func(at string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !slices.Contains(pairEndings, strings.ToLower(filepath.Ext(at))) {
			return err
		}
		rel, err := filepath.Rel(filepath.Join(s.path, v.images), at)
		if err != nil {
			return err
		}
		mask := filepath.Join(v.masks, strings.TrimSuffix(rel, filepath.Ext(rel))+".png")
		if _, err := root.Stat(mask); err != nil {
			return fmt.Errorf("%w: image %q has no mask %q: %w", loader.ErrBadData, rel, mask, reason(err))
		}
		to, set := train, trainFiles
		if first, _, nested := strings.Cut(filepath.ToSlash(rel), "/"); nested && slices.Contains(evalNames, first) {
			given, to, set = true, test, testFiles
		}
		to.list[0].masks.add(mask)
		return set.add(path.Join(v.images, filepath.ToSlash(rel)), -1)
	})
	if err != nil {
		return reason(err)
	}
	if train.Len() == 0 {
		return fmt.Errorf("%w: no images to train on below %q", loader.ErrBadData, v.images)
	}
	return d.split(train.whole(), test.whole(), given, v.val, o.Seed)
}
