"""Writes view.json: files that EXIF says are to be turned, and files with
transparency, with the pixels that Pillow's ImageOps.exif_transpose and
Image.alpha_composite over white give.

    python view.py
"""

import base64
import io
import json

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112
rng = np.random.default_rng(5)


def entry(name, data, seen):
    seen = np.asarray(seen)
    return {"name": name, "file": base64.b64encode(data).decode(), "h": seen.shape[0], "w": seen.shape[1], "pixels": base64.b64encode(seen.tobytes()).decode()}


def turned(kind, orientation, **options):
    m = Image.fromarray(rng.integers(0, 256, (5, 3, 3)).astype(np.uint8))
    if kind == "JPEG":
        m = m.resize((48, 32))
    exif = m.getexif()
    exif[ORIENTATION] = orientation
    b = io.BytesIO()
    m.save(b, kind, exif=exif, **options)
    return entry(f"{kind} {orientation}", b.getvalue(), ImageOps.exif_transpose(Image.open(b)).convert("RGB"))


def over(name, m, kind, **options):
    b = io.BytesIO()
    m.save(b, kind, **options)
    c = Image.open(b).convert("RGBA")
    return entry(name, b.getvalue(), Image.alpha_composite(Image.new("RGBA", c.size, "white"), c).convert("RGB"))


rgba = Image.fromarray(rng.integers(0, 256, (9, 16, 4)).astype(np.uint8))
steps = np.zeros((16, 16, 4), np.uint8)  # every opacity
steps[..., 0], steps[..., 1], steps[..., 2], steps[..., 3] = 10, 128, 250, np.arange(256).reshape(16, 16)
la = Image.fromarray(rng.integers(0, 256, (7, 6, 2)).astype(np.uint8), "LA")
palette = Image.fromarray(rng.integers(0, 4, (6, 8)).astype(np.uint8), "P")
palette.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0, 90, 90, 90])
rgb = Image.fromarray(rng.integers(0, 2, (6, 8, 3)).astype(np.uint8) * 255)
json.dump({
    "turned": [turned("PNG", k) for k in range(1, 9)] + [turned("JPEG", k, quality=95) for k in (1, 3, 6)]
    + [turned("WEBP", 8, lossless=True), turned("TIFF", 5)],
    "over": [
        over("rgba.png", rgba, "PNG"), over("steps.png", Image.fromarray(steps), "PNG"), over("la.png", la, "PNG"),
        over("palette.png", palette, "PNG", transparency=bytes([0, 100, 255, 30])), over("key.png", rgb, "PNG", transparency=(255, 0, 255)),
        over("grey.png", palette.convert("L"), "PNG", transparency=20), over("rgba.webp", rgba, "WEBP", lossless=True, exact=True),
        over("palette.gif", palette, "GIF", transparency=2), over("rgba.tif", rgba, "TIFF"), over("opaque.png", rgb, "PNG"), over("opaque.jpg", rgb, "JPEG"),
    ],
}, open("view.json", "w"), indent=0)
