"""Writes the files of this folder with Pillow: odd image files with the pixels
that Pillow gives for them, and resized images.

    python pillow.py        (Pillow 13 or later)
"""

import io
import json
import zlib
import struct

import numpy as np
from PIL import Image

W, H = 21, 17


def scene(h=H, w=W, channels=3):
    """A picture of slopes and edges; the same formula is in pillow_test.go."""
    y, x, c = np.mgrid[0:h, 0:w, 0:channels]
    v = (x * 11 + y * 5 + c * 60 + ((x // 4 + y // 3) % 2) * 70) % 256
    return v.astype(np.uint8)


def png(ihdr, chunks):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + b"".join(chunk(k, d) for k, d in chunks) + chunk(b"IEND", b"")


def sixteen(colour, samples):
    """A PNG of 16 bits a sample; samples [H, W, channels] uint16."""
    h, w, _ = samples.shape
    rows = b"".join(b"\0" + samples[y].astype(">u2").tobytes() for y in range(h))
    return png(struct.pack(">IIBBBBB", w, h, 16, colour, 0, 0, 0), [(b"IDAT", zlib.compress(rows))])


index = []


def keep(name, data, rgb=None, exact=True):
    with open(name, "wb") as f:
        f.write(data)
    m = Image.open(io.BytesIO(data))
    colour = np.asarray(m.convert("RGB")) if rgb is None else rgb
    grey = np.asarray(Image.fromarray(colour).convert("L")) if m.mode != "L" else np.asarray(m)
    h, w, _ = colour.shape
    with open(name + ".rgb", "wb") as f:
        f.write(colour.tobytes())
    with open(name + ".l", "wb") as f:
        f.write(grey.tobytes())
    index.append({"file": name, "h": h, "w": w, "exact": exact})


def saved(m, kind, **options):
    out = io.BytesIO()
    m.save(out, kind, **options)
    return out.getvalue()


rgb = Image.fromarray(scene())
grey = rgb.convert("L")
alpha = Image.fromarray(np.dstack([scene(), scene(channels=1)]))

# JPEG: the subsamplings, progressive, grey, four inks.
for name, sub in [("444", 0), ("422", 1), ("420", 2)]:
    keep(f"jpeg{name}.jpg", saved(rgb, "JPEG", quality=90, subsampling=sub), exact=False)
keep("progressive.jpg", saved(rgb, "JPEG", quality=90, progressive=True), exact=False)
keep("grey.jpg", saved(grey, "JPEG", quality=90), exact=False)
keep("cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG", quality=95), exact=False)
ycck = bytearray(saved(rgb.convert("CMYK"), "JPEG", quality=95))
ycck[ycck.index(b"Adobe") + 11] = 2  # the transform: the same four planes are YCbCr and black
keep("ycck.jpg", bytes(ycck), exact=False)
keep("onepixel.jpg", saved(rgb.crop((0, 0, 1, 1)), "JPEG", quality=95), exact=False)
keep("twopixels.jpg", saved(rgb.crop((0, 0, 3, 2)), "JPEG", quality=95), exact=False)

# PNG: depths, palettes, transparency.
keep("rgb.png", saved(rgb, "PNG"))
keep("grey.png", saved(grey, "PNG"))
keep("bit.png", saved(grey.convert("1"), "PNG"))
keep("rgba.png", saved(alpha, "PNG"))
keep("greyalpha.png", saved(alpha.convert("LA"), "PNG"))
keep("palette.png", saved(rgb.quantize(16), "PNG"))
keep("palettetransparent.png", saved(rgb.quantize(16), "PNG", transparency=3))
keep("onepixel.png", saved(rgb.crop((0, 0, 1, 1)), "PNG"))
deep = scene().astype(np.uint16) * 256 + 77
keep("rgb16.png", sixteen(2, deep))
keep("rgba16.png", sixteen(6, np.dstack([deep, deep[:, :, :1]])))
# Grey of 16 bits: the upper byte, where Pillow's convert saturates at 255.
keep("grey16.png", sixteen(0, deep[:, :, :1]), rgb=np.repeat(scene(channels=1), 3, axis=2))

# The others.
keep("still.gif", saved(rgb.quantize(32), "GIF"))
frames = [rgb.quantize(32), rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT).quantize(32)]
keep("animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
keep("rgb.bmp", saved(rgb, "BMP"))
keep("palette.bmp", saved(rgb.quantize(256), "BMP"))
keep("lossy.webp", saved(rgb, "WEBP", quality=80))
keep("lossless.webp", saved(rgb, "WEBP", lossless=True))
keep("alpha.webp", saved(alpha, "WEBP", quality=80, exact=True))
keep("animated.webp", saved(rgb, "WEBP", quality=80, save_all=True, append_images=[rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]))
keep("rgb.tif", saved(rgb, "TIFF"))
keep("lzw.tif", saved(rgb, "TIFF", compression="tiff_lzw"))
keep("grey.tif", saved(grey, "TIFF"))

with open("odd.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in index) + "\n]\n")

# Resizing: (source h, w), box (y, x, h, w), target h, w, filter.
resized = []
pixels = b""
for source, box, target, name in [
    ((40, 52), (0, 0, 40, 52), (16, 21), "bilinear"),
    ((40, 52), (0, 0, 40, 52), (16, 21), "bicubic"),
    ((40, 52), (5, 7, 30, 33), (24, 24), "bilinear"),
    ((40, 52), (5, 7, 30, 33), (24, 24), "bicubic"),
    ((13, 9), (0, 0, 13, 9), (31, 27), "bilinear"),
    ((13, 9), (0, 0, 13, 9), (31, 27), "bicubic"),
    ((40, 52), (0, 0, 40, 52), (40, 20), "bilinear"),
    ((40, 52), (0, 0, 40, 52), (17, 52), "bicubic"),
    ((200, 3), (0, 0, 200, 3), (8, 8), "bilinear"),
    ((1, 1), (0, 0, 1, 1), (4, 5), "bilinear"),
    ((300, 401), (10, 3, 280, 390), (7, 5), "bicubic"),
    ((60, 50), (0, 0, 60, 40), (28, 28), "bilinear"),  # rows go first from Pillow 13 on
    ((60, 50), (1, 2, 53, 40), (28, 28), "bicubic"),
    ((60, 50), (0, 0, 52, 40), (28, 28), "bicubic"),  # and here they do not
]:
    y, x, h, w = box
    m = Image.fromarray(scene(*source)).crop((x, y, x + w, y + h))
    how = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[name]
    out = np.asarray(m.resize((target[1], target[0]), how))
    resized.append({"source": source, "box": box, "target": target, "filter": name})
    pixels += out.tobytes()
with open("resized.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e) for e in resized) + "\n]\n")
with open("resized.rgb", "wb") as f:
    f.write(pixels)
