"""Writes mix.json: batches as timm's FastCollateMixup mixes them, with what it
drew, and the losses that PyTorch gives a linear model on them.

    python mix.py
"""

import json

import numpy as np
import timm.data.mixup as mixup
import torch


def images(n, c, h, w):
    """The same formula is in mix_test.go."""
    i, k, y, x = np.mgrid[0:n, 0:c, 0:h, 0:w]
    return ((i * 71 + k * 37 + y * y * 13 + x * 29 + (i * x) % 5 * 50) % 256).astype(np.uint8)


cases = []
for n, c, h, w, classes, smoothing, kind, lam, center in [
    (6, 3, 5, 7, 4, 0.0, "mixup", 0.3, None),
    (5, 1, 4, 4, 3, 0.1, "mixup", 0.8125, None),
    (4, 1, 4, 4, 3, 0.0, "mixup", 0.5, None),
    (6, 3, 8, 6, 4, 0.1, "cutmix", 0.4, (4, 3)),
    (5, 1, 9, 9, 3, 0.0, "cutmix", 0.7, (0, 8)),
    (7, 2, 6, 6, 5, 0.2, "cutmix", 0.01, (1, 1)),
]:
    x = images(n, c, h, w)
    labels = [(i * i + 1) % classes for i in range(n)]
    collate = mixup.FastCollateMixup(label_smoothing=smoothing, num_classes=classes)
    collate._params_per_batch = lambda: (lam, kind == "cutmix")
    places = iter(center or ())
    mixup.np.random.randint = lambda lo, hi, size=None: next(places)
    out = torch.zeros((n, c, h, w), dtype=torch.uint8)
    batch = [(x[i], labels[i]) for i in range(n)]
    share = collate._mix_batch_collate(out, batch)
    target = mixup.mixup_target(torch.tensor(labels), classes, share, smoothing)
    # a linear model: one weight for each pixel and class, by a formula
    d = c * h * w
    j, k = np.mgrid[0:d, 0:classes]
    weight = torch.tensor(((j * 7 + k * 11) % 13 - 6) / 13.0, dtype=torch.float32)
    logits = (out.reshape(n, d).float() / 255) @ weight
    losses = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    cases.append({
        "n": n, "c": c, "h": h, "w": w, "classes": classes, "smoothing": smoothing, "kind": kind, "lam": lam, "center": center or [0, 0], "share": share,
        "images": out.reshape(-1).tolist(), "target": [float(v) for v in target.reshape(-1)], "losses": [float(v) for v in losses], "loss": float(losses.mean()),
    })

with open("mix.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in cases) + "\n]\n")
