package cli

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"winnow/models"
	"winnow/onnx/bundle"
	"winnow/onnx/export"
)

// The first weights of a shipped bundle are those of the seed, whether it is
// taken as it ships or made anew with another recipe.
func TestFirstWeightsFollowTheSeed(t *testing.T) {
	for _, changed := range [][]string{nil, {"smoothing"}} {
		for _, seed := range []uint64{models.Seed, 5} {
			m, err := models.Forward("mlp", seed)
			if err != nil {
				t.Fatal(err)
			}
			s := bundleSource{Spec: "mlp", InitSeed: seed, Graph: defaultGraphOptions(), Images: imageOptions{Scale: 1}, Changed: changed,
				Blocks: func() (export.Blocks, error) { return export.Blocks{}, nil }, Warn: func(text string) { t.Error(text) }}
			b, _, err := s.open(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range m.Graph.Initializers {
				if !reflect.DeepEqual(b.Init[name].Float32s(), want.Float32s()) {
					t.Errorf("seed %d, changed %v: %s differs", seed, changed, name)
				}
			}
		}
	}
}

// A bundle with blocks of another machine's size is trained with a graph in
// this machine's, the one that an export here would write.
func TestBlocksOfThisMachine(t *testing.T) {
	m, err := models.Forward("lenet", models.Seed)
	if err != nil {
		t.Fatal(err)
	}
	want, err := export.Build(m, export.Options{Name: "lenet", Optimizer: export.NewOptimizer(bundle.SGD), Blocks: export.Blocks{Size: 8}})
	if err != nil {
		t.Fatal(err)
	}
	for block, graph := range map[int64][]byte{0: nil, 8: want.Blocked} {
		s := bundleSource{Spec: "lenet", InitSeed: models.Seed, Graph: defaultGraphOptions(), Images: imageOptions{Scale: 1},
			Blocks: func() (export.Blocks, error) { return export.Blocks{Size: block}, nil }, Warn: func(text string) { t.Error(text) }}
		b, _, err := s.open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if block == 0 {
			if b.Manifest.Blocked.Block != models.Block {
				t.Errorf("without a block, blocks of %d", b.Manifest.Blocked.Block)
			}
		} else if b.Manifest.Blocked.Block != block || !bytes.Equal(b.Blocked, graph) || !bytes.Equal(b.Train, want.Train) {
			t.Errorf("blocks of %d, the graph equal: %v", b.Manifest.Blocked.Block, bytes.Equal(b.Blocked, graph))
		}
	}
}
