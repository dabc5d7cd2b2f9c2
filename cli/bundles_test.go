package cli

import (
	"context"
	"reflect"
	"testing"

	"winnow/models"
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
				Block: func() (int64, error) { return 0, nil }, Warn: func(text string) { t.Error(text) }}
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
