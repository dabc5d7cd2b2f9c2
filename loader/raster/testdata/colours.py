"""Writes colours.json and colours.rgb: what torchvision.transforms.v2 makes of a
picture of a formula by each operation on Pillow's images.

    python colours.py
"""

import json
import math

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional as F

H, W = 23, 31


def scene():
    """The same formula is in colour_test.go."""
    y, x, c = np.mgrid[0:H, 0:W, 0:3]
    return ((x * x * 3 + y * 13 + c * 41 * (x % 3) + ((x // 4 + y // 3) % 2) * 70) % 251).astype(np.uint8)


m = Image.fromarray(scene())
index, pixels = [], b""


def keep(op, value, out):
    global pixels
    index.append({"op": op, "value": value})
    a = np.asarray(out)
    assert a.shape == (H, W, 3), (op, a.shape)
    pixels += a.transpose(2, 0, 1).tobytes()


for f in [0.0, 0.1, 0.55, 1.3, 1.9]:
    keep("brightness", f, F.adjust_brightness(m, f))
    keep("contrast", f, F.adjust_contrast(m, f))
    keep("saturation", f, F.adjust_saturation(m, f))
    keep("sharpness", f, F.adjust_sharpness(m, f))
for f in [-0.5, -0.13, 0.08, 0.4]:
    keep("hue", f, F.adjust_hue(m, f))
for bits in [2, 4, 7, 8]:
    keep("posterize", bits, F.posterize(m, bits))
for t in [0.0, 99.5, 128.0, 255.0]:
    keep("solarize", t, F.solarize(m, t))
keep("autocontrast", 0, F.autocontrast(m))
keep("equalize", 0, F.equalize(m))
keep("invert", 0, F.invert(m))
for a in [-135.0, -30.0, 7.5, 44.0]:
    keep("rotate", a, F.rotate(m, a))
for s in [-0.99, -0.2, 0.3]:
    d = math.degrees(math.atan(s))
    keep("shearx", s, F.affine(m, angle=0.0, translate=[0, 0], scale=1.0, shear=[d, 0.0], center=[0, 0]))
    keep("sheary", s, F.affine(m, angle=0.0, translate=[0, 0], scale=1.0, shear=[0.0, d], center=[0, 0]))
for t in [-12, 5]:
    keep("translatex", t, F.affine(m, angle=0.0, translate=[t, 0], scale=1.0, shear=[0.0, 0.0]))
    keep("translatey", t, F.affine(m, angle=0.0, translate=[0, t], scale=1.0, shear=[0.0, 0.0]))

with open("colours.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")
with open("colours.rgb", "wb") as f:
    f.write(pixels)
