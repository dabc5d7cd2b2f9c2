"""Writes evaluation.json and evaluation.rgb: what torchvision.transforms.v2 makes
of pictures of a formula on their way to evaluation.

    python evaluation.py
"""

import json

import numpy as np
from PIL import Image
from torchvision.transforms import v2


def scene(h, w):
    """The same formula is in images_test.go."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return ((x * 11 + y * 5 + c * 60 + ((x // 4 + y // 3) % 2) * 70) % 256).astype(np.uint8)


index, pixels = [], b""
for h, w, size, pct, name in [
    (60, 83, 28, 0.875, "bilinear"),
    (83, 60, 28, 0.875, "bilinear"),
    (61, 47, 24, 0.96, "bicubic"),
    (20, 20, 32, 0.875, "bilinear"),
    (33, 32, 32, 1.0, "bilinear"),
    (7, 200, 8, 0.5, "bicubic"),
]:
    how = {"bilinear": v2.InterpolationMode.BILINEAR, "bicubic": v2.InterpolationMode.BICUBIC}[name]
    t = v2.Compose([v2.Resize(int(size / pct), interpolation=how, antialias=True), v2.CenterCrop(size)])
    out = np.asarray(t(Image.fromarray(scene(h, w))))
    assert out.shape == (size, size, 3)
    index.append({"h": h, "w": w, "size": size, "crop_pct": pct, "interpolation": name})
    pixels += out.transpose(2, 0, 1).tobytes()

with open("evaluation.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")
with open("evaluation.rgb", "wb") as f:
    f.write(pixels)
