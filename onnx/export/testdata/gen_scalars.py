#!/usr/bin/env python3
"""Record four steps of each optimizer on a network with parameters without dimensions, exported by both of
PyTorch's exporters: scalars.dynamo.onnx, scalars.ts.onnx and scalars.safetensors.gz beside this script.

The network is logits = fc2(tanh(fc1(flatten(x)) * gamma * scale * 0.5)) / temperature; gamma and temperature are
parameters [], scale is a buffer []. The problem, the recipes and the names of the record are gen_optim.py's.
"""
import json, os
import numpy as np, onnx, torch
import torch.nn as nn, torch.nn.functional as F
import gen_optim
from fixture import write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
RECIPES = {k: gen_optim.RECIPES[k] for k in ("sgd-decay", "sgd-clip", "sgd-no-decay-1d", "adam-decay", "adamw-no-decay-1d",
                                             "adamw-clip-ema", "rmsprop-centered-decay", "lars", "lars-no-decay-1d",
                                             "lamb", "lamb-no-decay-1d")}
RECIPES["lars"] = dict(RECIPES["lars"], lr=1.0)
STEPS = 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 5), nn.Linear(5, 3)
        self.gamma, self.temperature = nn.Parameter(torch.tensor(0.75)), nn.Parameter(torch.tensor(1.25))
        self.register_buffer("scale", torch.tensor(1.5))
        init = gen_optim.problem()[2]
        with torch.no_grad():
            for name, p in self.named_parameters():
                if name in init:
                    p.copy_(torch.from_numpy(init[name]))

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x.flatten(1)) * self.gamma * self.scale * 0.5)) / self.temperature


def run(r):
    x, labels, _ = gen_optim.problem()
    net = Net()
    params = dict(net.named_parameters())
    lr = np.float32(np.float64(gen_optim.RAMP) * r["lr"])
    by_hand = {"LARS": gen_optim.LARS, "LAMB": gen_optim.LAMB}.get(r["opt"])
    opt = by_hand(r) if by_hand else gen_optim.optimizer(r, params)
    out = {"lr": lr[:STEPS], "loss": np.zeros(STEPS)}
    out.update({"param/" + p: np.zeros((STEPS,) + tuple(t.shape), np.float32) for p, t in params.items()})
    for k in range(STEPS):
        net.zero_grad()
        loss = F.cross_entropy(net(torch.from_numpy(x[k])), torch.from_numpy(labels[k]))
        loss.backward()
        out["loss"][k] = loss.item()
        if "clip" in r:
            nn.utils.clip_grad_norm_(list(params.values()), r["clip"])
        if by_hand:
            with torch.no_grad():
                for p, t in params.items():
                    t.copy_(torch.from_numpy(np.asarray(opt.step(p, t.numpy().copy(), t.grad.numpy(), lr[k]))))
        else:
            for group in opt.param_groups:
                group["lr"] = float(lr[k])
            opt.step()
        for p, t in params.items():
            out["param/" + p][k] = t.detach().numpy()
    return out


def main():
    torch.set_num_threads(1)
    x = torch.zeros(2, 1, 2, 3)
    torch.onnx.export(Net(), (x,), os.path.join(HERE, "scalars.dynamo.onnx"), dynamic_shapes=({0: torch.export.Dim("N")},),
                      external_data=False, optimize=False, verbose=False, input_names=["x"], output_names=["logits"])
    torch.onnx.export(Net(), (x,), os.path.join(HERE, "scalars.ts.onnx"), dynamo=False, opset_version=17,
                      dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}}, input_names=["x"], output_names=["logits"])
    path = os.path.join(HERE, "scalars.dynamo.onnx")
    m = onnx.load(path)
    for n in m.graph.node:  # drop stack traces, which hold paths
        del n.metadata_props[:]
        n.doc_string = ""
    onnx.save(m, path)
    images, labels, _ = gen_optim.problem()
    tensors = {"x": images[:STEPS], "labels": labels[:STEPS]}
    for name, r in RECIPES.items():
        tensors.update({name + "/" + k: v for k, v in run(r).items()})
    write_tensors(os.path.join(HERE, "scalars.safetensors.gz"), tensors,
                  {"recipes": json.dumps(RECIPES), "torch": torch.__version__})


if __name__ == "__main__":
    main()
