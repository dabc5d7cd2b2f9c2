"""Writes the NumPy files of this folder; formats_arrays_test.go knows the formulas.

    python arrays.py
"""

import numpy as np


def images(n, h, w, c, first=0):
    i, y, x, k = np.mgrid[first:first + n, 0:h, 0:w, 0:c]
    return ((i * 31 + y * 7 + x * 3 + k * 50) % 256).astype(np.uint8)


n, h, w = 12, 5, 4
labels = (np.arange(n) * 2 % 5).astype(np.uint8)[:, None]
np.savez_compressed("medmnist.npz", train_images=images(n, h, w, 3), train_labels=labels,
                    val_images=images(4, h, w, 3, 100), val_labels=labels[:4],
                    test_images=images(2, h, w, 3, 200), test_labels=labels[:2])
np.savez("keras.npz", x_train=images(n, h, w, 1)[..., 0], y_train=labels[:, 0].astype(np.int64),
         x_test=images(4, h, w, 1, 100)[..., 0], y_test=labels[:4, 0].astype(np.int64))
# One split, channels first, floats from 0 to 1, labels of big-endian shorts.
np.savez("floats.npz", images=(images(n, h, w, 3).transpose(0, 3, 1, 2) / 255).astype(np.float32), labels=labels[:, 0].astype(">i2"))
np.savez("fortran.npz", images=np.asfortranarray(images(n, h, w, 3)), labels=labels)
np.savez("open.npz", images=images(n, 3, w, 3), labels=labels)
np.savez("objects.npz", images=images(n, h, w, 3), labels=np.array([None] * n, dtype=object))
# safetensors: the arrays of medmnist.npz, and targets of other types; needs the package of that name.
from safetensors.numpy import save_file
save_file({"train_images": images(n, h, w, 3), "train_labels": labels, "val_images": images(4, h, w, 3, 100), "val_labels": labels[:4],
           "train_boxes": np.arange(n * 6, dtype=np.float32).reshape(n, 2, 3), "val_boxes": -np.arange(24, dtype=np.float32).reshape(4, 2, 3),
           "train_mask": images(n, h, w, 1)[..., 0] % 4, "val_mask": images(4, h, w, 1)[..., 0] % 4,
           "train_counts": np.arange(n, dtype=np.int32)[:, None] * 7, "val_counts": np.arange(4, dtype=np.int32)[:, None],
           "half": np.zeros((n, 2), np.float16)}, "arrays.safetensors", metadata={"by": "arrays.py"})
