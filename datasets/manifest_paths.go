package datasets

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/files"
)

// below is an absolute path as seen from a folder that it lies in; others are left alone.
func below(dir, path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	if dir, err := filepath.Abs(dir); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return path
}

// finder finds the files that a manifest's paths mean.
type finder struct {
	root   *files.Folder
	ending string // that paths lack
}

// find is the path of a regular file. Where there is none it is looked for with
// the backslashes of Windows turned, and with the endings of images.
func (f *finder) find(path string) (string, error) {
	info, err := f.root.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(path, `\`) {
		path = strings.ReplaceAll(path, `\`, "/")
		info, err = f.root.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) && !slices.Contains(imageEndings, strings.ToLower(filepath.Ext(path))) {
		endings := []string{f.ending}
		if f.ending == "" {
			endings = nil
			for _, end := range imageEndings {
				endings = append(endings, end, strings.ToUpper(end))
			}
		}
		for _, end := range endings {
			if found, statErr := f.root.Stat(path + end); statErr == nil {
				path, info, err, f.ending = path+end, found, nil, end
				break
			}
		}
	}
	if err != nil {
		return "", reason(err)
	}
	if !info.Mode().IsRegular() {
		return "", files.ErrNotRegular
	}
	return path, nil
}
