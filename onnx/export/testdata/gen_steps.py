#!/usr/bin/env python3
"""Record ten training steps of small models in PyTorch, and export the models.

usage: gen_steps.py t113     with torch 1.13: NAME.t113.onnx.gz by the TorchScript exporter
       gen_steps.py dynamo   with a current torch: NAME.dynamo.onnx.gz by its default exporter,
                             batches.safetensors.gz and NAME.steps.safetensors.gz
       gen_steps.py check    with any torch: repeat the steps and print how far they are from the files
Needs torch and onnx; the files land beside this script.

The default exporter of torch 2.15 folds batch normalisation into convolutions even in training mode, so models
that have it are exported with optimize=False. Weights are drawn from a seed; large tensors are rounded, so that they compress.

batches.safetensors.gz: images uint8 [155,1,28,28], labels int64 [155], sample_weights float32 [155] and sizes
int64 [10]: step k takes the next sizes[k] samples. Models read (x/255 - mean)/std; mean and std are metadata.

NAME.steps.safetensors.gz holds, for every recipe R in metadata "recipes" (JSON), in float32 on the CPU:
  R/lr float32 [10]            learning rate of each step
  R/loss float64 [10]          mean loss over the batch, unweighted, label smoothing included
  R/loss64 float64 [10]        the same from a run in float64
  R/objective float64 [10]     what was differentiated: (1/N) sum_i w_i l_i, w = 1 unless the recipe is weighted
  R/per_sample.K, R/logits.K   losses [N] and logits [N,10] of step K = 1 and 10, before its update
  R/grad_norm/P float64 []     L2 norm of the objective's gradient by parameter P at step 1, weight decay not in it
  R/grad/P float32             elements 0, s, 2s, ... of that gradient, flattened, where s = max(1, size // 512)
  R/param_norm/P, R/param/P    the same of the parameter after step 10
  R/buffer/B float32           running means and variances after step 10
  R/eval_logits float32        logits of the last batch in evaluation mode after step 10
Recipe c starts like a, so it records no gradients. Metadata "drift" (JSON) gives by recipe how far rounding alone moves
the results: the largest relative difference (losses each, the rest by norm) to a run in float64 and to JITTERS runs
in float32 whose initial weights differ by about one unit in the last place.
"""
import gzip, json, os, sys, tempfile, warnings
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from fixture import write_gzip, write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES, SIZES, MEAN, STD, JITTERS = 10, [16] * 9 + [11], 0.2860, 0.3530, 4
RECIPES = {  # lr is the base: R/lr = lr * RAMP * SCALE
    "a": dict(lr=0.05, momentum=0.9, nesterov=False, weight_decay=5e-4, smoothing=0.0, weighted=False),
    "b": dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, smoothing=0.1, weighted=False),
    "c": dict(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0, smoothing=0.0, weighted=False),
    "d": dict(lr=0.05, momentum=0.9, nesterov=False, weight_decay=5e-4, smoothing=0.0, weighted=True),
}
RAMP = [0.25, 0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.25, 0.125]
SCALE = {"mlp": 1.0, "lenet": 1.0, "resnet8": 0.2}  # small enough that one ReLU on the edge moves no loss by 1e-4


