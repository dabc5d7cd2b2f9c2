package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestDataConvert(t *testing.T) {
	t.Setenv("WINNOW_CACHE", t.TempDir())
	dir := filepath.Join(t.TempDir(), "new")
	o := winnow(t, "data", "convert", "glyphs:train=6,test=4", "tar:"+dir).succeeds(t)
	if !strings.Contains(o.stdout, "6 train, 4 test") || !strings.Contains(o.stdout, "--data tar:"+dir) {
		t.Errorf("%s", o.stdout)
	}
	winnow(t, "data", "check", "tar:"+dir).succeeds(t)
	winnow(t, "data", "convert", "glyphs:train=6,test=4", "folder:"+dir).fails(t, exitUsage, "not an empty folder")
	winnow(t, "data", "convert", "glyphs:noise=0.1", "folder:"+dir+"2").fails(t, exitUsage, "noise")
	winnow(t, "data", "convert", "glyphs").fails(t, exitUsage, "KIND:DIR")
}
