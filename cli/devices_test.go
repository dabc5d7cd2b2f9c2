package cli

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	ortrun "winnow/runtime"
)

// What the device flags make of the runtime's options.
func TestDeviceFlags(t *testing.T) {
	for _, c := range []struct {
		args   string
		cuda   map[string]string
		graph  bool
		strict bool
	}{
		{"", nil, false, false},
		{"--tf32=false", map[string]string{"use_tf32": "0"}, false, false},
		{"--tf32", map[string]string{"use_tf32": "1"}, false, false},
		{"--cuda-graph --strict-device", nil, true, true},
		{"--cuda-option gpu_mem_limit=1000 --tf32=false --cuda-option prefer_nhwc=1",
			map[string]string{"gpu_mem_limit": "1000", "use_tf32": "0", "prefer_nhwc": "1"}, false, false},
	} {
		var o deviceOptions
		var got ortrun.Options
		app := &cli.App{Flags: o.flags(), Action: func(*cli.Context) (err error) {
			got, err = o.resolve(nil)
			return err
		}}
		if err := app.RunContext(context.Background(), append([]string{"winnow"}, strings.Fields(c.args)...)); err != nil {
			t.Errorf("%s: %v", c.args, err)
		}
		if !maps.Equal(got.CUDA, c.cuda) || got.CUDAGraph != c.graph || got.StrictDevice != c.strict {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
}
