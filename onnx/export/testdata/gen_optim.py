#!/usr/bin/env python3
"""Record ten steps of each optimizer on one small network: optim.safetensors.gz beside this script.

usage: gen_optim.py          write the file (needs torch)
       gen_optim.py check    with another torch: repeat the steps and print how far they are from the file

The network is logits = fc2(tanh(fc1(flatten(x)))), the loss its mean cross-entropy, all in float32:
  x float32 [10,8,1,2,3], labels int64 [10,8]      a batch for each step
  init/P                                           fc1.weight [5,6], fc1.bias [5], fc2.weight [3,5], fc2.bias [3]
For every recipe R of metadata "recipes" (JSON: optimizer and its options, as PyTorch names them):
  R/lr float32 [10]       learning rate of each step
  R/loss float64 [10]     loss of each step, before its update
  R/grad/P [10,...]       gradient of each step, before clipping and weight decay
  R/param/P [10,...]      parameter after each step
  R/ema/P                 running average of the parameter after step 10, where the recipe has ema = d:
                          it starts as the parameter; after each step e = d e + (1-d) p
Options beyond PyTorch's: clip = maximum global norm of the gradients (torch.nn.utils.clip_grad_norm_);
no_decay_1d = no weight decay on tensors of one dimension, nor, for LARS and LAMB, a trust ratio (it is 1).

LARS: You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017, algorithm 1:
  q = trust |w| / (|g| + decay |w|);  v = momentum v + lr q (g + decay w);  w = w - v
LAMB: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020, algorithm 2:
  Adam's corrected moments m, s;  r = m / (sqrt(s) + eps) + decay w;  w = w - lr (|w| / |r|) r
In both the ratio is 1 where either norm is 0.
"""
import gzip, json, os, struct, sys
import numpy as np
import torch
import torch.nn.functional as F
from fixture import write_tensors

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optim.safetensors.gz")
STEPS, BATCH = 10, 8
RAMP = [0.5, 1, 1, 1, 0.8, 0.8, 0.6, 0.4, 0.2, 0.1]
SHAPES = {"fc1.weight": (5, 6), "fc1.bias": (5,), "fc2.weight": (3, 5), "fc2.bias": (3,)}
RECIPES = {
    "sgd": dict(opt="SGD", lr=0.5),
    "sgd-momentum": dict(opt="SGD", lr=0.2, momentum=0.9),
    "sgd-nesterov": dict(opt="SGD", lr=0.2, momentum=0.9, nesterov=True),
    "sgd-decay": dict(opt="SGD", lr=0.2, momentum=0.9, weight_decay=0.05),
    "sgd-nesterov-decay": dict(opt="SGD", lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.05),
    "sgd-clip": dict(opt="SGD", lr=0.5, momentum=0.9, weight_decay=0.01, clip=0.25),
    "sgd-no-decay-1d": dict(opt="SGD", lr=0.2, momentum=0.9, weight_decay=0.1, no_decay_1d=True),
    "sgd-ema": dict(opt="SGD", lr=0.5, ema=0.9),
    "adam": dict(opt="Adam", lr=0.05, betas=[0.9, 0.999], eps=1e-8),
    "adam-betas": dict(opt="Adam", lr=0.05, betas=[0.8, 0.95], eps=1e-4),
    "adam-decay": dict(opt="Adam", lr=0.05, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.05),
    "adam-amsgrad": dict(opt="Adam", lr=0.05, betas=[0.9, 0.9], eps=1e-8, amsgrad=True),
    "adamw": dict(opt="AdamW", lr=0.05, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01),
    "adamw-decay": dict(opt="AdamW", lr=0.05, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.5),
    "adamw-no-decay-1d": dict(opt="AdamW", lr=0.05, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.5, no_decay_1d=True),
    "adamw-clip-ema": dict(opt="AdamW", lr=0.05, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.05, clip=0.25, ema=0.99),
    "rmsprop": dict(opt="RMSprop", lr=0.01, alpha=0.99, eps=1e-8),
    "rmsprop-momentum": dict(opt="RMSprop", lr=0.01, alpha=0.9, eps=1e-3, momentum=0.9),
    "rmsprop-centered-decay": dict(opt="RMSprop", lr=0.01, alpha=0.9, eps=1e-2, momentum=0.9, centered=True,
                                   weight_decay=0.05),
    "lars": dict(opt="LARS", lr=20.0, trust=0.01, momentum=0.9, weight_decay=0.05),
    "lars-no-decay-1d": dict(opt="LARS", lr=1.0, trust=0.1, momentum=0.9, weight_decay=0.05, no_decay_1d=True),
    "lamb": dict(opt="LAMB", lr=0.05, betas=[0.9, 0.999], eps=1e-6, weight_decay=0.05),
    "lamb-no-decay-1d": dict(opt="LAMB", lr=0.05, betas=[0.9, 0.999], eps=1e-6, weight_decay=0.05, no_decay_1d=True),
}


def problem():
    draw = np.random.RandomState(11)
    init = {p: (draw.uniform(-1, 1, s) / np.sqrt(s[-1])).astype(np.float32) for p, s in SHAPES.items()}
    labels = draw.randint(0, 3, (STEPS, BATCH)).astype(np.int64)
    centers = draw.randn(3, 6)
    x = (centers[labels] + 0.5 * draw.randn(STEPS, BATCH, 6)).astype(np.float32)
    return x.reshape(STEPS, BATCH, 1, 2, 3), labels, init


