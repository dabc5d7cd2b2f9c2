"""Writes the same images in every format, with other people's tools, so that runs
on them can be compared to the last bit: files of several sizes in DIR/files, and
in DIR/colour, DIR/fine (of 100 classes) and DIR/grey (32x32 all) what raw
formats can hold, in files too.

    pip install pillow pyarrow webdataset
    python bench/formats/write.py DIR [N]
    bash bench/formats/compare.sh DIR

N images (2,000) each: shapes on noise, of four classes in JPEG and PNG of several
sizes; small ones with a split of their own, PNG where they are files. The order is the same in all formats: by class, then by number.
"""

import csv
import io
import json
import os
import struct
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image, ImageDraw

CLASSES = ["circle", "cross", "square", "triangle"]


def picture(rng, k):
    """A shape of four, of class k % 4."""
    k %= len(CLASSES)
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


def dataset_info(names):
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}}}
    return {"huggingface": json.dumps(info)}


def image_table(samples, names):
    return pa.table({
        "image": pa.array([{"bytes": data, "path": path} for path, data, _ in samples], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([k for _, _, k in samples], pa.int64()),
    }).replace_schema_metadata(dataset_info(names))


def shards(pattern, samples):
    with webdataset.ShardWriter(pattern, maxcount=700) as w:
        for path, data, k in samples:
            key, ending = path.replace("/", "-").rsplit(".", 1)
            w.write({"__key__": key, ending: data, "cls": k})


def small(out, n, side, channels, classes):
    """Both splits of small images, in files and raw."""
    rng = np.random.default_rng(4)
    names = [f"{k:02d}" for k in range(classes)]
    rows = []
    arrays = {}
    for split, count in [("train", n * 4 // 5), ("val", n // 5)]:
        samples, pixels, labels = [], [], []
        for k in range(classes):
            os.makedirs(os.path.join(out, "folder", split, names[k]), exist_ok=True)
            for i in range(count // classes):
                m = picture(rng, k).resize((side, side)).convert("RGB" if channels == 3 else "L")
                b = io.BytesIO()
                m.save(b, "PNG")
                path = f"{split}/{names[k]}/{i:05d}.png"
                samples.append((path, b.getvalue(), k))
                rows.append((path, k, split))
                pixels.append(np.asarray(m))
                labels.append(k)
                with open(os.path.join(out, "folder", path), "wb") as f:
                    f.write(b.getvalue())
        shards(os.path.join(out, split + "-%03d.tar"), samples)
        name = {"train": "train", "val": "validation"}[split]
        pq.write_table(image_table(samples, names), os.path.join(out, f"{name}-00000-of-00001.parquet"), row_group_size=900)
        arrays[split] = np.stack(pixels), np.array(labels, np.uint8)

    with open(os.path.join(out, "list.csv"), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["path", "label", "split"])
        w.writerows(rows)
    with open(os.path.join(out, "list.jsonl"), "w") as f:
        for path, k, split in rows:
            f.write(json.dumps({"path": path, "label": k, "split": split}) + "\n")

    (x, y), (xv, yv) = arrays["train"], arrays["val"]
    np.savez_compressed(os.path.join(out, "all.npz"), x_train=x, y_train=y, x_test=xv, y_test=yv)
    os.makedirs(os.path.join(out, "npy"), exist_ok=True)
    for name, a in [("train_images", x), ("train_labels", y), ("val_images", xv), ("val_labels", yv)]:
        np.save(os.path.join(out, "npy", name), a)
    if channels == 3:  # Krizhevsky's binary files, by numpy
        planes = lambda a, labels: np.hstack([labels, a.transpose(0, 3, 1, 2).reshape(len(a), -1)]).astype(np.uint8)
        head, batches, test = (lambda y: y[:, None]), [f"data_batch_{k}.bin" for k in range(1, 6)], "test_batch.bin"
        if classes == 100:
            head, batches, test = (lambda y: np.stack([y // 5, y], 1)), ["train.bin"], "test.bin"
        os.makedirs(os.path.join(out, "cifar"), exist_ok=True)
        for name, s in zip(batches, np.array_split(np.arange(len(y)), len(batches))):
            planes(x[s], head(y[s])).tofile(os.path.join(out, "cifar", name))
        planes(xv, head(yv)).tofile(os.path.join(out, "cifar", test))
    else:  # LeCun's
        os.makedirs(os.path.join(out, "idx"), exist_ok=True)
        for name, a in [("train-images-idx3-ubyte", x), ("train-labels-idx1-ubyte", y), ("t10k-images-idx3-ubyte", xv), ("t10k-labels-idx1-ubyte", yv)]:
            with open(os.path.join(out, "idx", name), "wb") as f:
                f.write(struct.pack(">BBBB", 0, 0, 8, a.ndim) + struct.pack(f">{a.ndim}I", *a.shape) + a.tobytes())


def files(out, n):
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

    shards(os.path.join(out, "all-%03d.tar"), samples)
    pq.write_table(image_table(samples, CLASSES), os.path.join(out, "all.parquet"), row_group_size=900)


if __name__ == "__main__":
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    if n < 500:
        sys.exit("N: 500 or more, as one set has a hundred classes in both splits")
    files(os.path.join(sys.argv[1], "files"), n)
    small(os.path.join(sys.argv[1], "colour"), n, 32, 3, 10)
    small(os.path.join(sys.argv[1], "fine"), n, 32, 3, 100)
    small(os.path.join(sys.argv[1], "grey"), n, 32, 1, 10)
