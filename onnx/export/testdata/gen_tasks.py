#!/usr/bin/env python3
"""Record twenty training steps of small models by losses of vectors and masks in PyTorch, and export the models.

usage: gen_tasks.py
Needs torch, torchvision and onnx; tasks.NAME.onnx and tasks.json land beside this script, and own.NAME.onnx and own.json
of models that hold their loss: cross-entropy of masks with class weights and a class that is left out, and of classes
times a weight of each sample, whose loss is [N].

Step s takes samples 4*s to 4*s+3: the pixel p of sample i is byte(mix(i*64+p)), target k of a vector
mix(1000003*(i+1)+k)%256/255, or that above 1/2 where a loss is of 0 and 1, the class of pixel p
mix(7000003*(i+1)+p)%K, or 255 (left out) where mix(9000011*(i+1)+p)%8 is 0, with mix(x) as below. SGD, no momentum.
Losses are the means over samples of what reduction "none" gives, an image's being the mean over its pixels that
count, so that every sample has a loss of its own.
"""
import json, os
import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

HERE, SIDE, STEPS, BATCH, LR = os.path.dirname(os.path.abspath(__file__)), 8, 20, 4, 0.5


def mix(x):
    x = (x ^ (x >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
    x = (x ^ (x >> 12)) * 0x297A2D39 & 0xFFFFFFFF
    return x ^ (x >> 15)


def images(s):
    return torch.tensor([[mix(i * SIDE * SIDE + p) % 256 / 255 for p in range(SIDE * SIDE)] for i in range(BATCH * s, BATCH * s + BATCH)]).view(BATCH, 1, SIDE, SIDE)


def vectors(s, k, hard):
    v = torch.tensor([[mix(1000003 * (i + 1) + j) % 256 / 255 for j in range(k)] for i in range(BATCH * s, BATCH * s + BATCH)])
    return (v > 0.5).float() if hard else v


def masks(s, k):
    def at(i, p):
        return 255 if mix(9000011 * (i + 1) + p) % 8 == 0 else mix(7000003 * (i + 1) + p) % k
    return torch.tensor([[at(i, p) for p in range(SIDE * SIDE)] for i in range(BATCH * s, BATCH * s + BATCH)]).view(BATCH, SIDE, SIDE)


class First(nn.Module):
    def forward(self, x):
        return x[:, 0]


torch.manual_seed(5)
MODELS = {
    "vector": nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 8), nn.Tanh(), nn.Linear(8, 5)),
    "mask": nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 3, 3, padding=1)),
    "single": nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 1, 3, padding=1)),
    "flat": nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 1, 3, padding=1), nn.Sigmoid(), First()),  # probabilities [N, H, W]
    "points": nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 8), nn.Tanh(), nn.Linear(8, 5), nn.Unflatten(1, (1, 5))),  # [N, 1, 5]
}
W5, W3, P5 = [0.5, 2, 1, 1.5, 0.25], [0.5, 2, 1], [3, 1, 0.5, 2, 4]


def pixels(each, y):  # [N, H, W] -> [N]
    valid = (y != 255).float()
    return (each * valid).flatten(1).sum(1) / valid.flatten(1).sum(1)


def hot(y, k):
    y = torch.where(y == 255, 0, y)
    return y.unsqueeze(1).float() if k == 1 else F.one_hot(y, k).permute(0, 3, 1, 2).float()


def dice(x, y, w, smooth):
    k = x.shape[1]
    valid = (y != 255).float().unsqueeze(1)
    p, t = (torch.sigmoid(x) if k == 1 else x.softmax(1)) * valid, hot(y, k) * valid
    d = (2 * (p * t).sum((2, 3)) + smooth) / (p.sum((2, 3)) + t.sum((2, 3)) + smooth)
    return 1 - (d * w).sum(1) / w.sum()


def tensor(w, *shape):
    return torch.tensor(w, dtype=torch.float32).view(*shape)


