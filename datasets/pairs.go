package datasets

import (
	"bufio"
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
	ending, lists          string
	foreground             int
	val                    float64
}

// Folders of pairs where nothing else is said.
const (
	pairImages = "images"
	pairMasks  = "masks"
)

// Folders of Pascal VOC's segmentation (host.robots.ox.ac.uk/pascal/VOC).
const (
	vocImages = "JPEGImages"
	vocMasks  = "SegmentationClass"
	vocLists  = "ImageSets/Segmentation"
)

var pairRows = []option.Row[pairOptions]{
	{Name: "images", Doc: "folder `NAME` of the images", Default: pairImages, Field: func(o *pairOptions) any { return &o.images }},
	{Name: "masks", Doc: "folder `NAME` of the masks, PNG files with the names of the images", Default: pairMasks, Field: func(o *pairOptions) any { return &o.masks }},
	{Name: "ending", Doc: "`END` that a mask's name has in the place of the image's: _mask.png", Default: ".png", Field: func(o *pairOptions) any { return &o.ending }},
	{Name: "foreground", Doc: "value `V` of masks that is class 1, 0 for none: 255 of masks of black and white", Default: 0, Hi: 255, Field: func(o *pairOptions) any { return &o.foreground }},
	{Name: "lists", Doc: "folder `NAME` of the lists train.txt and val.txt, a name of an image a line; images in neither are left out", Default: "", Field: func(o *pairOptions) any { return &o.lists }},
	{Name: "classes", Doc: "file `FILE` of the names of classes, one a line, from 0", Default: "", Field: func(o *pairOptions) any { return &o.classes }},
	{Name: "val", Doc: "share `P` held back for evaluation, drawn by seed, where there are no folders train and val", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *pairOptions) any { return &o.val }},
}

