// Package onnxpb holds the protobuf types of the ONNX file format, generated
// from onnx.proto; of the product only onnx/wire uses them.
package onnxpb

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate
