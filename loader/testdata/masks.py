"""Writes the masks of this folder with Pillow; mask_test.go knows the formula: value (5*y + x) % n at row y, column x.

    python masks.py
"""

import numpy as np
from PIL import Image

h, w = 4, 6
values = lambda n: np.add.outer(5 * np.arange(h), np.arange(w)) % n
Image.fromarray(values(2).astype(bool)).save("mask_1bit.png")  # mode 1: PNG's grey of one bit
Image.fromarray(values(7).astype(np.uint8)).save("mask_grey.png")
palette = Image.fromarray(values(4).astype(np.uint8), "P")
palette.putpalette([7 * i % 256 for i in range(768)])
palette.save("mask_palette.png")
palette.save("mask_palette_2bit.png", bits=2)
Image.fromarray(values(200).astype(np.uint16)).save("mask_16bit.png")
Image.fromarray((values(200) * 20).astype(np.uint16)).save("mask_16bit_large.png")
Image.fromarray(np.stack([values(3)] * 3, -1).astype(np.uint8)).save("mask_rgb.png")
Image.fromarray(np.stack([values(3)] * 2, -1).astype(np.uint8), "LA").save("mask_la.png")
Image.fromarray(values(2).astype(np.uint8) * 255).save("mask_white.png")
Image.fromarray(values(3).astype(np.uint8)).save("mask.jpg")
