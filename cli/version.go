package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	ortrun "winnow/runtime"
)

// Version is this program's version; release builds set it by -ldflags -X.
var Version = "0.1.0-dev"

type versionOptions struct {
	Library string
	JSON    bool
}

type versionInfo struct {
	Winnow             string `json:"winnow"`
	Commit             string `json:"commit,omitempty"`
	Go                 string `json:"go"`
	Platform           string `json:"platform"`
	ONNXRuntime        string `json:"onnxruntime,omitempty"`
	ONNXRuntimeLibrary string `json:"onnxruntime_library,omitempty"`
}

func newVersionCommand(out *output) *cli.Command {
	var o versionOptions
	return &cli.Command{
		Name:        "version",
		Usage:       "print the versions of winnow, Go and ONNX Runtime",
		Description: about("", []int{0, 2}),
		Flags:       []cli.Flag{libraryFlag(&o.Library), jsonFlag(&o.JSON)},
		Action: func(c *cli.Context) error {
			if _, err := positional(c, 0, 0, ""); err != nil {
				return err
			}
			return runVersion(c.Context, o, out)
		},
	}
}

func runVersion(ctx context.Context, o versionOptions, out *output) error {
	v := versionInfo{Winnow: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v.Commit = s.Value[:12]
			}
		}
	}
	if r := ortrun.Doctor(ortrun.Options{Library: o.Library, Device: "cpu", Context: ctx}); r.Version != "" {
		v.ONNXRuntime, v.ONNXRuntimeLibrary = r.Version, r.Library
	}
	if o.JSON {
		return out.printJSON(v)
	}
	rows := [][]string{{"winnow", v.Winnow}}
	if v.Commit != "" {
		rows[0][1] += " (" + v.Commit + ")"
	}
	rows = append(rows, []string{"go", v.Go + " " + v.Platform})
	if v.ONNXRuntime == "" {
		rows = append(rows, []string{"onnxruntime", "not found (run winnow setup)"})
	} else {
		rows = append(rows, []string{"onnxruntime", v.ONNXRuntime + " " + v.ONNXRuntimeLibrary})
	}
	out.table(rows)
	return nil
}
