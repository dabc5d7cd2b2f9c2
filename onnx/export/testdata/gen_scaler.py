#!/usr/bin/env python3
"""Record torch.amp.GradScaler: scaler.json beside this script.

usage: gen_scaler.py          write the file (needs torch)

A list of runs; each has the first scale ("init"), the steps with finite
gradients after which it grows ("interval"), and for every step whether the
gradients were finite ("finite"), whether the optimizer took the step ("taken"),
and the scale and the growth tracker after it ("scale", "tracker").
"""
import json, os
import torch

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scaler.json")
RUNS = [
    dict(init=65536.0, interval=2000, finite="110100"),
    dict(init=65536.0, interval=3, finite="1111111011011100111111"),
    dict(init=2.0**125, interval=1, finite="1111011"),
    dict(init=1.0, interval=2, finite="000011111"),
]

for run in RUNS:
    run["finite"] = [c == "1" for c in run["finite"]]
    p = torch.nn.Parameter(torch.zeros(()))
    sgd = torch.optim.SGD([p], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=run["init"], growth_interval=run["interval"])
    run["taken"], run["scale"], run["tracker"] = [], [], []
    for finite in run["finite"]:
        scaler.scale(p * 0).backward()
        p.grad = torch.tensor(1e-3 if finite else float("inf"))
        before = p.item()
        scaler.step(sgd)
        scaler.update()
        sgd.zero_grad()
        run["taken"].append(p.item() != before)
        run["scale"].append(scaler.get_scale())
        run["tracker"].append(scaler._get_growth_tracker())

with open(PATH, "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(run) for run in RUNS) + "\n]\n")
print("torch", torch.__version__)
