#!/usr/bin/env python3
"""Record five steps of plain SGD, in float64, on networks with tensors that are no parameters, tensors used twice and
frozen statistics, and their files by both of PyTorch's exporters: trained.NAME.onnx and trained.safetensors.gz beside this.

  buffers  a mean, a position table, a mask and a constant beside parameters, and a shared block whose normalisation is
           fresh (1 and 0) and whose bias is zero: one parameter each
  norm     a batch normalisation whose statistics stay while its scale and shift train (bn.eval())
  fixed    the same with scale and shift kept too
"""
import copy, os
import numpy as np, onnx, torch
import torch.nn as nn, torch.nn.functional as F
from fixture import write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, N, RATE = 5, 8, 0.1


class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1, 1), 0.4))
        self.register_buffer("pe", torch.randn(1, 3, 6, 4))
        self.register_buffer("mask", torch.triu(torch.full((6, 6), -100.0), 1))
        self.register_buffer("scale", torch.tensor(0.5))
        self.k = torch.tensor([1.0, 0.5, 2.0]).view(3, 1, 1)
        self.temperature = nn.Parameter(torch.tensor(1.25))
        self.conv, self.norm, self.block, self.head = nn.Conv2d(1, 3, 3, padding=1), nn.LayerNorm(4), nn.Linear(4, 4), nn.Linear(72, 5)
        nn.init.zeros_(self.block.bias)

    def forward(self, x):
        x = self.conv(x - self.mean) * self.k + self.pe
        x = torch.softmax(x @ x.transpose(-1, -2) * self.scale * self.temperature + self.mask, -1) @ x
        for _ in range(2):
            x = x + torch.tanh(self.block(self.norm(x)))
        return self.head(x.flatten(1))


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(72, 5)
        with torch.no_grad():
            for t in (self.bn.weight, self.bn.running_var):
                t.uniform_(0.5, 1.5)
            for t in (self.bn.bias, self.bn.running_mean):
                t.normal_(0, 0.3)

    def forward(self, x):
        return self.head(torch.relu(self.bn(self.conv(x))).flatten(1))


def run(net, x, labels, keep=()):
    net = copy.deepcopy(net).double()
    if hasattr(net, "k"):
        net.k = net.k.double()
    params = {k: p for k, p in net.named_parameters() if k not in keep}
    out = {"loss": np.zeros(STEPS)}
    for k in range(STEPS):
        net.zero_grad()
        loss = F.cross_entropy(net(torch.from_numpy(x[k]).double()), torch.from_numpy(labels[k]))
        loss.backward()
        out["loss"][k] = loss.item()
        with torch.no_grad():
            for p in params.values():
                p -= RATE * p.grad
    out.update({"param/" + k: p.detach().float().numpy() for k, p in params.items()})
    return out


def export(net, name, how):
    path, x = os.path.join(HERE, f"trained.{name}.onnx"), torch.zeros(2, 1, 6, 4)
    if how == "dynamo":
        torch.onnx.export(net, (x,), path, dynamic_shapes=({0: torch.export.Dim("N")},), external_data=False,
                          optimize=False, verbose=False, input_names=["x"], output_names=["logits"])
    else:
        torch.onnx.export(net, (x,), path, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                          opset_version=17, dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}}, input_names=["x"], output_names=["logits"])
    m = onnx.load(path)
    for n in m.graph.node:  # drop stack traces, which hold paths
        del n.metadata_props[:]
        n.doc_string = ""
    onnx.save(m, path)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    r = np.random.default_rng(0)
    x = r.random((STEPS, N, 1, 6, 4), dtype=np.float32)
    labels = r.integers(0, 5, (STEPS, N))
    buffers, norm = Buffers().train(), Norm().train()
    export(buffers, "dynamo", "dynamo")
    export(buffers, "ts", "ts")
    export(norm, "norm", "ts")
    tensors = {"x": x, "labels": labels}
    for name, got in (("buffers", run(buffers, x, labels)), ("norm", run(norm.eval(), x, labels)),
                      ("fixed", run(norm.eval(), x, labels, ("bn.weight", "bn.bias")))):
        tensors.update({name + "/" + k: v for k, v in got.items()})
    write_tensors(os.path.join(HERE, "trained.safetensors.gz"), tensors, {"torch": torch.__version__})


if __name__ == "__main__":
    main()
