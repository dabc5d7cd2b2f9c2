package datasets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"winnow/internal/files"
	"winnow/internal/option"
	"winnow/loader"
	"winnow/loader/raster"
)

// Bounds of a folder of images.
const (
	maxDepth   = 32      // folders below a class; a circle of links is deeper
	maxSamples = 1 << 31 // of a format that lists its samples
	defaultVal = 0.1     // share held back where there is no folder for it
)

// folderOptions are the settings of folder:PATH.
type folderOptions struct {
	val           float64
	eval, classes string
}

var folderRows = []option.Row[folderOptions]{
	{Name: "val", Doc: "share `P` of each class held back for evaluation, drawn by seed, where there are no subfolders train and val", Default: defaultVal, Hi: 1, Open: "both",
		Field: func(o *folderOptions) any { return &o.val }},
	{Name: "eval", Doc: "subfolder `NAME` that is evaluated, else the first there is of val, valid, validation and test", Default: "",
		Field: func(o *folderOptions) any { return &o.eval }},
	classesRow(func(o *folderOptions) *string { return &o.classes }),
}

func folderFormat() *format {
	return newFormat(format{
		info: Info{Name: "folder", Example: "folder:DIR,val=0.1", About: "a folder for each class with JPEG, PNG, GIF, BMP, WebP or TIFF files, below train and val or split by val=P"},
		path: needsPath, encoded: true, sniff: sniffFolder,
	}, folderRows, openFolder)
}

// Names of subfolders that hold a split, as ImageNet and its kin have them.
var (
	trainNames = []string{"train", "training"}
	evalNames  = []string{"val", "valid", "validation", "test"}
)

// imageEndings are those of files taken for images unseen; others are looked into.
var imageEndings = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}

// sniffFolder tells folders of folders that hold an image.
func sniffFolder(dir string) bool {
	root, err := files.OpenFolder(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	found := errors.New("found")
	err = (&walker{root: root}).walk(".", 0, func(name string) error {
		if strings.Contains(name, "/") {
			return found
		}
		return nil
	})
	return errors.Is(err, found)
}

func openFolder(s *spec, v *folderOptions, o Options) (*Dataset, error) {
	root, err := files.OpenFolder(s.path)
	if err != nil {
		if info, statErr := os.Stat(s.path); statErr == nil && !info.IsDir() {
			err = withHint(fmt.Errorf("%w: not a folder", loader.ErrBadData), s.path)
		}
		return nil, fmt.Errorf("datasets: folder %q: %w", s.path, reason(err))
	}
	d := &Dataset{closers: []io.Closer{root}}
	if err := readFolder(d, root, s, v, o); err != nil {
		return nil, errors.Join(fmt.Errorf("datasets: folder %q: %w", s.path, err), d.Close())
	}
	return d, nil
}

// readFolder lists the images of both splits.
func readFolder(d *Dataset, root *files.Folder, s *spec, v *folderOptions, o Options) error {
	w := &walker{d: d, root: root}
	train, eval, err := splitFolders(root.Root, v.eval)
	if err != nil {
		return err
	}
	known, err := d.classList(v.classes, s.path)
	if err != nil {
		return err
	}
	at, err := folderIndex(known)
	if err != nil {
		return err
	}
	if train == "" {
		all, err := w.classes(".", known, at)
		if err != nil {
			return err
		}
		if err := d.split(all, nil, false, v.val, o.Seed); err != nil {
			return err
		}
	} else {
		if _, ok := s.settings["val"]; ok {
			return fmt.Errorf("%w: val=%v: the folder has subfolders %s and %s", ErrSpec, v.val, train, eval)
		}
		trained, err := w.classes(train, known, at)
		if err != nil {
			return err
		}
		if known == nil {
			if at, err = classIndex(trained.classList); err != nil {
				return err
			}
		}
		tested, err := w.classes(eval, trained.classList, at)
		if err != nil {
			return err
		}
		d.Train, d.Test = trained, tested
	}
	d.ClassNames = loader.ClassesOf(d.Train)
	w.noteOne(d.ClassNames, train, s.path)
	if w.unread > 0 {
		d.notef("left out %d images of formats that are not read, such as %s: convert them to JPEG or PNG", w.unread, w.alien)
	}
	if w.others > 0 {
		d.notef("left out %d files that are no images, such as %q", w.others, w.other)
	}
	return nil
}

// splitFolders finds the subfolders of the splits; both are "" where the folder
// has no train.
func splitFolders(root *os.Root, eval string) (trained, tested string, err error) {
	there := func(names []string) string {
		for _, name := range names {
			if info, err := root.Stat(name); err == nil && info.IsDir() {
				return name
			}
		}
		return ""
	}
	if trained = there(trainNames); trained == "" {
		if eval != "" {
			return "", "", fmt.Errorf("%w: eval=%s: there is no subfolder train", ErrSpec, eval)
		}
		return "", "", nil
	}
	names := evalNames
	if eval != "" {
		names = []string{eval}
	}
	if tested = there(names); tested == "" {
		return "", "", fmt.Errorf("%w: it has %s and no %s to evaluate: give one, or name %s itself with val=P",
			loader.ErrBadData, trained, strings.Join(names, ", "), trained)
	}
	return trained, tested, nil
}

// walker lists the files of a folder, links followed inside it.
type walker struct {
	d      *Dataset
	root   *files.Folder
	others int // files that are no images
	other  string
	unread int // images of formats that are not read
	alien  string
}

// walk calls f with every image below dir, in the order of the names.
func (w *walker) walk(dir string, depth int, f func(name string) error) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: %q lies over %d folders deep; is there a link to a folder above?", loader.ErrBadData, dir, maxDepth)
	}
	entries, err := list(w.root.Root, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if hidden(e.Name()) {
			continue
		}
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := w.root.Stat(name)
			if err != nil {
				return fmt.Errorf("%w: link %q: %w; links may lead to files and folders below the one given, and in no circle; csv:FILE,root=/ takes paths of any folder", loader.ErrBadData, name, reason(err))
			}
			mode = info.Mode().Type()
		}
		switch {
		case mode.IsDir():
			err = w.walk(name, depth+1, f)
		case mode.IsRegular():
			switch image, foreign := w.look(name); {
			case image:
				err = f(name)
			case foreign != "":
				w.unread++
				w.alien = fmt.Sprintf("%q (%s)", name, foreign)
			default:
				w.others++
				w.other = name
			}
		default:
			w.others++
			w.other = name
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list is the entries of a folder, sorted by name, whatever bytes those are of.
func list(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// noteOne says where classes may be meant, should there be one alone with folders below it.
func (w *walker) noteOne(classes []string, train, at string) {
	if len(classes) != 1 {
		return
	}
	entries, err := list(w.root.Root, path.Join(train, classes[0]))
	if err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() }) {
		w.d.notef("there is one class, %q; if the folders below it are the classes, give folder:%s", classes[0], path.Join(at, train, classes[0]))
	}
}

