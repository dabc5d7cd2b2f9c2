package opset

import (
	"fmt"

	"winnow/onnx"
)

// nodeErr makes an error of kind about one node.
func nodeErr(n *onnx.Node, kind error, format string, args ...any) error {
	return fmt.Errorf("opset: %s: %s: %w", n.Describe(), fmt.Sprintf(format, args...), kind)
}
