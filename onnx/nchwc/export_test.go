package nchwc

import "winnow/onnx/autodiff"

// overRules lists the rules of the layout.
func OverRules() map[string]autodiff.Rule { return new(Layout).over() }
