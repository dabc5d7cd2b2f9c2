#!/usr/bin/env python3
"""Record the loss, gradients and batch statistics of one step, in float64, of networks whose channels make whole
blocks of 8 and none of 16, and of networks whose filters are computed, exported by both of PyTorch's exporters:
blocks.NAME.EXPORTER.onnx.gz and blocks.safetensors.gz beside this script.
"""
import os, warnings
import numpy as np, onnx, torch
import torch.nn as nn, torch.nn.functional as F
from torch.nn.utils import weight_norm
from torch.nn.utils.parametrizations import weight_norm as parametrized
from fixture import write_gzip, write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = 8


class Chunks(nn.Module):
    """Part of the channels is convolved, and all are joined and normalised (InceptionNeXt, arXiv 2303.16900)."""
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 96, 2, stride=2)
        self.a = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.b = nn.Conv2d(24, 24, (1, 3), padding=(0, 1), groups=24)
        self.bn, self.head = nn.BatchNorm2d(96), nn.Linear(96, 5)

    def forward(self, x):
        p = list(self.stem(x).chunk(4, 1))
        p[1], p[2] = self.a(p[1]), self.b(p[2])
        return self.head(torch.tanh(self.bn(torch.cat(p, 1))).mean((2, 3)))


class Joined(nn.Module):
    """Concatenations of 24, 40 and 56 channels, pooled and grown again."""
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 24, 3, padding=1), nn.Conv2d(24, 16, 1), nn.Conv2d(40, 16, 1, groups=8)
        self.bn, self.head = nn.BatchNorm2d(40), nn.Linear(56, 5)

    def forward(self, x):
        a = self.a(x)
        ab = F.avg_pool2d(torch.cat([a, torch.sigmoid(self.b(a))], 1), 2)
        up = F.interpolate(torch.tanh(self.bn(ab)), scale_factor=2.0)
        return self.head(torch.cat([self.c(up), up], 1).mean((2, 3)))


class Norms(nn.Module):
    """Filters of a direction and a length (arXiv 1602.07868), in both of PyTorch's forms."""
    def __init__(self):
        super().__init__()
        self.a = weight_norm(nn.Conv2d(3, 16, 3, padding=1))
        self.b = parametrized(nn.Conv2d(16, 24, 3, stride=2))
        self.c = parametrized(nn.Conv2d(24, 24, 3, padding=1, groups=24))
        self.head = weight_norm(nn.Linear(24, 5))

    def forward(self, x):
        x = torch.tanh(self.b(torch.tanh(self.a(x))))
        return self.head(torch.tanh(self.c(x)).mean((2, 3)))


def export(net, x, name, exporter):
    path = os.path.join(HERE, "tmp.onnx")
    if exporter == "ts":
        torch.onnx.export(net, (x,), path, dynamo=False, opset_version=17, training=torch.onnx.TrainingMode.PRESERVE,
                          do_constant_folding=False, input_names=["images"], dynamic_axes={"images": {0: "N"}})
    else:
        torch.onnx.export(net, (x,), path, dynamo=True, optimize=False, external_data=False, input_names=["images"],
                          dynamic_shapes=({0: torch.export.Dim("N", min=2)},))
    m = onnx.load(path)
    os.remove(path)
    for n in [m, m.graph, *m.graph.node, *m.functions]:  # where in a file a node came from
        n.ClearField("doc_string"), n.ClearField("metadata_props")
    write_gzip(os.path.join(HERE, f"blocks.{name}.{exporter}.onnx.gz"), m.SerializeToString())


def main():
    warnings.filterwarnings("ignore")
    out = {}
    for name, make, channels, size in (("chunks", Chunks, 3, 8), ("joined", Joined, 2, 4), ("norms", Norms, 3, 7)):
        def fresh():
            torch.manual_seed(1)
            return make().train()
        g = torch.Generator().manual_seed(2)
        x, labels = torch.randn(BATCH, channels, size, size, generator=g), torch.randint(5, (BATCH,), generator=g)
        out[f"{name}/x"], out[f"{name}/labels"] = x.numpy(), labels.numpy()
        for exporter in ("ts", "dynamo"):
            export(fresh(), x, name, exporter)
        net = fresh().double()
        before = {b: t.clone() for b, t in net.named_buffers() if t.dtype == torch.float64}
        loss = F.cross_entropy(net(x.double()), labels)
        loss.backward()
        out[f"{name}/loss"] = np.array([loss.item()])
        out.update({f"{name}/grad/{p}": t.grad.numpy() for p, t in net.named_parameters()})
        # Of the batch alone: tracing a module for the older exporter moves its running statistics.
        out.update({f"{name}/batch/{b}": (t - 0.9 * before[b]).numpy() * 10 for b, t in net.named_buffers() if b in before})
    write_tensors(os.path.join(HERE, "blocks.safetensors.gz"), out, {"torch": torch.__version__})


if __name__ == "__main__":
    main()
