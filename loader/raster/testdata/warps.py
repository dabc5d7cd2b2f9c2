"""Writes warps.json and warps.rgb: what torchvision.transforms.v2 makes of the
picture of colours.py by affine maps, blurring, greyscale and reflected padding.

    python warps.py
"""

import json

import numpy as np
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

H, W = 23, 31


def scene():
    """The same formula is in colour_test.go."""
    y, x, c = np.mgrid[0:H, 0:W, 0:3]
    return ((x * x * 3 + y * 13 + c * 41 * (x % 3) + ((x // 4 + y // 3) % 2) * 70) % 251).astype(np.uint8)


m = Image.fromarray(scene())
index, pixels = [], b""


def keep(op, values, out):
    global pixels
    index.append({"op": op, "values": values})
    a = np.asarray(out)
    assert a.shape == (H, W, 3), (op, a.shape)
    pixels += a.transpose(2, 0, 1).tobytes()


for values in [
    (0.0, 0, 0, 1.0, 0.0, 0.0),
    (17.5, 0, 0, 1.0, 0.0, 0.0),
    (-90.0, 0, 0, 1.0, 0.0, 0.0),
    (0.0, 5, -3, 1.0, 0.0, 0.0),
    (0.0, 0, 0, 0.6, 0.0, 0.0),
    (0.0, 0, 0, 1.7, 0.0, 0.0),
    (0.0, 0, 0, 1.0, 20.0, 0.0),
    (0.0, 0, 0, 1.0, 0.0, -15.0),
    (-33.0, -4, 2, 1.2, 11.0, -7.0),
]:
    angle, tx, ty, scale, sx, sy = values
    for op, how in [("affine", v2.InterpolationMode.NEAREST), ("affine-bilinear", v2.InterpolationMode.BILINEAR)]:
        keep(op, values, F.affine(m, angle=angle, translate=[tx, ty], scale=scale, shear=[sx, sy], interpolation=how))
for size, sigma in [(3, 0.1), (5, 0.7), (23, 0.4), (23, 1.3), (23, 2.0), (7, 4.0)]:
    keep("blur", (size, sigma), F.gaussian_blur(m, [size, size], [sigma, sigma]))
keep("grey", (), F.rgb_to_grayscale(m, num_output_channels=3))
for pad, dy, dx in [(4, 3, -2), (22, -22, 20), (1, 1, 1)]:
    padded = F.pad(m, [pad], padding_mode="reflect")
    keep("reflect", (dy, dx), F.crop(padded, pad + dy, pad + dx, H, W))

with open("warps.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")
with open("warps.rgb", "wb") as f:
    f.write(pixels)
