"""Writes the same images in every format that holds image files, with other
people's tools, so that runs on them can be compared to the last bit.

    pip install pillow pyarrow webdataset
    python bench/formats/write.py DIR [N]
    bash bench/formats/compare.sh DIR

N images (2,000) of four classes: shapes on noise, in JPEG and PNG of several
sizes. The order is the same in all formats: by class, then by number.
"""

import csv
import io
import json
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image, ImageDraw

CLASSES = ["circle", "cross", "square", "triangle"]


def picture(rng, k):
    w, h = (int(v) for v in rng.integers(60, 120, 2))
    m = Image.fromarray(rng.integers(0, 90, (h, w, 3)).astype(np.uint8))
    d = ImageDraw.Draw(m)
    ink = tuple(int(v) for v in rng.integers(120, 255, 3))
    r = int(rng.integers(15, 25))
    x, y = int(rng.integers(r, w - r)), int(rng.integers(r, h - r))
    if k == 0:
        d.ellipse([x - r, y - r, x + r, y + r], fill=ink)
    elif k == 1:
        d.line([x - r, y - r, x + r, y + r], fill=ink, width=6)
        d.line([x - r, y + r, x + r, y - r], fill=ink, width=6)
    elif k == 2:
        d.rectangle([x - r, y - r, x + r, y + r], fill=ink)
    else:
        d.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=ink)
    return m


def main(out, n):
    rng = np.random.default_rng(3)
    samples = []  # (path below folder, bytes, class)
    for k, name in enumerate(CLASSES):
        os.makedirs(os.path.join(out, "folder", name), exist_ok=True)
        for i in range(n // len(CLASSES)):
            b = io.BytesIO()
            kind, ending = [("JPEG", "jpg"), ("PNG", "png")][i % 4 == 3]
            picture(rng, k).save(b, kind)
            path = f"{name}/{i:05d}.{ending}"
            samples.append((path, b.getvalue(), k))
            with open(os.path.join(out, "folder", path), "wb") as f:
                f.write(b.getvalue())

    with open(os.path.join(out, "list.csv"), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["path", "label"])
        w.writerows([path, CLASSES[k]] for path, _, k in samples)
    with open(os.path.join(out, "list.jsonl"), "w") as f:
        for path, _, k in samples:
            f.write(json.dumps({"path": path, "label": k}) + "\n")

    with webdataset.ShardWriter(os.path.join(out, "all-%03d.tar"), maxcount=700) as w:
        for path, data, k in samples:
            key, ending = path.replace("/", "-").rsplit(".", 1)
            w.write({"__key__": key, ending: data, "cls": k})

    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}}}
    table = pa.table({
        "image": pa.array([{"bytes": data, "path": path} for path, data, _ in samples], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([k for _, _, k in samples], pa.int64()),
    }).replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, os.path.join(out, "all.parquet"), row_group_size=900)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