func pairsFormat() *format {
	return newFormat(format{
		info: Info{Name: "pairs", Example: "pairs:DIR", About: "images/... and masks/... with the same names, the pixels of masks being classes; train and val below or above either, or one split; Pascal VOC's folders and lists"},
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

// pairs lists images with their masks.
type pairs struct {
	dir         string
	root        *files.Folder
	v           *pairOptions
	lists       map[string]string // split by name, nil where all images are taken
	given       bool              // there is a split
	train, test *targeted
	n           int // images so far
}

func (d *Dataset) fromPairs(s *spec, v *pairOptions, o Options, root *files.Folder) (err error) {
	if v.classes != "" {
		if d.ClassNames, err = readNames(v.classes); err != nil {
			return fmt.Errorf("classes %q: %w", v.classes, err)
		}
	}
	spec := loader.TargetSpec{Name: "mask", Kind: loader.MaskTarget, Type: loader.Uint8, Foreground: byte(v.foreground)}
	masked := func(name string) *targeted {
		t := &targeted{list: []target{{spec: spec, masks: &paths{}, root: root}}}
		d.listed(s.name+name, root, t)
		return t
	}
	p := &pairs{dir: s.path, root: root, v: v, train: masked(" train"), test: masked(" val")}
	note, err := p.find()
	if err != nil {
		return err
	}
	if p.train.Len() == 0 {
		return fmt.Errorf("%w: no images to train on below %q", loader.ErrBadData, v.images)
	}
	if note != "" {
		d.notef("%s", note)
	}
	p.look(d)
	return d.split(p.train.whole(), p.test.whole(), p.given, v.val, o.Seed)
}

// find lists the pairs of the layout that the folder has.
func (p *pairs) find() (note string, err error) {
	v := p.v
	there := func(name string) bool {
		info, err := p.root.Stat(name)
		return err == nil && info.IsDir()
	}
	if v.images == pairImages && v.masks == pairMasks && !there(pairImages) && there(vocImages) && there(vocMasks) {
		v.images, v.masks = vocImages, vocMasks
		note = fmt.Sprintf("masks: %s of %s, as Pascal VOC has them", vocMasks, vocImages)
		if v.lists == "" && there(vocLists) {
			v.lists = vocLists
			note += ", of the lists in " + vocLists
		}
	}
	if v.lists != "" {
		if err := p.readLists(); err != nil {
			return "", err
		}
	}
	if there(v.images) {
		return note, p.walk("", "")
	}
	for _, name := range trainNames {
		if there(path.Join(name, v.images)) {
			if err := p.walk(name, name); err != nil {
				return "", err
			}
		}
	}
	for _, name := range evalNames {
		if p.given = there(path.Join(name, v.images)); p.given {
			return note, p.walk(name, name)
		}
	}
	if p.n == 0 {
		return "", fmt.Errorf("%w: no folder %q; there are %s: images=NAME,masks=NAME name the two", loader.ErrBadData, v.images, nameList(foldersIn(p.dir)))
	}
	return note, nil
}

func foldersIn(dir string) (names []string) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range all {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// readLists reads train.txt and val.txt, or another name of a split.
func (p *pairs) readLists() error {
	p.lists = map[string]string{}
	for _, split := range slices.Concat(trainNames, evalNames) {
		if p.given && slices.Contains(evalNames, split) {
			break // val goes before test
		}
		file := filepath.Join(p.dir, filepath.FromSlash(p.v.lists), split+".txt")
		names, err := readNames(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("list %q: %w", file, err)
		}
		p.given = p.given || slices.Contains(evalNames, split)
		for _, name := range names {
			if other, twice := p.lists[name]; twice && other != split {
				return fmt.Errorf("%w: list %q: %q stands in %s.txt too", loader.ErrBadData, file, name, other)
			}
			p.lists[name] = split
		}
	}
	if len(p.lists) == 0 {
		return fmt.Errorf("%w: no train.txt or val.txt in %q", loader.ErrBadData, p.v.lists)
	}
	return nil
}

// walk lists the pairs below a folder; split is theirs, "" where a folder below
// the images may say it.
func (p *pairs) walk(below, split string) error {
	images, masks := path.Join(below, p.v.images), path.Join(below, p.v.masks)
	count, listed := 0, map[string]bool{}
	err := filepath.WalkDir(filepath.Join(p.dir, images), func(at string, e fs.DirEntry, err error) error {
		ending := filepath.Ext(at)
		if err != nil || !e.Type().IsRegular() || !slices.Contains(pairEndings, strings.ToLower(ending)) {
			return err
		}
		rel, err := filepath.Rel(filepath.Join(p.dir, images), at)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		stem := strings.TrimSuffix(rel, ending)
		to := split
		if p.lists != nil {
			if to = p.lists[stem]; to == "" {
				return nil
			}
			listed[stem] = true
		} else if first, _, nested := strings.Cut(rel, "/"); split == "" && nested && slices.Contains(evalNames, first) {
			p.given, to = true, first
		}
		mask := path.Join(masks, stem+p.v.ending)
		if _, err := p.root.Stat(mask); err != nil {
			return fmt.Errorf("%w: image %q has no mask %q: %w%s", loader.ErrBadData, path.Join(images, rel), mask, reason(err), p.instead(masks, stem))
		}
		count++
		return p.add(path.Join(images, rel), mask, slices.Contains(evalNames, to))
	})
	if err != nil {
		return reason(err)
	}
	p.n += count
	for name, of := range p.lists {
		if !listed[name] {
			return fmt.Errorf("%w: %s.txt has %q, and there is no such image in %q", loader.ErrBadData, of, name, images)
		}
	}
	return nil
}

func (p *pairs) add(image, mask string, test bool) error {
	to := p.train
	if test {
		to = p.test
	}
	to.list[0].masks.add(mask)
	return to.Records.(*fileSet).add(image, -1)
}

// instead says what stands in the place of a mask that is missing.
func (p *pairs) instead(masks, stem string) string {
	found, err := filepath.Glob(filepath.Join(p.dir, filepath.FromSlash(masks), globEscape.Replace(stem)+"*"))
	if err != nil || len(found) == 0 {
		return ""
	}
	name := filepath.Base(found[0])
	switch ending := strings.TrimPrefix(name, path.Base(stem)); strings.ToLower(filepath.Ext(name)) {
	case ".png":
		return fmt.Sprintf("; %q is there: ending=%s takes it", name, ending)
	case ".jpg", ".jpeg":
		return fmt.Sprintf("; %q is there, and JPEG changes a mask's values: store masks as PNG", name)
	default:
		return fmt.Sprintf("; %q is there: store masks as PNG", name)
	}
}

var globEscape = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// lookedAt is how many masks are looked into before training.
const lookedAt = 4

// look notes masks without an image, and masks of black and white whose white
// would be left out.
func (p *pairs) look(d *Dataset) {
	if p.lists == nil {
		p.alone(d)
	}
	if p.v.foreground != 0 {
		return
	}
	var r loader.Record
	var seen [256]bool
	for i := range uint32(min(lookedAt, p.train.Len())) {
		if p.train.ReadTarget(i, 0, &r) != nil || loader.MaskValues(&r, &seen) != nil {
			return // training says what is wrong
		}
	}
	for v := 1; v < loader.MaskFill; v++ {
		if seen[v] {
			return
		}
	}
	if seen[0] && seen[loader.MaskFill] {
		d.notef("masks: the first have 0 and 255 alone, and pixels of 255 are left out; if 255 is what is to be found, foreground=255 makes it class 1")
	}
}

// alone notes masks that have no image, where there are more masks than images.
func (p *pairs) alone(d *Dataset) {
	type mask struct{ below, stem string }
	var all []mask
	for _, below := range append([]string{""}, slices.Concat(trainNames, evalNames)...) {
		folder := filepath.Join(p.dir, below, p.v.masks)
		_ = filepath.WalkDir(folder, func(at string, e fs.DirEntry, err error) error { // of what is not there, nothing
			if err == nil && e.Type().IsRegular() && strings.HasSuffix(at, p.v.ending) && len(all) <= p.n {
				all = append(all, mask{below, strings.TrimPrefix(strings.TrimSuffix(at, p.v.ending), folder)})
			}
			return nil
		})
	}
	if len(all) <= p.n {
		return
	}
	has := func(m mask) bool {
		return slices.ContainsFunc(pairEndings, func(ending string) bool {
			at := path.Join(m.below, p.v.images, filepath.ToSlash(m.stem))
			_, lower := p.root.Stat(at + ending)
			_, upper := p.root.Stat(at + strings.ToUpper(ending))
			return lower == nil || upper == nil
		})
	}
	if i := slices.IndexFunc(all, func(m mask) bool { return !has(m) }); i >= 0 {
		d.notef("masks: there are more than images; the first without one is %q", path.Join(all[i].below, p.v.masks, filepath.ToSlash(all[i].stem)+p.v.ending))
	}
}

// maxNames bounds a list of names, in bytes.
const maxNames = 64 << 20

// readNames reads a name a line, without empty ones.
func readNames(file string) (names []string, err error) {
	f, size, err := files.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	defer f.Close()
	if size > maxNames {
		return nil, fmt.Errorf("%w: %d bytes: want at most %d", loader.ErrBadData, size, maxNames)
	}
	lines := bufio.NewScanner(io.LimitReader(f, size))
	for lines.Scan() {
		if name := strings.TrimSpace(lines.Text()); name != "" {
			names = append(names, name)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", loader.ErrBadData, err)
	}
	return names, nil
}
