package datasets

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"winnow/internal/option"
	"winnow/internal/spill"
	"winnow/loader"
)

// arrayOptions are the settings of npz:FILE and npy:DIR.
type arrayOptions struct {
	layout, images, labels string
	targets                string
	val                    float64
}

var arrayRows = []option.Row[arrayOptions]{
	{Name: "layout", Doc: "order of the axes, where the shape leaves it open", Default: "auto", OneOf: []string{"auto", "nhwc", "nchw"},
		Field: func(o *arrayOptions) any { return &o.layout }},
	{Name: "images", Doc: "array `NAME` of the images, where there are no splits by their usual names", Default: "",
		Field: func(o *arrayOptions) any { return &o.images }},
	{Name: "labels", Doc: "array `NAME` of the labels", Default: "",
		Field: func(o *arrayOptions) any { return &o.labels }},
	{Name: "targets", Doc: "arrays `NAME+NAME...` of what else is to be learned, of any shape for each sample: floats [N, C] are vectors, bytes [N, H, W] of the images' size masks, the rest tensors; train_NAME and val_NAME where there are splits", Default: "",
		Field: func(o *arrayOptions) any { return &o.targets }},
	{Name: "val", Doc: "share `P` of each class held back for evaluation, drawn by seed, where there is one split", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *arrayOptions) any { return &o.val }},
}

// Names of arrays: those of MedMNIST and Keras, then of a single split.
var (
	trainArrays = [][2]string{{"train_images", "train_labels"}, {"x_train", "y_train"}}
	evalArrays  = [][2]string{{"val_images", "val_labels"}, {"x_val", "y_val"}, {"test_images", "test_labels"}, {"x_test", "y_test"}}
	onlyArrays  = [][2]string{{"images", "labels"}, {"x", "y"}, {"data", "labels"}, {"arr_0", "arr_1"}}
)

// arrays are named arrays: of an npz file, or of a folder.
type arrays interface {
	names() []string
	// load gives an array's bytes, mapped or in memory.
	load(name string) (*array, error)
	Close() error
}

func npzFormat() *format {
	return newFormat(format{
		info: Info{Name: "npz", Example: "npz:pathmnist.npz", About: "NumPy arrays in one file: train_images, train_labels, val_images ... (MedMNIST), x_train, y_train ... (Keras), or images and labels"},
		path: needsPath, sniff: sniffZip,
	}, arrayRows, func(s *spec, v *arrayOptions, o Options) (*Dataset, error) {
		a, err := openNpz(s.path)
		return openArrays(s, v, o, a, err)
	})
}

func npyFormat() *format {
	return newFormat(format{
		info: Info{Name: "npy", Example: "npy:DIR,layout=nhwc", About: "a folder of NumPy arrays with the names of npz: train_images.npy, train_labels.npy ..."},
		path: needsPath,
		sniff: func(path string) bool {
			found, err := filepath.Glob(filepath.Join(path, "*.npy"))
			return err == nil && len(found) > 0
		},
	}, arrayRows, func(s *spec, v *arrayOptions, o Options) (*Dataset, error) {
		return openArrays(s, v, o, npyFolder(s.path), nil)
	})
}

func openArrays(s *spec, v *arrayOptions, o Options, a arrays, err error) (*Dataset, error) {
	if err == nil {
		defer a.Close()
		d := &Dataset{}
		if err = d.fromArrays(a, s, v, o); err == nil {
			return d, nil
		}
		err = errors.Join(err, d.Close())
	}
	return nil, fmt.Errorf("datasets: %s %q: %w", s.name, s.path, err)
}

