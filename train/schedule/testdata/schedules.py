"""Writes schedules.json: learning rates of PyTorch's schedulers, to check schedule.go.

    python3 train/schedule/testdata/schedules.py > train/schedule/testdata/schedules.json

The schedulers count steps and Winnow's schedules read progress in epochs, so a
run of 10 epochs is sampled in many small steps: OneCycleLR's phases end one
step early, which then shifts them by 1e-5 of the run, up to 8e-5 of the rate.
"""
import json
import sys

import torch
from torch.optim import lr_scheduler as s

EPOCHS, STEPS, LR = 10, 100_000, 0.2
PER_EPOCH = STEPS // EPOCHS


def run(make):
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    sched = make(opt)
    out = []
    for k in range(STEPS):
        if k % (STEPS // 40) == 0:
            out.append([k / PER_EPOCH, opt.param_groups[0]["lr"]])
        opt.step()
        sched.step()
    return out


def warm_cosine(opt):
    warm = 2 * PER_EPOCH
    return s.SequentialLR(opt, [
        s.LinearLR(opt, start_factor=0.05, end_factor=1.0, total_iters=warm),
        s.CosineAnnealingLR(opt, T_max=STEPS - warm, eta_min=0.001),
    ], milestones=[warm])


cases = [
    {"schedule": {"name": "constant"}, "want": run(lambda o: s.LambdaLR(o, lambda _: 1.0))},
    {"schedule": {"name": "step", "decay_epochs": 3, "decay_rate": 0.1},
     "want": run(lambda o: s.StepLR(o, 3 * PER_EPOCH, 0.1))},
    {"schedule": {"name": "cosine", "min_lr": 0.01},
     "want": run(lambda o: s.CosineAnnealingLR(o, STEPS, eta_min=0.01))},
    {"schedule": {"name": "cosine", "min_lr": 0.001, "warmup_epochs": 2, "warmup_lr": 0.05 * LR},
     "want": run(warm_cosine)},
    {"schedule": {"name": "onecycle", "pct_start": 0.3, "div_factor": 25, "final_div": 1e4},
     "want": run(lambda o: s.OneCycleLR(o, LR, total_steps=STEPS + 1))},
    {"schedule": {"name": "onecycle", "pct_start": 0.2, "div_factor": 10, "final_div": 100},
     "want": run(lambda o: s.OneCycleLR(o, LR, total_steps=STEPS + 1, pct_start=0.2, div_factor=10, final_div_factor=100))},
]
json.dump({"torch": torch.__version__, "epochs": EPOCHS, "lr": LR, "cases": cases}, sys.stdout, indent=1)
sys.stdout.write("\n")
