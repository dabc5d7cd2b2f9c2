package models_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

var update = flag.Bool("update", false, "rewrite the shipped bundles")

// The shipped bundles are what Build makes today, and stay small together.
func TestShippedBundlesAreCurrent(t *testing.T) {
	total := int64(0)
	paths, err := filepath.Glob("shipped/*.zip")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".zip")
		want, err := models.Build(name)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := pack(path, want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := bundle.OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Path = ""; !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs from what the builder makes; run make models", path)
		}
		if !*update {
			if opened, err := models.Builtin(name); err != nil || !reflect.DeepEqual(opened, want) {
				t.Errorf("Builtin(%q): %v", name, err)
			}
		}
		stat, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += stat.Size()
	}
	if total == 0 || total > 2_000_000 {
		t.Errorf("the shipped bundles take %d bytes, more than 2 MB", total)
	}
}

// pack writes a bundle as a zip file without times, so that equal bundles make equal files.
func pack(path string, b *bundle.Bundle) error {
	dir, err := os.MkdirTemp("", "bundle")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	folder := filepath.Join(dir, "bundle")
	if err := b.Save(folder); err != nil {
		return err
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range []string{bundle.ManifestFile, bundle.TrainFile, bundle.BlockedFile, bundle.EvalFile, bundle.ForwardFile, bundle.WeightsFile} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		w, err := z.Create(name)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}

func TestEveryModelBuilds(t *testing.T) {
	params := map[string]int{ // of the PyTorch twins: sum(p.numel() for p in model.parameters())
		"mlp": 203530, "lenet": 206922, "resnet8": 77754, "resnet20": 272474,
		// Pairs 9*(i*o + o*o) with 2*o to each of two norms, enlargements 4*i*o + o, output 16*11 + 11.
		"unet": 9*(1*16+16*16) + 4*16 + 9*(16*32+32*32) + 4*32 + 9*(32*64+64*64) + 4*64 +
			4*64*32 + 32 + 9*(64*32+32*32) + 4*32 + 4*32*16 + 16 + 9*(32*16+16*16) + 4*16 + 16*11 + 11,
	}
	for _, name := range models.Names() {
		b, err := models.Build(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := 0
		for _, s := range b.Manifest.State {
			if s.Kind == bundle.KindParameter {
				got += b.Init[s.Name].Len()
			}
		}
		if got != params[name] {
			t.Errorf("%s has %d parameters, want %d", name, got, params[name])
		}
	}
}

// The large graphs are those of their PyTorch twins by the number of parameters
// (bench/peers/torch_step.py, torchvision.models.resnet50) and the shapes within.
func TestLargeModels(t *testing.T) {
	for name, want := range map[string]int{"resnet18": 11173962, "resnet50": 25557032} {
		m, err := models.Forward(name, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for tensor, v := range m.Graph.Initializers {
			if !strings.Contains(tensor, ".running_") {
				got += v.Len()
			}
		}
		if got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
		if _, err := export.Build(m, export.Options{Name: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownModel(t *testing.T) {
	if _, err := models.Builtin("alexnet"); !errors.Is(err, models.ErrUnknown) {
		t.Errorf("got %v", err)
	}
	if _, err := models.Forward("alexnet", 1); !errors.Is(err, models.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}