class Residual(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.short = nn.Sequential()
        if stride != 1 or cin != cout:
            self.short = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


class ResNet8(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.layers = nn.Sequential(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        return self.fc(self.layers(F.relu(self.bn(self.conv(x)))).mean((2, 3)))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, CLASSES))


MODELS = {"mlp": mlp, "lenet": lenet, "resnet8": ResNet8}


def build(name):
    """The model with weights that depend on the name alone, the same under every torch and NumPy."""
    model, draw = MODELS[name](), np.random.RandomState(sorted(MODELS).index(name) + 1)
    for key, t in sorted(model.state_dict().items()):
        shape = tuple(t.shape)
        if key.endswith("num_batches_tracked"):
            continue
        if key.endswith("running_var"):
            v = 1 + draw.randint(-4, 9, shape) / 16
        elif key.endswith("running_mean"):
            v = draw.randint(-4, 5, shape) / 16
        elif "bn" in key or "short.1" in key:
            v = (16 if key.endswith("weight") else 0) + draw.randint(-4, 5, shape)
            v = v / 16
        else:
            fan = int(np.prod(shape[1:])) if len(shape) > 1 else 64
            v = draw.uniform(-1, 1, shape) / np.sqrt(fan)
            if v.size > 1000:
                v = np.round(v * 256) / 256
        t.copy_(torch.from_numpy(np.asarray(v, np.float32).reshape(shape)))
    return model


def batches():
    """Two blobs whose places depend on the class, moved a little, on a dim background with coarse noise."""
    draw, n = np.random.RandomState(7), sum(SIZES)
    labels = draw.randint(0, CLASSES, n).astype(np.int64)
    yy, xx = np.mgrid[0:28, 0:28]
    images = np.empty((n, 1, 28, 28), np.uint8)
    for i, k in enumerate(labels):
        a = 2 * np.pi * k / CLASSES
        img = 12.0 * draw.randint(0, 4, (28, 28))
        for radius, turn, level in ((8, a, 215), (5, 3 * a + 1, 130)):
            cy, cx = 14 + radius * np.sin(turn) + draw.randint(-1, 2), 14 + radius * np.cos(turn) + draw.randint(-1, 2)
            img += level * ((yy - cy) ** 2 + (xx - cx) ** 2 < 17)
        images[i, 0] = np.clip(img, 0, 255)
    weights = draw.choice(np.array([1, 1, 1, 2, 1.5, 0.25], np.float32), n)
    return images, labels, weights


def normalized(images, dtype):
    x = torch.from_numpy(images).to(dtype) / 255
    mean, std = np.float32(MEAN), np.float32(STD)
    return (x - float(mean)) / float(std)


def thin(t):
    flat = t.detach().reshape(-1)
    return flat[::max(1, flat.numel() // 512)].clone().numpy()


def norm(t):
    return np.float64(t.detach().double().norm().item())


def train(name, recipe, dtype, jitter=0):
    r, model = RECIPES[recipe], build(name).to(dtype)
    if jitter:
        torch.manual_seed(jitter)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + 6e-8 * torch.randn_like(p))
    model.train()
    opt = torch.optim.SGD(model.parameters(), lr=1.0, momentum=r["momentum"], nesterov=r["nesterov"],
                          weight_decay=r["weight_decay"])
    images, labels, weights = batches()
    x, y, w = normalized(images, dtype), torch.from_numpy(labels), torch.from_numpy(weights).to(dtype)
    lr = np.float32(np.float64(RAMP) * r["lr"] * SCALE[name])
    out, at, losses, objectives = {"lr": lr}, 0, [], []
    for k, n in enumerate(SIZES):
        part = slice(at, at + n)
        at += n
        logits = model(x[part])
        each = F.cross_entropy(logits, y[part], reduction="none", label_smoothing=r["smoothing"])
        objective = (each * w[part]).sum() / n if r["weighted"] else each.mean()
        opt.param_groups[0]["lr"] = float(lr[k])
        opt.zero_grad()
        objective.backward()
        losses.append(each.detach().mean().item())
        objectives.append(objective.item())
        if k in (0, len(SIZES) - 1):
            out["per_sample.%d" % (k + 1)] = each.detach().numpy()
            out["logits.%d" % (k + 1)] = logits.detach().numpy()
        if k == 0 and recipe != "c":
            for p, t in model.named_parameters():
                out["grad_norm/" + p], out["grad/" + p] = norm(t.grad), thin(t.grad)
        opt.step()
    for p, t in model.named_parameters():
        out["param_norm/" + p], out["param/" + p] = norm(t), thin(t)
    for b, t in model.named_buffers():
        if not b.endswith("num_batches_tracked"):
            out["buffer/" + b] = t.clone().numpy()
    model.eval()
    with torch.no_grad():
        out["eval_logits"] = model(x[part]).numpy()
    out["loss"], out["objective"] = np.float64(losses), np.float64(objectives)
    return out


def distance(got, want):
    """Largest relative difference by kind: losses element by element, the rest by norm."""
    worst = {}
    for key, v in want.items():
        kind = key.split("/")[0].split(".")[0]
        u, v = np.asarray(got[key], np.float64), np.asarray(v, np.float64)
        if kind in ("loss", "objective"):
            d = np.max(np.abs(u - v) / np.abs(v))
        elif kind in ("grad", "param", "buffer", "logits", "per_sample", "eval_logits"):
            d = np.linalg.norm(u - v) / max(np.linalg.norm(v), 1e-12)
        else:
            continue
        worst[kind] = max(worst.get(kind, 0), float("%.1e" % d))
    return worst


def record(name):
    tensors, drift = {}, {}
    for recipe in RECIPES:
        got, exact = train(name, recipe, torch.float32), train(name, recipe, torch.float64)
        drift[recipe] = distance(got, exact)
        for j in range(JITTERS):
            for kind, d in distance(train(name, recipe, torch.float32, j + 1), got).items():
                drift[recipe][kind] = max(drift[recipe][kind], d)
        got["loss64"] = exact["loss"]
        tensors.update({recipe + "/" + k: v for k, v in got.items()})
        print(name, recipe, np.round(got["loss"], 4), drift[recipe])
    meta = dict(model=name, recipes=json.dumps(RECIPES), drift=json.dumps(drift), torch=torch.__version__.split("+")[0])
    write_tensors(os.path.join(HERE, name + ".steps.safetensors.gz"), tensors, meta)


def check(name):
    import struct
    with gzip.open(os.path.join(HERE, name + ".steps.safetensors.gz")) as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    types = {"F64": np.float64, "F32": np.float32}
    saved = {k: np.frombuffer(data[slice(*h["data_offsets"])], types[h["dtype"]]).reshape(h["shape"])
             for k, h in header.items() if k != "__metadata__"}
    for recipe in RECIPES:
        want = {k[2:]: v for k, v in saved.items() if k.startswith(recipe + "/") and k != recipe + "/loss64"}
        print(name, recipe, distance(train(name, recipe, torch.float32), want))


def export(name, kind):
    import onnx.numpy_helper
    model, x = build(name).train(), torch.zeros(2, 1, 28, 28)
    names = dict(input_names=["images"], output_names=["logits"])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = os.path.join(folder, "m.onnx")
        if kind == "t113":
            torch.onnx.export(model, x, path, opset_version=17, training=torch.onnx.TrainingMode.PRESERVE,
                              do_constant_folding=False, dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}}, **names)
        else:
            torch.onnx.export(model, (x,), path, dynamic_shapes=({0: torch.export.Dim("N")},), external_data=False,
                              optimize=not any(isinstance(m, nn.BatchNorm2d) for m in model.modules()),
                              verbose=False, **names)
        m = onnx.load(path)
    want = {k: v.numpy() for k, v in build(name).state_dict().items()}
    for t in m.graph.initializer:
        if t.name.rsplit(".", 1)[-1] in ("running_mean", "running_var"):
            # the TorchScript exporter runs the model once in training mode before it saves these
            t.CopyFrom(onnx.numpy_helper.from_array(want[t.name], t.name))
        elif t.name in want:
            assert np.array_equal(onnx.numpy_helper.to_array(t), want[t.name]), t.name
    for n in m.graph.node:  # stack traces hold paths of the exporting machine
        n.doc_string = ""
        if kind == "dynamo":
            kept = [p for p in n.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
            del n.metadata_props[:]
            n.metadata_props.extend(kept)
    write_gzip(os.path.join(HERE, "%s.%s.onnx.gz" % (name, kind)), m.SerializeToString(deterministic=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in ("t113", "dynamo", "check"):
        sys.exit(__doc__)
    if kind == "dynamo":
        images, labels, weights = batches()
        write_tensors(os.path.join(HERE, "batches.safetensors.gz"), dict(
            images=images, labels=labels, sample_weights=weights, sizes=np.int64(SIZES)), dict(mean=MEAN, std=STD))
    for model_name in MODELS:
        if kind == "check":
            check(model_name)
            continue
        export(model_name, kind)
        if kind == "dynamo":
            record(model_name)