func (d *Dataset) fromArrays(a arrays, s *spec, v *arrayOptions, o Options) error {
	names := a.names()
	pair := func(known [][2]string) (p [2]string, ok bool) {
		for _, p := range known {
			if slices.Contains(names, p[0]) && (v.targets != "" || slices.Contains(names, p[1])) {
				return p, true
			}
		}
		return p, false
	}
	trainPair, hasTrain := pair(trainArrays)
	evalPair, hasEval := pair(evalArrays)
	split := hasTrain && hasEval
	if v.images != "" || v.labels != "" {
		trainPair, hasTrain, split = [2]string{v.images, v.labels}, v.images != "" && (v.labels != "" || v.targets != ""), false
	} else if !hasTrain {
		trainPair, hasTrain = pair(onlyArrays)
	}
	if !hasTrain {
		return fmt.Errorf("%w: no arrays of images and labels by a known name among %s; give images=NAME,labels=NAME", loader.ErrBadData, nameList(names))
	}
	train, err := d.arraySet(a, s.name+" train", trainPair, v)
	if err != nil {
		return err
	}
	var test *rawSet
	if split {
		if test, err = d.arraySet(a, s.name+" val", evalPair, v); err != nil {
			return err
		}
		if train.c != test.c || train.h != test.h || train.w != test.w {
			return fmt.Errorf("%w: training images of %dx%dx%d, evaluation of %dx%dx%d", loader.ErrBadData, train.c, train.h, train.w, test.c, test.h, test.w)
		}
	}
	most := slices.Max(train.labels)
	if test != nil {
		most = max(most, slices.Max(test.labels))
		test.classes = numbered(int(most) + 1)
	}
	train.classes = numbered(int(most) + 1)
	d.ClassNames = train.classes
	if v.targets == "" {
		return d.split(train, test, split, v.val, o.Seed)
	}
	with := func(r *rawSet, images string) (loader.Records, error) {
		list, err := arrayTargets(a, v.targets, images, r)
		for i := range list {
			list[i].from = []byte(s.path)
		}
		t := &targeted{wrapper: wrapper{r}, class: r.labels[0] >= 0, list: list}
		d.closers = append(d.closers, t)
		return t, err
	}
	first, err := with(train, trainPair[0])
	if err != nil {
		return err
	}
	if test == nil {
		return d.split(first, nil, false, v.val, o.Seed)
	}
	second, err := with(test, evalPair[0])
	if err != nil {
		return err
	}
	return d.split(first, second, split, v.val, o.Seed)
}

// maxListed bounds how many names an error lists.
const maxListed = 8

func nameList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	text := fmt.Sprintf("%q", names[:min(len(names), maxListed)])
	if len(names) > maxListed {
		text += " and others"
	}
	return text
}

// arraySet makes records of an array of images and one of labels.
func (d *Dataset) arraySet(a arrays, name string, pair [2]string, v *arrayOptions) (*rawSet, error) {
	var labels *array
	if v.targets == "" || slices.Contains(a.names(), pair[1]) {
		var err error
		if labels, err = a.load(pair[1]); err != nil {
			return nil, fmt.Errorf("array %q: %w", pair[1], err)
		}
		defer func() { _ = labels.close() }() // only read
	}
	images, err := a.load(pair[0])
	if err != nil {
		return nil, fmt.Errorf("array %q: %w", pair[0], err)
	}
	r := &rawSet{name: name}
	d.closers = append(d.closers, r)
	r.parts = []rawPart{{blob: images.blob, start: images.start}}
	if err := r.takeImages(images, v.layout); err != nil {
		return nil, fmt.Errorf("array %q: %w", pair[0], err)
	}
	if labels == nil {
		r.labels = spill.Make[int32](images.shape[0])
		for i := range r.labels {
			r.labels[i] = -1
		}
	} else if r.labels, err = labels.classes(); err != nil {
		return nil, fmt.Errorf("array %q: %w", pair[1], err)
	}
	if n := images.shape[0]; n != len(r.labels) {
		return nil, fmt.Errorf("%w: array %q has %d labels for the %d images of %q", loader.ErrBadData, pair[1], len(r.labels), n, pair[0])
	}
	return r, nil
}

// takeImages finds the axes of the images, and turns numbers into bytes.
func (r *rawSet) takeImages(a *array, layout string) error {
	if a.fortran {
		return fmt.Errorf("%w: stored by column (Fortran order): save it as numpy.ascontiguousarray", loader.ErrBadData)
	}
	channels := func(n int) bool { return n == 1 || n == 3 }
	switch s := a.shape; {
	case len(s) == 3:
		r.c, r.h, r.w = 1, s[1], s[2]
	case len(s) != 4:
		return fmt.Errorf("%w: shape %v: want [N, H, W], [N, H, W, C] or [N, C, H, W]; reshape flat images before they are saved", loader.ErrBadData, s)
	case layout == "nhwc" || layout == "auto" && channels(s[3]) && !channels(s[1]):
		r.h, r.w, r.c, r.hwc = s[1], s[2], s[3], true
	case layout == "nchw" || layout == "auto" && channels(s[1]) && !channels(s[3]):
		r.c, r.h, r.w = s[1], s[2], s[3]
	default:
		return fmt.Errorf("%w: shape %v leaves open which axis is the channels: give layout=nhwc or layout=nchw", loader.ErrBadData, s)
	}
	r.parts[0].pitch = int64(r.c) * int64(r.h) * int64(r.w)
	if a.dtype == "|u1" || a.dtype == "|b1" {
		return nil
	}
	pixels, err := a.bytes()
	if err != nil {
		return err
	}
	closing := r.parts[0].close()
	r.parts[0].blob, r.parts[0].start = blob{data: pixels}, 0
	return closing
}
