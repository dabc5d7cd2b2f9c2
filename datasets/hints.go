package datasets

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/files"
	"winnow/loader/raster"
)

// strangers are what people give for images and no kind reads, by their first
// bytes, with the way to one that does.
var strangers = []struct{ magic, way string }{
	{"PK\x03\x04", "a zip archive: unpack it, and give the folder"},
	{"Rar!", "a RAR archive: unpack it, and give the folder"},
	{"7z\xbc\xaf", "a 7z archive: unpack it, and give the folder"},
	{"\x1f\x8b", "a gzip file that is no .tar.gz: unpack it"},
	{"\x89HDF", "HDF5: write its arrays with numpy.savez, for npz:FILE"},
	{"MATLAB", "MATLAB's arrays: write them with numpy.savez, for npz:FILE"},
	{"ARROW1", arrowWay},
	{"\xff\xff\xff\xff", arrowWay},
	{"\x80\x02", pickleWay},
	{"\x80\x03", pickleWay},
	{"\x80\x04", pickleWay},
	{"\x80\x05", pickleWay},
}

const (
	arrowWay  = `Arrow, as datasets' save_to_disk writes it: load_from_disk(PATH)["train"].to_parquet("train.parquet") writes what parquet:FILE takes`
	pickleWay = "a pickle, which is a program and not read: write its arrays with numpy.savez, for npz:FILE"
	listWay   = "a list: give it a first line with the names of its columns, such as path,label, and read it with csv:FILE"
)

// hint says what a file or folder is that no kind reads, and the way out; "" for
// what is not known either.
func hint(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return ""
	case info.Mode().IsRegular():
		return fileHint(path)
	case !info.IsDir():
		return ""
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return ""
	}
	image := "" // beside the folders
	for _, e := range entries {
		at := filepath.Join(path, e.Name())
		if hidden(e.Name()) {
			continue
		}
		if e.Type()&os.ModeSymlink != 0 {
			if to, err := filepath.EvalSymlinks(at); err == nil && isFolder(to) {
				return fmt.Sprintf("link %q leads to a folder outside, which is not followed: copy the files, or list them in a table with columns path and label, csv:FILE,root=/", e.Name())
			}
		}
		switch what := fileHint(at); {
		case what == arrowWay || isFolder(at) && holdsArrow(at):
			return arrowWay
		case strings.HasPrefix(what, oneImage) && image == "":
			image = e.Name()
		case strings.HasSuffix(what, convertWay):
			return what
		}
	}
	if image != "" {
		return fmt.Sprintf("images such as %q lie in no folder of a class: move each into a folder of its class, or list them in a table with columns path and label, csv:FILE", image)
	}
	return foreignBelow(path, entries)
}

const (
	oneImage   = "one image: "
	convertWay = "is not read: convert it to JPEG or PNG"
)

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func holdsArrow(dir string) bool {
	found, err := filepath.Glob(filepath.Join(dir, "*.arrow"))
	return err == nil && len(found) > 0
}

// foreignBelow looks for an image that is not read one folder down.
func foreignBelow(path string, entries []os.DirEntry) string {
	for _, e := range entries {
		below, err := os.ReadDir(filepath.Join(path, e.Name()))
		if err != nil {
			continue
		}
		for _, f := range below {
			if what := fileHint(filepath.Join(path, e.Name(), f.Name())); strings.HasSuffix(what, convertWay) {
				return what
			}
		}
	}
	return ""
}

// fileHint is hint for a file.
func fileHint(path string) string {
	f, _, err := files.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	if raster.Sniff(head) != "" {
		return oneImage + "give the folder with a folder for each class"
	}
	if name := raster.Foreign(head); name != "" {
		return fmt.Sprintf("%q: %s %s", filepath.Base(path), name, convertWay)
	}
	for _, s := range strangers {
		if strings.HasPrefix(string(head), s.magic) {
			return s.way
		}
	}
	if slices.Contains([]string{".txt", ".lst", ".list"}, strings.ToLower(filepath.Ext(path))) {
		return listWay
	}
	return ""
}

// withHint adds the way out to an error about a path.
func withHint(err error, path string) error {
	if what := hint(path); err != nil && what != "" {
		return fmt.Errorf("%w: %s", err, what)
	}
	return err
}
