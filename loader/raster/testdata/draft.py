"""Writes draft.jpg, a JPEG of a smooth picture with edges, and what Pillow makes
of it shrunk by 1, 2, 4 and 8 while it is decoded (Image.draft), as draft.rgb:
[H, W, 3] of each, one after the other; draft.json has the sizes. parts.rgb is
what Pillow makes of boxes in eighths of a pixel, listed in parts.json.

    python draft.py        (Pillow 11 or later)
"""

import io
import json

import numpy as np
from PIL import Image

H, W = 97, 133
y, x, c = np.mgrid[0:H, 0:W, 0:3]
v = 127 + 60 * np.sin(x / 9 + c) + 50 * np.cos(y / 7 - c) + 40 * ((x // 31 + y // 23) % 2)
out = io.BytesIO()
Image.fromarray(np.clip(v, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
data = out.getvalue()
open("draft.jpg", "wb").write(data)

index, pixels = [], b""
for by in (1, 2, 4, 8):
    m = Image.open(io.BytesIO(data))
    if by > 1:
        m.draft("RGB", (W // by, H // by))
    a = np.asarray(m.convert("RGB"))
    assert a.shape == (-(-H // by), -(-W // by), 3), a.shape
    index.append({"by": by, "h": a.shape[0], "w": a.shape[1]})
    pixels += a.tobytes()
open("draft.rgb", "wb").write(pixels)
with open("draft.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")

m = Image.open(io.BytesIO(data)).convert("RGB")
index, pixels = [], b""
for (y, x, h, w), (oh, ow), name in [
    ((3, 5, 700, 801), (20, 24), "bilinear"),
    ((0, 0, 776, 1064), (31, 40), "bicubic"),
    ((41, 127, 333, 401), (11, 9), "bilinear"),
    ((99, 1, 677, 1063), (33, 30), "bicubic"),
]:
    top, left, bottom, right = y // 8, x // 8, -(-(y + h) // 8), -(-(x + w) // 8)
    how = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[name]
    box = (x / 8 - left, y / 8 - top, (x + w) / 8 - left, (y + h) / 8 - top)
    pixels += np.asarray(m.crop((left, top, right, bottom)).resize((ow, oh), how, box=box)).tobytes()
    index.append({"box": [y, x, h, w], "target": [oh, ow], "filter": name})
open("parts.rgb", "wb").write(pixels)
with open("parts.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")
