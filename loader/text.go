package loader

import (
	"fmt"
	"strings"
)

// Text says in words what happens to an image.
func (o *Images) Text() string {
	size := fmt.Sprintf("%dx%d", o.Height, o.Width)
	text := fmt.Sprintf("resized (%s) and cut to the centre %s, %v of the shorter side", o.Interpolation, size, o.CropPct)
	if o.CropPct == 0 {
		text = fmt.Sprintf("random crops of %v to %v of the area resized (%s) to %s", o.Scale[0], o.Scale[1], o.Interpolation, size)
	}
	if o.CropPad > 0 {
		text += fmt.Sprintf(", shifted by up to %d pixels", o.CropPad)
		if o.PadMode == Reflect {
			text += " of mirrored edges"
		}
	}
	if o.HFlip > 0 {
		text += fmt.Sprintf(", mirrored with probability %v", o.HFlip)
	}
	if o.VFlip > 0 {
		text += fmt.Sprintf(", turned upside down with probability %v", o.VFlip)
	}
	if o.Rotation > 0 {
		text += fmt.Sprintf(", turned by up to %v degrees", o.Rotation)
	}
	if o.Affine != (Affine{}) {
		text += ", " + o.Affine.text()
	}
	switch o.Auto {
	case RandAugment:
		text += fmt.Sprintf(", RandAugment of %d operations at strength %d of %d", o.AutoOps, o.AutoMagnitude, autoBins-1)
	case TrivialAugment:
		text += ", TrivialAugment"
	case AutoImageNet:
		text += ", AutoAugment's policy of ImageNet"
	case AutoCIFAR:
		text += ", AutoAugment's policy of CIFAR-10"
	}
	if o.ColorJitter != [4]float64{} {
		text += fmt.Sprintf(", colours jittered by %v", o.ColorJitter)
	}
	if o.Grey > 0 {
		text += fmt.Sprintf(", grey with probability %v", o.Grey)
	}
	if b := o.Blur; b.P > 0 {
		text += fmt.Sprintf(", blurred with probability %v (%dx%d, sigma %v to %v)", b.P, b.Size, b.Size, b.Sigma[0], b.Sigma[1])
	}
	if o.Erase > 0 {
		text += fmt.Sprintf(", a box erased with probability %v", o.Erase)
	}
	return text
}

func (a *Affine) text() string {
	var parts []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(a.Degrees > 0, "turned by up to %v degrees", a.Degrees)
	add(a.Translate != [2]float64{}, "moved by up to %v of the width and %v of the height", a.Translate[0], a.Translate[1])
	add(a.Scale != [2]float64{}, "enlarged by %v to %v", a.Scale[0], a.Scale[1])
	add(a.Shear != [2]float64{}, "slanted by up to %v and %v degrees", a.Shear[0], a.Shear[1])
	how := Nearest
	if a.Bilinear {
		how = "bilinear"
	}
	return strings.Join(parts, ", ") + " (" + how + ")"
}
