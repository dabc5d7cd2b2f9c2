package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"winnow/internal/option"
	"winnow/loader"
)

// idxSet is a data set of four IDX files with the names of MNIST.
type idxSet struct {
	info    Info
	classes []string // nil: those that the labels have

	// Where the files, each as NAME.gz, are published.
	debianPackage string // Debian package that holds them under /usr/share/datasets
	addresses     []string
	files         []pinned
}

// pinned is a file by its content once inflated, which is the same wherever
// it was compressed.
type pinned struct {
	name   string
	size   int64
	sha256 string
}

const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

var idxNames = []string{trainImages, trainLabels, testImages, testLabels}

// Fashion-MNIST: Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747.
var fashionMNIST = idxSet{
	info: Info{
		Name: "fashion-mnist", Example: "fashion-mnist", About: "Fashion-MNIST: photographs of clothing, grey",
		Train: 60000, Test: 10000, Classes: 10, Shape: [3]int{1, 28, 28},
		Fetchable: true,
	},
	classes:       []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
	debianPackage: "dataset-fashion-mnist",
	addresses: []string{
		"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
		"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
	},
	files: []pinned{
		{trainImages, 47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
		{trainLabels, 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
		{testImages, 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
		{testLabels, 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
	},
}

// MNIST: LeCun, Bottou, Bengio, Haffner 1998.
var mnist = idxSet{
	info: Info{
		Name: "mnist", Example: "mnist:DIR,label-offset=1", About: "MNIST: handwritten digits, grey; its four IDX files",
		Train: 60000, Test: 10000, Classes: 10, Shape: [3]int{1, 28, 28},
	},
}

// idxOwn is images of the user's own, and of EMNIST and its kin.
var idxOwn = idxSet{info: Info{
	Name: "idx", Example: "idx:DIR,transpose=yes,label-offset=1",
	About: "a folder of IDX files by the four names of MNIST's, plain or gzip",
}}

// idxOptions are the settings of the user's own files.
type idxOptions struct {
	classes, labelOffset int
	transpose            string
}

var idxRows = []option.Row[idxOptions]{
	{Name: "classes", Doc: "`N` classes, else those of the labels", Default: 0, Lo: 1, Hi: maxLabel + 1,
		Field: func(o *idxOptions) any { return &o.classes }},
	{Name: "label-offset", Doc: "label `N` of the first class", Default: 0, Hi: maxLabel,
		Field: func(o *idxOptions) any { return &o.labelOffset }},
	{Name: "transpose", Doc: "swap rows and columns, as EMNIST needs", Default: "no", OneOf: []string{"no", "yes"},
		Field: func(o *idxOptions) any { return &o.transpose }},
}

// idxFormat is the row of a set; one with classes of its own takes no settings.
func idxFormat(set *idxSet) *format {
	rows := idxRows
	if set.classes != nil {
		rows = nil
	}
	f := format{info: set.info, path: somePath, files: set}
	if set == &idxOwn {
		f.path, f.files = needsPath, nil
		f.sniff = func(path string) bool { return len(set.absent(path)) == 0 }
	}
	return newFormat(f, rows, set.open)
}

// locate returns the folder under root, or root itself, that holds the files.
func (set *idxSet) locate(root string) (dir string, ok bool) {
	for _, dir := range []string{filepath.Join(root, set.info.Name), root} {
		if len(set.absent(dir)) == 0 {
			return dir, true
		}
	}
	return "", false
}

// path is the file called name in dir, plain or gzip; "" where there is none.
func (set *idxSet) path(dir, name string) string {
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, name+".gz")} {
		if st, err := os.Stat(p); err == nil && !st.IsDir() {
			return p
		}
	}
	return ""
}

func (set *idxSet) absent(dir string) []string {
	var names []string
	for _, name := range idxNames {
		if set.path(dir, name) == "" {
			names = append(names, name)
		}
	}
	return names
}

func (set *idxSet) open(s *spec, v *idxOptions, o Options) (*Dataset, error) {
	classes, first := set.classes, v.labelOffset
	if v.classes > maxLabel+1-first {
		return nil, s.errorf("classes=%d: want a whole number from 1 to %d", v.classes, maxLabel+1-first)
	} else if v.classes > 0 {
		classes = numbered(v.classes)
	}
	dir, err := set.folder(s, o)
	if err != nil {
		return nil, err
	}
	if classes == nil {
		if classes, err = set.classesIn(dir, first); err != nil {
			return nil, fmt.Errorf("datasets: open %q: %w", s.text, err)
		}
	}
	d := &Dataset{ClassNames: classes}
	split := func(name, images, labels string) (loader.Records, error) {
		src, err := OpenIDX(set.path(dir, images), set.path(dir, labels),
			IDXOptions{Name: set.info.Name + " " + name, Classes: classes, First: first, Transpose: v.transpose == "yes"})
		if err != nil {
			return nil, fmt.Errorf("datasets: open %q: %w", s.text, err)
		}
		d.closers = append(d.closers, src)
		return src, nil
	}
	if d.Train, err = split("train", trainImages, trainLabels); err == nil {
		d.Test, err = split("test", testImages, testLabels)
	}
	if err == nil {
		err = sameShape(s, d)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// maxLabel is the largest that a file of bytes holds.
const maxLabel = 255

// classesIn are the classes up to the largest label of both splits.
func (set *idxSet) classesIn(dir string, first int) ([]string, error) {
	largest := first
	for _, name := range []string{trainLabels, testLabels} {
		label, err := LargestLabel(set.path(dir, name))
		if err != nil {
			return nil, err
		}
		largest = max(largest, label)
	}
	return numbered(largest - first + 1), nil
}

func numbered(n int) []string {
	names := make([]string, n)
	for k := range names {
		names[k] = strconv.Itoa(k)
	}
	return names
}

// folder is where the spec's files are.
func (set *idxSet) folder(s *spec, o Options) (string, error) {
	if s.path != "" {
		if _, err := os.Stat(s.path); err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return "", fmt.Errorf("datasets: folder %q: %w", s.path, err)
		}
		if names := set.absent(s.path); len(names) > 0 {
			return "", fmt.Errorf("datasets: folder %q: %w: no %s (nor the same with .gz)", s.path, ErrMissing, strings.Join(names, ", "))
		}
		return s.path, nil
	}
	root, err := dataDir(o.Dir)
	if err != nil {
		return "", err
	}
	if dir, ok := set.locate(root); ok {
		return dir, nil
	}
	way := fmt.Sprintf("name its folder with %s:PATH", set.info.Name)
	if set.info.Fetchable {
		way = fmt.Sprintf("run `winnow data fetch %s`, or %s", set.info.Name, way)
	}
	return "", fmt.Errorf("datasets: open %q: %w in %q: %s", set.info.Name, ErrMissing, filepath.Join(root, set.info.Name), way)
}

func sameShape(s *spec, d *Dataset) error {
	c, h, w := loader.ShapeOf(d.Train)
	tc, th, tw := loader.ShapeOf(d.Test)
	if c != tc || h != th || w != tw {
		return fmt.Errorf("datasets: open %q: %w: training images of %dx%dx%d, test images of %dx%dx%d",
			s.text, loader.ErrBadData, c, h, w, tc, th, tw)
	}
	return nil
}
