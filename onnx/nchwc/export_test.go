package nchwc

import "winnow/onnx/autodiff"

// OverRules lists the rules of the layout.
func OverRules() map[string]autodiff.Rule { return new(Layout).over() }