class LARS:
    def __init__(self, r):
        self.r, self.v = r, {}

    def step(self, name, w, g, lr):
        r, decay, f = self.r, w.dtype.type(self.r["weight_decay"]), w.dtype.type
        ratio = f(1)
        if w.ndim <= 1 and r.get("no_decay_1d"):
            decay = f(0)
        else:
            nw, ng = np.linalg.norm(w), np.linalg.norm(g)
            if nw > 0 and ng > 0:
                ratio = f(r["trust"]) * nw / (ng + decay * nw)
        v = f(r["momentum"]) * self.v.get(name, np.zeros_like(w)) + f(lr) * ratio * (g + decay * w)
        self.v[name] = v
        return w - v


class LAMB:
    def __init__(self, r):
        self.r, self.m, self.s, self.t = r, {}, {}, {}

    def step(self, name, w, g, lr):
        r, f = self.r, w.dtype.type
        b1, b2 = r["betas"]
        t = self.t[name] = self.t.get(name, 0) + 1
        m = self.m[name] = f(b1) * self.m.get(name, np.zeros_like(w)) + f(1 - b1) * g
        s = self.s[name] = f(b2) * self.s.get(name, np.zeros_like(w)) + f(1 - b2) * g * g
        u = (m / f(1 - b1 ** t)) / (np.sqrt(s / f(1 - b2 ** t)) + f(r["eps"]))
        plain = w.ndim <= 1 and r.get("no_decay_1d")
        if not plain:
            u = u + f(r["weight_decay"]) * w
        nw, nu = np.linalg.norm(w), np.linalg.norm(u)
        ratio = nw / nu if nw > 0 and nu > 0 and not plain else f(1)
        return w - f(lr) * ratio * u


def optimizer(r, params):
    own = ("opt", "lr", "clip", "ema", "no_decay_1d")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in r.items() if k not in own}
    groups = [dict(params=list(params.values()))]
    if r.get("no_decay_1d"):
        groups = [dict(params=[p for p in params.values() if p.ndim > 1]),
                  dict(params=[p for p in params.values() if p.ndim <= 1], weight_decay=0.0)]
    return getattr(torch.optim, r["opt"])(groups, lr=1.0, **options)


def run(r, dtype=torch.float32):
    x, labels, init = problem()
    x, labels = torch.from_numpy(x).to(dtype).flatten(2), torch.from_numpy(labels)
    params = {p: torch.from_numpy(v.copy()).to(dtype).requires_grad_() for p, v in init.items()}
    ema = {p: t.detach().clone() for p, t in params.items()}
    lr = np.float32(np.float64(RAMP) * r["lr"])
    numpy_opt = {"LARS": LARS, "LAMB": LAMB}.get(r["opt"])
    opt = numpy_opt(r) if numpy_opt else optimizer(r, params)
    out = {"lr": lr, "loss": np.zeros(STEPS)}
    for p, t in params.items():
        out["grad/" + p] = np.zeros((STEPS,) + tuple(t.shape), t.detach().numpy().dtype)
        out["param/" + p] = out["grad/" + p].copy()
    for k in range(STEPS):
        for t in params.values():
            t.grad = None
        hidden = torch.tanh(F.linear(x[k], params["fc1.weight"], params["fc1.bias"]))
        loss = F.cross_entropy(F.linear(hidden, params["fc2.weight"], params["fc2.bias"]), labels[k])
        loss.backward()
        out["loss"][k] = loss.item()
        for p, t in params.items():
            out["grad/" + p][k] = t.grad.numpy()
        if "clip" in r:
            torch.nn.utils.clip_grad_norm_(list(params.values()), r["clip"])
        if numpy_opt:
            with torch.no_grad():
                for p, t in params.items():
                    t.copy_(torch.from_numpy(np.asarray(opt.step(p, t.numpy().copy(), t.grad.numpy(), lr[k]))))
        else:
            for group in opt.param_groups:
                group["lr"] = float(lr[k])
            opt.step()
        for p, t in params.items():
            out["param/" + p][k] = t.detach().numpy()
            ema[p] = r.get("ema", 0) * ema[p] + (1 - r.get("ema", 0)) * t.detach()
    if "ema" in r:
        out.update({"ema/" + p: t.numpy() for p, t in ema.items()})
    return out


def distance(a, b):
    return max(float(np.linalg.norm(np.float64(a[k]) - b[k]) / np.linalg.norm(b[k])) for k in b)


def main():
    torch.set_num_threads(1)
    if sys.argv[1:] == ["check"]:
        with gzip.open(PATH) as f:
            (n,) = struct.unpack("<Q", f.read(8))
            header, data = json.loads(f.read(n)), f.read()
        types = {"F64": np.float64, "F32": np.float32, "I64": np.int64}
        for name, r in RECIPES.items():
            want = {k[len(name) + 1:]: np.frombuffer(data[slice(*h["data_offsets"])], types[h["dtype"]]).reshape(h["shape"])
                    for k, h in header.items() if k.startswith(name + "/")}
            print("%-24s %.1e" % (name, distance(run(r), want)))
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    x, labels, init = problem()
    tensors, drift = dict({"init/" + p: v for p, v in init.items()}, x=x, labels=labels), {}
    for name, r in RECIPES.items():
        got = run(r)
        drift[name] = float("%.1e" % distance(got, run(r, torch.float64)))
        print("%-24s" % name, np.round(got["loss"], 3), drift[name])
        tensors.update({name + "/" + k: v for k, v in got.items()})
    write_tensors(PATH, tensors, dict(recipes=json.dumps(RECIPES), drift=json.dumps(drift),
                                      torch=torch.__version__.split("+")[0]))


if __name__ == "__main__":
    main()