// look tells an image by the ending where it is that of images, else by the
// content; foreign is the format of one that is not read.
func (w *walker) look(name string) (image bool, foreign string) {
	if slices.Contains(imageEndings, strings.ToLower(path.Ext(name))) {
		return true, ""
	}
	f, _, err := files.OpenIn(w.root.Root, name)
	if err != nil {
		return false, ""
	}
	defer f.Close()
	var head [raster.HeaderBytes]byte
	n, _ := io.ReadFull(f, head[:])
	return raster.Sniff(head[:n]) != "", raster.Foreign(head[:n])
}

// hidden are files and folders that systems leave beside images.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

// classes lists the images below dir, a class for each folder in it, sorted by
// name; known are the classes that there may be and at that of each folder, nil for any.
func (w *walker) classes(dir string, known []string, at map[string]int64) (*fileSet, error) {
	entries, err := list(w.root.Root, dir)
	if err != nil {
		return nil, err
	}
	s := &fileSet{name: path.Join("folder", dir), root: w.root, classList: known}
	w.d.closers = append(w.d.closers, s)
	loose := "" // an image in no folder of a class
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		info, err := w.root.Stat(name)
		if hidden(e.Name()) {
			continue
		}
		if err == nil && !info.IsDir() {
			if loose == "" {
				if image, _ := w.look(name); image {
					loose = name
				}
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w; links may lead to files and folders below the one given; csv:FILE,root=/ takes paths of any folder", loader.ErrBadData, name, reason(err))
		}
		if err := s.addClass(w, name, e.Name(), at); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Len() > 0:
	case loose != "" && dir != ".":
		return nil, fmt.Errorf("%w: no images in folders of classes below %q, whose own, such as %q, have no class: list them in a table with columns path, label and split, csv:FILE, or train on the folder beside it alone, with val=P", loader.ErrBadData, dir, loose)
	case loose != "":
		return nil, fmt.Errorf("%w: no images in folders of classes, and those beside them, such as %q, have no class: move each into a folder of its class, or list them in a table with columns path and label, csv:FILE", loader.ErrBadData, loose)
	default:
		return nil, fmt.Errorf("%w: no images in folders of classes below %q", loader.ErrBadData, dir)
	}
	s.clip()
	return s, nil
}

// addClass adds a folder's images; at is the class of each folder there may be, nil for any.
func (s *fileSet) addClass(w *walker, dir, class string, at map[string]int64) error {
	if !utf8.ValidString(class) {
		return fmt.Errorf("%w: class folder %q: its name is not UTF-8", loader.ErrBadData, dir)
	}
	k := int64(len(s.classList))
	if at == nil {
		s.classList = append(s.classList, class)
	} else {
		var ok bool
		if k, ok = at[class]; !ok {
			return fmt.Errorf("%w: class %q of %q is not among the %d that are trained", loader.ErrBadData, class, dir, len(at))
		}
	}
	before, unread := s.Len(), w.unread
	err := w.walk(dir, 0, func(name string) error { return s.add(name, k) })
	if err == nil && s.Len() == before {
		err = fmt.Errorf("%w: class folder %q holds no image: remove it, or name the folder of the classes' folders", loader.ErrBadData, dir)
		if w.unread > unread {
			err = fmt.Errorf("%w: class folder %q holds no image of a format that is read: %s; convert them to JPEG or PNG", loader.ErrBadData, dir, w.alien)
		}
	}
	return err
}
