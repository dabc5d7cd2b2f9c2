"""Prints the difference hashes of near_test.go, of files in loader/raster/testdata:
two hexadecimal numbers each, by rows and by columns, of Pillow's 9x9 pixels.

    python near.py
"""

import os

import numpy as np
from PIL import Image

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../loader/raster/testdata")


def number(bits):
    return sum(1 << k for k, b in enumerate(bits.reshape(-1)) if b)


for name in ["rgb.png", "grey.png", "lossless.webp", "palette.bmp", "rgb.tif", "onepixel.png"]:
    m = Image.open(os.path.join(FOLDER, name)).convert("RGB").resize((9, 9), Image.Resampling.BILINEAR)
    g = np.asarray(m.convert("L")).astype(int)
    print(f'"{name}": {{{number(g[:8, :8] < g[:8, 1:]):#x}, {number(g[:8, :8] < g[1:, :8]):#x}}},')
