#!/usr/bin/env python3
"""The peer of bench/transforms: what torchvision makes of pictures.

usage: torch_transforms.py DIR    writes DIR/pictures.rgb, DIR/cases.json and DIR/pixels.rgb
Needs torch, torchvision, Pillow and numpy. Parameters are drawn with a seed.
"""
import json, math, os, sys
import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torch_loader import picture

H, W, PICTURES, DRAWS = 375, 500, 4, 6
HOW = {"nearest": v2.InterpolationMode.NEAREST, "bilinear": v2.InterpolationMode.BILINEAR, "bicubic": v2.InterpolationMode.BICUBIC}
rng = np.random.default_rng(7)
between = lambda lo, hi: float(rng.uniform(lo, hi))


def affine(m, a, how, **more):
    return F.affine(m, angle=a[0], translate=[int(a[1]), int(a[2])], scale=a[3], shear=[a[4], a[5]], interpolation=HOW[how], **more)


def crop_args():
    h, w = int(rng.integers(60, H)), int(rng.integers(80, W))
    return [float(rng.integers(0, H - h + 1)), float(rng.integers(0, W - w + 1)), float(h), float(w)]


def affine_args():
    return [between(-45, 45), float(rng.integers(-50, 51)), float(rng.integers(-40, 41)), between(0.6, 1.6), between(-20, 20), between(-20, 20)]


def slant(m, x, y):
    return F.affine(m, angle=0.0, translate=[0, 0], scale=1.0, shear=[math.degrees(math.atan(x)), math.degrees(math.atan(y))], center=[0, 0])


def move(m, x, y):
    return F.affine(m, angle=0.0, translate=[int(x), int(y)], scale=1.0, shear=[0.0, 0.0])


def sized(how):
    return lambda m, a: F.resized_crop(m, *[int(v) for v in a], [224, 224], interpolation=HOW[how], antialias=True)


def evaluated(how):
    return lambda m, a: F.center_crop(F.resize(m, [256], interpolation=HOW[how], antialias=True), [224, 224])


def reflected(m, a):
    return F.crop(F.pad(m, [32], padding_mode="reflect"), 32 + int(a[0]), 32 + int(a[1]), H, W)


# name: arguments, and what torchvision does with them
OPERATIONS = {
    "Resize, CenterCrop, bilinear": (list, evaluated("bilinear")),
    "Resize, CenterCrop, bicubic": (list, evaluated("bicubic")),
    "RandomResizedCrop, bilinear": (crop_args, sized("bilinear")),
    "RandomResizedCrop, bicubic": (crop_args, sized("bicubic")),
    "RandomHorizontalFlip": (list, lambda m, a: F.horizontal_flip(m)),
    "RandomVerticalFlip": (list, lambda m, a: F.vertical_flip(m)),
    "RandomCrop, reflect": (lambda: [float(v) for v in rng.integers(-32, 33, 2)], reflected),
    "RandomRotation": (lambda: [between(-180, 180)], lambda m, a: F.rotate(m, a[0])),
    "RandomAffine, nearest": (affine_args, lambda m, a: affine(m, a, "nearest")),
    "RandomAffine, bilinear": (affine_args, lambda m, a: affine(m, a, "bilinear")),
    "ShearX": (lambda: [between(-0.99, 0.99)], lambda m, a: slant(m, a[0], 0)),
    "ShearY": (lambda: [between(-0.99, 0.99)], lambda m, a: slant(m, 0, a[0])),
    "TranslateX": (lambda: [between(-150, 150)], lambda m, a: move(m, a[0], 0)),
    "TranslateY": (lambda: [between(-150, 150)], lambda m, a: move(m, 0, a[0])),
    "brightness": (lambda: [between(0, 2)], lambda m, a: F.adjust_brightness(m, a[0])),
    "contrast": (lambda: [between(0, 2)], lambda m, a: F.adjust_contrast(m, a[0])),
    "saturation": (lambda: [between(0, 2)], lambda m, a: F.adjust_saturation(m, a[0])),
    "hue": (lambda: [between(-0.5, 0.5)], lambda m, a: F.adjust_hue(m, a[0])),
    "sharpness": (lambda: [between(0, 2)], lambda m, a: F.adjust_sharpness(m, a[0])),
    "posterize": (lambda: [float(rng.integers(1, 9))], lambda m, a: F.posterize(m, int(a[0]))),
    "solarize": (lambda: [between(0, 255)], lambda m, a: F.solarize(m, a[0])),
    "autocontrast": (list, lambda m, a: F.autocontrast(m)),
    "equalize": (list, lambda m, a: F.equalize(m)),
    "invert": (list, lambda m, a: F.invert(m)),
    "RandomGrayscale": (list, lambda m, a: F.rgb_to_grayscale(m, num_output_channels=3)),
    "GaussianBlur": (lambda: [23.0, between(0.1, 2.0)], lambda m, a: F.gaussian_blur(m, [int(a[0])] * 2, [a[1]] * 2)),
}

os.makedirs(sys.argv[1], exist_ok=True)
place = lambda name: os.path.join(sys.argv[1], name)
planes = lambda a: np.ascontiguousarray(np.asarray(a).transpose(2, 0, 1)).tobytes()
pictures = []
for i in range(PICTURES):
    a = picture(rng, W, H)
    # The darkest and lightest stay away from the ends, so that autocontrast has something to do.
    pictures.append(Image.fromarray((a * (0.5 + 0.1 * i) + 20).astype(np.uint8)))
with open(place("pictures.rgb"), "wb") as f:
    f.write(b"".join(planes(p) for p in pictures))
cases = []
with open(place("pixels.rgb"), "wb") as f:
    for name, (args, op) in OPERATIONS.items():
        for k in range(PICTURES * DRAWS if args is not list else PICTURES):
            a = args()
            out = np.asarray(op(pictures[k % PICTURES], a))
            cases.append({"op": name, "picture": k % PICTURES, "args": a, "h": out.shape[0], "w": out.shape[1]})
            f.write(planes(out))
with open(place("cases.json"), "w") as f:
    json.dump({"h": H, "w": W, "versions": f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}", "cases": cases}, f)
