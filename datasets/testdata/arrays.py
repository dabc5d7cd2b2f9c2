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
