#!/usr/bin/env python3
"""The peer of the loader benchmark: PyTorch's DataLoader with torchvision and Pillow.

usage: torch_loader.py make DIR                        the images that both sides read
       torch_loader.py time DIR CASE WORKERS SECONDS   one JSON line
Needs torch, torchvision and numpy. Each case ends in batches of uint8 [N, C, H, W], as the other side's do.
"""
import json, os, resource, sys, time
import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2

BATCH = 64
FOLDERS = {"jpeg500": (500, 375, 256), "jpeg2048": (2048, 1536, 32)}  # width, height, images
CROP = v2.Compose([v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()])
ARRAYS = {  # channels, side, samples, transform: as torchvision.datasets.MNIST and CIFAR10 give images of Pillow's
    "idx": (1, 28, 60000, v2.Compose([v2.RandomCrop(28, padding=2), v2.RandomHorizontalFlip(), v2.PILToTensor()])),
    "cifar10": (3, 32, 50000, v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor()])),
}


def picture(rng, w, h):
    """Clouds, edges and grain: a JPEG of it has about the bytes of a photograph's."""
    small = rng.integers(0, 256, (h // 25, w // 25, 3), dtype=np.uint8)
    clouds = np.asarray(Image.fromarray(small).resize((w, h), Image.Resampling.BICUBIC)).astype(np.float32)
    y, x = np.mgrid[0:h, 0:w]
    edges = 50.0 * ((x // 37 + y // 29) % 2)[..., None]
    return np.clip(clouds * 0.8 + edges + rng.normal(0, 6, (h, w, 3)), 0, 255).astype(np.uint8)


def make(root):
    rng = np.random.default_rng(1)
    for name, (w, h, n) in FOLDERS.items():
        if os.path.exists(os.path.join(root, name)):
            continue
        for i in range(n + 2):  # two for evaluation
            part = os.path.join(root, name + ".new", "train" if i < n else "val", "ab"[i % 2])
            os.makedirs(part, exist_ok=True)
            Image.fromarray(picture(rng, w, h)).save(os.path.join(part, f"{i:04}.jpg"), quality=90)
        os.rename(os.path.join(root, name + ".new"), os.path.join(root, name))
    for name, (c, side, n, _) in ARRAYS.items():
        part = os.path.join(root, name)
        if os.path.exists(part):
            continue
        os.makedirs(part + ".new")
        labels = lambda n: (np.arange(n) % 10).astype(np.uint8)
        pixels = lambda n: rng.integers(0, 256, (n, c * side * side), dtype=np.uint8)
        if name == "idx":
            for prefix, n in (("train", n), ("t10k", 1000)):
                for suffix, shape, data in (("images-idx3-ubyte", (n, side, side), pixels(n)), ("labels-idx1-ubyte", (n,), labels(n))):
                    with open(os.path.join(part + ".new", f"{prefix}-{suffix}"), "wb") as f:
                        f.write(bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes() + data.tobytes())
        else:
            for file in [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]:
                np.concatenate([labels(n // 5)[:, None], pixels(n // 5)], 1).tofile(os.path.join(part + ".new", file))
        os.rename(part + ".new", part)


class Arrays(torch.utils.data.Dataset):
    def __init__(self, root, name):
        self.c, side, n, self.transform = ARRAYS[name]
        if name == "idx":
            images = np.fromfile(os.path.join(root, name, "train-images-idx3-ubyte"), np.uint8)[16:].reshape(n, side, side)
            self.labels = np.fromfile(os.path.join(root, name, "train-labels-idx1-ubyte"), np.uint8)[8:]
        else:
            rows = np.concatenate([np.fromfile(os.path.join(root, name, f"data_batch_{k}.bin"), np.uint8) for k in range(1, 6)])
            rows = rows.reshape(n, 1 + 3 * side * side)
            self.labels, images = rows[:, 0], rows[:, 1:].reshape(n, 3, side, side).transpose(0, 2, 3, 1)
        self.images = np.ascontiguousarray(images)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


def cpu_time(loader):
    """User and system CPU time of this process and of the loader's workers, in milliseconds."""
    own, ticks = resource.getrusage(resource.RUSAGE_SELF), [0, 0]
    for w in loader._iterator._workers:
        with open(f"/proc/{w.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
            ticks = [t + int(v) for t, v in zip(ticks, fields[11:13])]  # proc(5): utime, stime
    return 1e3 * (np.array([own.ru_utime, own.ru_stime]) + np.array(ticks) / os.sysconf("SC_CLK_TCK"))


def measure(root, name, workers, seconds):
    torch.set_num_threads(1)
    data = Arrays(root, name) if name in ARRAYS else datasets.ImageFolder(os.path.join(root, name, "train"), CROP)
    loader = torch.utils.data.DataLoader(data, BATCH if name in ARRAYS else 16, shuffle=True, num_workers=workers, persistent_workers=True)
    best, start, first, cpu, total = [], time.perf_counter(), True, 0.0, 0
    while first or len(best) == 0 or time.perf_counter() - start < seconds:
        begin, n = time.perf_counter(), 0
        for images, _ in loader:
            n += len(images)
            if n >= 512 and (first or time.perf_counter() - start > seconds):
                break
        if first:  # workers start, files get warm
            first, start, cpu = False, time.perf_counter(), cpu_time(loader)
            continue
        best.append(n / (time.perf_counter() - begin))
        total += n
    user, system = (cpu_time(loader) - cpu) / total
    import PIL
    version = f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    print(json.dumps({"images_per_second": float(np.median(best)), "user_ms": user, "system_ms": system, "version": version}))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(sys.argv[2])
    elif len(sys.argv) == 6 and sys.argv[1] == "time":
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
    else:
        sys.exit(__doc__)
