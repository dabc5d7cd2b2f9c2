package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"slices"

	"winnow/onnx"
)

// Masks are of maskClasses classes, and of the small model's images.
const maskClasses, maskSide = 3, 28

// maskModel gives scores of every pixel: the small model's first layer, at full size.
func maskModel() *onnx.Model {
	m := smallModel()
	g, conv := m.Graph, m.Graph.Nodes[0]
	g.Name, g.Nodes = "masks", g.Nodes[:1]
	conv.Attrs["strides"], conv.Outputs = onnx.IntsAttr(1, 1), []string{"scores"}
	g.Initializers = map[string]*onnx.Tensor{
		"conv.weight": onnx.FromFloat32(g.Initializers["conv.weight"].Float32s()[:maskClasses*9], maskClasses, 1, 3, 3),
		"conv.bias":   onnx.FromFloat32(make([]float32, maskClasses), maskClasses),
	}
	g.Outputs = []onnx.Value{{Name: "scores", DType: onnx.Float32, Shape: onnx.Shape{onnx.Symbol("N"), onnx.Const(maskClasses), onnx.Const(maskSide), onnx.Const(maskSide)}}}
	return m
}

// maskBytes are masks that differ.
func maskBytes(n int) []byte {
	b := make([]byte, n*maskSide*maskSide)
	for i := range b {
		b[i] = byte(i / 5 % maskClasses)
	}
	return b
}

// tensors is a safetensors file of splits of images and masks.
func tensors() []byte {
	var header, data bytes.Buffer
	for _, split := range []string{"train", "test"} {
		for _, name := range []string{"images", "mask"} {
			from := data.Len()
			data.Write(maskBytes(8))
			fmt.Fprintf(&header, `,"%s_%s":{"dtype":"U8","shape":[8,28,28],"data_offsets":[%d,%d]}`, split, name, from, data.Len())
		}
	}
	text := append([]byte("{"), append(header.Bytes()[1:], '}')...)
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data.Bytes())
}

// maskArrays is an npz file of the same, its arrays as they are or another mask.
func maskArrays(mask []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	images := npy(maskBytes(8), 8, maskSide, maskSide)
	files := map[string][]byte{"train_images": images, "test_images": images, "test_mask": npy(maskBytes(8), 8, maskSide, maskSide), "train_mask": mask}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(name + ".npy")
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			panic(err) // memory does not fail
		}
	}
	_ = z.Close() // the same
	return b.Bytes()
}

// maskImage is a mask as a file.
func maskImage(side, shift int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, side, side))
	for i := range m.Pix {
		m.Pix[i] = byte(i/5%maskClasses + shift)
	}
	return m
}

// targets are masks that are arrays of a file, or files beside their images.
func targets() []*sample {
	var list []*sample
	set := func(kind, spec, path string, t tree, file string, changes []change) {
		for _, c := range changes {
			list = append(list, t.in(kind, c.name, aTarget, spec, path, file, c.data))
		}
		list = append(list, t.placed(kind, aTarget, spec, path, file)...)
	}
	whole := tensors()
	set("targets, safetensors", "safetensors:", "set.safetensors,targets=mask", tree{"set.safetensors": whole}, "set.safetensors",
		slices.Concat(damaged(whole, 300, 2000), headers(whole)))

	array := npy(maskBytes(8), 8, maskSide, maskSide)
	changes := []change{
		{"fewer masks", maskArrays(npy(maskBytes(7), 7, maskSide, maskSide))}, {"masks of another size", maskArrays(npy(maskBytes(8), 8, 14, 56))},
		{"a class outside", maskArrays(bytes.ReplaceAll(array, []byte{2, 2, 2, 2, 2}, []byte{2, 2, 9, 2, 2}))},
	}
	for _, c := range damaged(array, 128, 2001) { // under a right checksum
		changes = append(changes, change{c.name, maskArrays(c.data)})
	}
	set("targets, npz", "npz:", "set.npz,targets=mask", tree{"set.npz": maskArrays(array)}, "set.npz", changes)

	pairs := tree{}
	for i, name := range []string{"train/a", "train/b", "val/c", "val/d"} {
		pairs["images/"+name+".png"], pairs["masks/"+name+".png"] = encodePNG(picture(maskSide, i)), encodePNG(maskImage(maskSide, 0))
	}
	good := pairs["masks/train/a.png"]
	var photo bytes.Buffer
	_ = jpeg.Encode(&photo, maskImage(maskSide, 0), nil) // memory does not fail
	colours := image.NewNRGBA(image.Rect(0, 0, maskSide, maskSide))
	colours.Set(1, 2, color.NRGBA{9, 8, 7, 255})
	deep := image.NewGray16(image.Rect(0, 0, maskSide, maskSide))
	deep.Set(3, 4, color.Gray16{Y: 300})
	palette := image.NewPaletted(image.Rect(0, 0, maskSide, maskSide), color.Palette{color.Black})
	palette.Pix[9] = 5 // no such place
	var odd bytes.Buffer
	_ = png.Encode(&odd, palette)
	set("masks, PNG", "pairs:", "", pairs, "masks/train/a.png", slices.Concat(damaged(good, 60, 2002), []change{
		{"of another size", encodePNG(maskImage(14, 0))}, {"a class outside", encodePNG(maskImage(maskSide, 7))}, {"in colours", encodePNG(colours)},
		{"a JPEG", photo.Bytes()}, {"16 bits, over 255", encodePNG(deep)}, {"a place that the palette lacks", odd.Bytes()},
	}))
	return list
}