# name, model, whether targets are 0 and 1, settings as the bundle names them, the losses of samples
CASES = [
    ("cross-entropy", "vector", False, {}, lambda x, t: F.cross_entropy(x, t, reduction="none")),
    ("cross-entropy", "vector", False, {"class_weights": W5}, lambda x, t: F.cross_entropy(x, t, tensor(W5, 5), reduction="none")),
    ("bce", "vector", True, {"pos_weight": P5, "class_weights": W5}, lambda x, t: F.binary_cross_entropy_with_logits(x, t, tensor(W5, 5), pos_weight=tensor(P5, 5), reduction="none").mean(1)),
    ("bce", "vector", False, {"pos_weight": [2.5]}, lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=torch.tensor(2.5), reduction="none").mean(1)),
    ("focal", "vector", True, {"gamma": 2, "alpha": 0.25}, lambda x, t: sigmoid_focal_loss(x, t).mean(1)),
    ("focal", "vector", True, {"gamma": 0.5}, lambda x, t: sigmoid_focal_loss(x, t, -1, 0.5).mean(1)),
    ("mse", "vector", False, {"class_weights": W5}, lambda x, t: (F.mse_loss(x, t, reduction="none") * tensor(W5, 5)).mean(1)),
    ("mse", "vector", False, {}, lambda x, t: F.mse_loss(x, t, reduction="none").mean(1)),
    ("l1", "vector", False, {}, lambda x, t: F.l1_loss(x, t, reduction="none").mean(1)),
    ("huber", "vector", False, {"delta": 0.3}, lambda x, t: F.huber_loss(x, t, reduction="none", delta=0.3).mean(1)),
    ("cross-entropy", "mask", False, {}, lambda x, y: pixels(F.cross_entropy(x, y, ignore_index=255, reduction="none"), y)),
    ("cross-entropy", "mask", False, {"class_weights": W3}, lambda x, y: pixels(F.cross_entropy(x, y, tensor(W3, 3), ignore_index=255, reduction="none"), y)),
    ("cross-entropy", "mask", False, {"smoothing": 0.1}, lambda x, y: pixels(F.cross_entropy(x, y, ignore_index=255, label_smoothing=0.1, reduction="none"), y)),
    ("bce", "mask", False, {"class_weights": W3, "pos_weight": W3}, lambda x, y: pixels(F.binary_cross_entropy_with_logits(x, hot(y, 3), tensor(W3, 3, 1, 1), pos_weight=tensor(W3, 3, 1, 1), reduction="none").mean(1), y)),
    ("focal", "mask", False, {"gamma": 2, "alpha": 0.25}, lambda x, y: pixels(sigmoid_focal_loss(x, hot(y, 3)).mean(1), y)),
    ("dice", "mask", False, {"dice_smooth": 1}, lambda x, y: dice(x, y, torch.ones(3), 1)),
    ("dice", "mask", False, {"class_weights": W3}, lambda x, y: dice(x, y, tensor(W3, 3), 0)),
    ("bce", "single", False, {}, lambda x, y: pixels(F.binary_cross_entropy_with_logits(x, hot(y, 1), reduction="none").mean(1), y)),
    ("dice", "single", False, {"dice_smooth": 1}, lambda x, y: dice(x, y, torch.ones(1), 1)),
    ("huber", "points", False, {"delta": 0.3}, lambda x, t: F.huber_loss(x, t.unsqueeze(1), reduction="none", delta=0.3).mean((1, 2))),
    ("bce", "flat", False, {}, lambda p, y: pixels(F.binary_cross_entropy(p, hot(y, 1)[:, 0], reduction="none"), y)),
    ("dice", "flat", False, {"dice_smooth": 1}, lambda p, y: dice(p.logit().unsqueeze(1), y, torch.ones(1), 1)),
    ("focal", "flat", False, {"gamma": 2, "alpha": 0.25}, lambda p, y: pixels(sigmoid_focal_loss(p.logit(), hot(y, 1)[:, 0]), y)),
]


class OwnMask(nn.Module):
    """The loss of PyTorch itself: over all pixels of the batch, by the sum of their weights."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 3, 3, padding=1))
        self.register_buffer("importance", tensor(W3, 3))

    def forward(self, x, mask):
        y = self.body(x)
        return y, F.cross_entropy(y, mask, self.importance, ignore_index=255)


class OwnWeight(nn.Module):
    def __init__(self, reduction):
        super().__init__()
        self.body, self.reduction = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 8), nn.Tanh(), nn.Linear(8, 3)), reduction

    def forward(self, x, label, weight):
        y = self.body(x)
        if self.reduction == "sum":
            return y, F.cross_entropy(y, label, reduction="sum") * weight.mean()
        each = F.cross_entropy(y, label, reduction="none") * weight
        return y, each


OWN = {"mask": OwnMask, "weight": lambda: OwnWeight("none"), "sum": lambda: OwnWeight("sum")}


def own():
    """Twenty steps of each: of a mask, or of class mask[0] of 3, or 0 where it is left out, and a weight, vectors(s, 1)."""
    records = []
    for name, made in OWN.items():
        torch.manual_seed(6)
        model, losses = made(), []

        def inputs(s):
            y = masks(s, 3)
            if name == "mask":
                return {"images": images(s), "mask": y}
            first = y[:, 0, 0]
            return {"images": images(s), "label": torch.where(first == 255, 0, first), "weight": vectors(s, 1, False)[:, 0]}
        torch.onnx.export(model, tuple(inputs(0).values()), os.path.join(HERE, f"own.{name}.onnx"), dynamo=False, input_names=list(inputs(0)),
                          output_names=["scores", "loss"], dynamic_axes={n: {0: "N"} for n in [*inputs(0), "scores"] + ["loss"] * (name == "weight")},
                          training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, opset_version=17)
        sgd = torch.optim.SGD(model.parameters(), 0.05 if name == "sum" else LR)
        for s in range(STEPS):
            loss = model(*inputs(s).values())[1].mean()
            losses.append(loss.item())
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        records.append({"model": name, "rate": sgd.param_groups[0]["lr"], "losses": losses})
    with open(os.path.join(HERE, "own.json"), "w") as f:
        json.dump(records, f, indent=0)


def main():
    start = {}
    for name, model in MODELS.items():
        start[name] = {k: v.clone() for k, v in model.state_dict().items()}
        torch.onnx.export(model, (images(0),), os.path.join(HERE, f"tasks.{name}.onnx"), dynamo=False, input_names=["images"],
                          output_names=["scores"], dynamic_axes={"images": {0: "N"}, "scores": {0: "N"}}, opset_version=17)
    records = []
    for name, of, hard, settings, loss in CASES:
        model = MODELS[of]
        model.load_state_dict(start[of])
        sgd, losses, first = torch.optim.SGD(model.parameters(), LR), [], None
        for s in range(STEPS):
            target = vectors(s, 5, hard) if of in ("vector", "points") else masks(s, 3 if of == "mask" else 2)
            each = loss(model(images(s)), target)
            first = each.tolist() if first is None else first
            losses.append(each.mean().item())
            sgd.zero_grad()
            each.mean().backward()
            sgd.step()
        records.append({"model": of, "hard": hard, "loss": {"name": name, **settings}, "losses": losses, "first": first})
    with open(os.path.join(HERE, "tasks.json"), "w") as f:
        json.dump(records, f, indent=0)


if __name__ == "__main__":
    main()
    own()
