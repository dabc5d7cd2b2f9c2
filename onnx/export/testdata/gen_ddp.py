#!/usr/bin/env python3
"""Record nine training steps of resnet8 by PyTorch's DistributedDataParallel on two processes (gloo, CPU).

usage: gen_ddp.py      writes ddp.safetensors.gz beside this script
Needs torch. Model, weights and batches are those of gen_steps.py; process r takes half r of each batch of 16.

In float32, recipe a: lr [9]; loss float64 [9], the mean over both halves; param/P every max(1, size // 512)-th element
after the last step; buffer/R/B the running statistics of process R, which are left to differ (broadcast_buffers=False).
"""
import os, sys, tempfile
import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from fixture import write_gzip, write_tensors
from gen_steps import HERE, RAMP, RECIPES, SCALE, batches, build, normalized, thin

STEPS, BATCH = 9, 16


def rank(r, rendezvous, folder):
    dist.init_process_group("gloo", init_method="file://" + rendezvous, rank=r, world_size=2)
    torch.set_num_threads(1)
    with torch.no_grad():
        plain = build("resnet8")
    model = torch.nn.parallel.DistributedDataParallel(plain.train(), broadcast_buffers=False)
    recipe = RECIPES["a"]
    opt = torch.optim.SGD(model.parameters(), lr=1.0, momentum=recipe["momentum"], weight_decay=recipe["weight_decay"])
    images, labels, _ = batches()
    x, y = normalized(images, torch.float32), torch.from_numpy(labels)
    lr = np.float32(np.float64(RAMP) * recipe["lr"] * SCALE["resnet8"])[:STEPS]
    losses = []
    for k in range(STEPS):
        at = k * BATCH + r * BATCH // 2
        part = slice(at, at + BATCH // 2)
        loss = F.cross_entropy(model(x[part]), y[part])
        opt.param_groups[0]["lr"] = float(lr[k])
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    out = {"loss": np.float64(losses), "lr": lr}
    out.update({"param/" + p: thin(t) for p, t in plain.named_parameters()})
    out.update({"buffer/%d/%s" % (r, b): t.numpy() for b, t in plain.named_buffers() if not b.endswith("num_batches_tracked")})
    np.savez(os.path.join(folder, "%d.npz" % r), **out)
    dist.destroy_process_group()


def main():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(rank, (os.path.join(folder, "rendezvous"), folder), nprocs=2)
        a, b = (dict(np.load(os.path.join(folder, "%d.npz" % r))) for r in (0, 1))
    out = dict(a)
    out["loss"] = (a["loss"] + b["loss"]) / 2
    out.update({k: v for k, v in b.items() if k.startswith("buffer/")})
    path = os.path.join(HERE, "ddp.safetensors.gz")
    write_tensors(path, out, {"torch": torch.__version__})


if __name__ == "__main__":
    main()
