#!/usr/bin/env python3
"""Export a small detector with its loss inside, and record twenty steps of it in PyTorch.

usage: gen_detect.py
Needs torch and onnx; detect.onnx and detect.json land beside this script.

It is anchor-free, of one scale: of 32x32 grey images a grid of 8x8 cells, each with the logit of an object's centre
lying in it, logits of ten classes and the box [x, y, width, height] as shares of the side. Inputs are images [N, 1,
32, 32] and boxes [N, 3, 5]: class from 1 (0 for none), centre and size, as "glyphs:task=boxes,size=32" has them.
Outputs are predictions [N, 15, 8, 8] and loss, the mean over images of: the binary cross-entropy of centres over all
cells, summed and divided by 8, and of each object the cross-entropy of its class and four times the L1 distance of
its box, in the cell of its centre.

Step s takes samples 4*s to 4*s+3, pixels and boxes by mix() of gen_tasks.py: pixel p of sample i is
byte(mix(i*1024+p)), and number j of box k is mix(77*(i+1)+10*k+j)%1000/1000, the class mix(77*(i+1)+10*k)%11 (0 none),
width and height 0.1 plus 0.3 of that. SGD, rate 0.1.
"""
import json, os
import torch
import torch.nn as nn
import torch.nn.functional as F
from gen_tasks import mix

HERE, SIDE, GRID, CLASSES, STEPS, BATCH, LR = os.path.dirname(os.path.abspath(__file__)), 32, 8, 10, 20, 4, 0.1


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
                                  nn.Conv2d(32, 48, 3, 2, 1), nn.ReLU(), nn.Conv2d(48, 48, 3, 1, 1), nn.ReLU())
        self.head = nn.Conv2d(48, 1 + CLASSES + 4, 1)
        self.register_buffer("cells", torch.arange(GRID * GRID, dtype=torch.float32).view(1, 1, -1))
        self.register_buffer("kinds", torch.arange(1, CLASSES + 1, dtype=torch.float32).view(1, 1, -1))

    def forward(self, images, boxes):
        maps = self.head(self.body(images))
        p = maps.flatten(2)  # [N, 15, cells]
        kind, xy = boxes[:, :, 0:1], boxes[:, :, 1:3]
        there = (kind > 0.5).float()  # [N, 3, 1]
        cell = torch.clamp(torch.floor(xy * GRID), 0, GRID - 1)
        at = cell[:, :, 1:2] * GRID + cell[:, :, 0:1]
        hit = ((self.cells - at).abs() < 0.5).float() * there  # [N, 3, cells]
        centre = hit.sum(1).clamp(0, 1)
        x = p[:, 0]
        objects = (F.softplus(x) - x * centre).sum(1) / 8
        own = torch.matmul(hit, p.transpose(1, 2))  # [N, 3, 15]: what the cell of each box says
        same = ((self.kinds - kind).abs() < 0.5).float()
        classes = -(own[:, :, 1:1 + CLASSES].log_softmax(2) * same).sum(2)
        far = ((own[:, :, 1 + CLASSES:] - boxes[:, :, 1:5]).abs() * there).sum(2)
        loss = (objects + (classes * there[:, :, 0] + 4 * far).sum(1)).mean()
        return maps, loss


def batch(s):
    samples = range(BATCH * s, BATCH * s + BATCH)
    images = torch.tensor([[mix(i * SIDE * SIDE + p) % 256 / 255 for p in range(SIDE * SIDE)] for i in samples]).view(BATCH, 1, SIDE, SIDE)
    rows = [[[mix(77 * (i + 1) + 10 * k) % 11] + [mix(77 * (i + 1) + 10 * k + j) % 1000 / 1000 * (1 if j < 3 else 0.3) + (0 if j < 3 else 0.1) for j in range(1, 5)]
             for k in range(3)] for i in samples]
    return images, torch.tensor(rows, dtype=torch.float32)


def main():
    torch.manual_seed(3)
    model = Detector()
    torch.onnx.export(model, batch(0), os.path.join(HERE, "detect.onnx"), dynamo=False, input_names=["images", "boxes"], output_names=["predictions", "loss"],
                      dynamic_axes={n: {0: "N"} for n in ("images", "boxes", "predictions")}, opset_version=17, training=torch.onnx.TrainingMode.TRAINING)
    sgd, losses = torch.optim.SGD(model.parameters(), LR), []
    for s in range(STEPS):
        loss = model(*batch(s))[1]
        losses.append(loss.item())
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    with open(os.path.join(HERE, "detect.json"), "w") as f:
        json.dump(losses, f)


if __name__ == "__main__":
    main()
