#!/usr/bin/env python3
"""Export one network of each torchvision family and record its gradients and five training steps in PyTorch.

usage: gen.py OUT [NAME ...]     NAME.EXPORTER.onnx and NAME.safetensors in the folder OUT, of every network or of those named
       gen.py --list             print the names

Needs torch, torchvision, onnx and onnxscript. EXPORTER is "torchscript" (dynamo=False) and "dynamo" (the default exporter).
Weights, images and labels come from a seed; dropout and stochastic depth have probability 0, so that both sides compute the same.
Everything is in training mode: normalisation uses the statistics of the batch.

The default exporter folds batch normalisation into convolutions even in training mode unless optimize=False is given.
The TorchScript exporter refuses adaptive pooling to a size that does not divide the map, so alexnet and vgg11_bn
take images of 224; alexnet_64 and vgg11_bn_64 have that pooling, and the other exporter takes it.

NAME.safetensors holds
  images float32 [N,3,S,S], labels int64 [N]
  grad/P float32            gradient of the mean cross-entropy by parameter P, computed in float64
  loss float64 [5]          losses of five steps of SGD (momentum 0.9, rate LR) on that batch, each before its update, in float32
and as metadata drift (JSON): by parameter, how far rounding alone moves the gradient, relative by norm: the worst of three
float32 runs against float64: a plain one, one in channels-last order, which sums in another order, and one whose weights differ
by a few units in the last place; and loss_drift, how far the second moves the five losses of the first.

A ReLU, a clipped activation or the maximum of a window whose operands lie within rounding of the edge takes one branch in one
run and the other in the next, and then moves the gradients of n values by about 1/sqrt(n): no two float32 programs agree.
So the scale and shift of batch normalisations are drawn such that few activations lie near an edge, and
the first of TRIES image seeds (TRIES_LARGE for images of 224) is taken whose drift is at most STEADY in every parameter and
loss, or the steadiest of them. A program that adds up in yet another order can still meet an edge that PyTorch's variants
miss: the networks of OTHER have a second record, NAME.other.safetensors, of the next such seed, by which they are judged then.
"""
import json, os, sys, time, warnings
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testdata"))

SEED, CLASSES, STEPS, MOMENTUM, LR, STEADY, TRIES, TRIES_LARGE = 0, 10, 5, 0.9, 0.001, 2e-4, 40, 4
NETS = {  # name: (constructor's arguments, image size, batch)
    "alexnet": ({}, 224, 4), "alexnet_64": ({}, 64, 4), "vgg11_bn": ({}, 224, 2), "vgg11_bn_64": ({}, 64, 4),
    "resnet18": ({}, 64, 4),
    "resnext50_32x4d": ({}, 64, 4), "regnet_y_400mf": ({}, 64, 4), "densenet121": ({}, 64, 4),
    "googlenet": (dict(aux_logits=False, init_weights=False), 64, 4),
    "inception_v3": (dict(aux_logits=False, init_weights=False), 96, 4),
    "squeezenet1_1": ({}, 64, 4), "shufflenet_v2_x1_0": ({}, 64, 4), "mobilenet_v2": ({}, 64, 4),
    "mobilenet_v3_small": ({}, 64, 4), "mnasnet1_0": ({}, 64, 4), "efficientnet_b0": ({}, 64, 4),
    "efficientnet_v2_s": ({}, 64, 4), "convnext_tiny": ({}, 64, 4), "vit_b_32": (dict(image_size=64), 64, 4),
    "swin_t": ({}, 64, 4), "maxvit_t": ({}, 224, 2),
}
# inception_v3: at its first seed one of 123,904 windows of the first pooling has its two largest elements 8e-7 apart.
OTHER = {"inception_v3"}


def build(name):
    import torch, torchvision
    torch.manual_seed(SEED)
    model = getattr(torchvision.models, name.removesuffix("_64"))(weights=None, num_classes=CLASSES, **NETS[name][0])
    for m in model.modules():
        if isinstance(m, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            m.p = 0.0
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.2, 0.3)
            with torch.no_grad():
                m.bias.uniform_(0.5, 1.5).mul_(torch.randint(0, 2, m.bias.shape) * 2 - 1)
    return model.train()


def data(name, seed=1):
    _, size, n = NETS[name]
    images = np.random.RandomState(seed).standard_normal((n, 3, size, size)).astype(np.float32)
    return images, (np.arange(n) * 3 % CLASSES).astype(np.int64)


def train(model, images, labels, dtype, steps=1, last=False, jitter=0):
    """Losses, and gradients of the first step."""
    import copy, torch
    model, x = copy.deepcopy(model).to(dtype), torch.from_numpy(images).to(dtype)
    if last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(jitter)
    with torch.no_grad():
        for p in model.parameters() if jitter else ():
            p.mul_(1 + 2e-7 * torch.randn_like(p))
    opt = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    losses, grads = [], {}
    for k in range(steps):
        loss = torch.nn.functional.cross_entropy(model(x), torch.from_numpy(labels))
        opt.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if not k:
            for p, t in model.named_parameters():
                if t.requires_grad:
                    grads[p] = t.grad.detach().clone().contiguous().numpy()
        if steps > 1:
            opt.step()
    return np.float64(losses), grads


VARIANTS = (dict(last=True), dict(), dict(jitter=1))


def attempt(model, name, seed, best):
    """The worst drift, seed, gradients in float64, their drift, losses and theirs; given up as soon as the worst is over best."""
    import torch
    images, labels = data(name, seed)
    _, exact = train(model, images, labels, torch.float64)
    big, drift = max(np.linalg.norm(g) for g in exact.values()), {}
    for variant in VARIANTS:
        _, grads = train(model, images, labels, torch.float32, **variant)
        for p, g in exact.items():
            if np.linalg.norm(g) > 1e-12 * big:
                drift[p] = max(drift.get(p, 0), distance(grads[p], g))
        if max(drift.values()) > best:
            return max(drift.values()), seed, exact, drift, None, None
    loss, other = (train(model, images, labels, torch.float32, STEPS, last=last)[0] for last in (False, True))
    moved = np.max(np.abs(other / loss - 1))
    return max(moved, *drift.values()), seed, exact, drift, loss, moved


def export(name, images, exporter, path):
    import torch
    model, x = build(name), torch.from_numpy(images)
    names = dict(input_names=["images"], output_names=["logits"])
    if exporter == "dynamo":
        torch.onnx.export(model, (x,), path, dynamic_shapes=({0: torch.export.Dim("N")},), optimize=False,
                          external_data=False, verbose=False, **names)
    else:
        torch.onnx.export(model, (x,), path, dynamo=False, opset_version=17, do_constant_folding=False,
                          training=torch.onnx.TrainingMode.PRESERVE,
                          dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}}, **names)


def distance(got, want):
    return float(np.linalg.norm(got.ravel().astype(np.float64) - want.ravel()) / max(np.linalg.norm(want), 1e-300))


def record(name, path, first=1):
    """Record the steadiest of the seeds from the first on; return the seed and a text."""
    import torch
    from fixture import write_tensors
    model = build(name)
    best = attempt(model, name, first, 1e300)
    for seed in range(first + 1, first + (TRIES if NETS[name][1] < 200 else TRIES_LARGE)):
        if best[0] <= STEADY:
            break
        best = min(best, attempt(model, name, seed, best[0]), key=lambda b: b[0])
    _, seed, exact, drift, loss, moved = best
    images, labels = data(name, seed)
    tensors = {"grad/" + p: g.astype(np.float32) for p, g in exact.items()}
    tensors.update(images=images, labels=labels, loss=loss)
    meta = dict(lr=LR, momentum=MOMENTUM, seed=seed, drift=json.dumps({p: float("%.2g" % d) for p, d in drift.items()}),
                loss_drift="%.2g" % moved, torch=torch.__version__.split("+")[0])
    write_tensors(path, tensors, meta)
    return seed, "image seed %d, losses %s, drift of losses %.1e, of gradients %.1e" % (seed, np.round(loss, 4), moved, max(drift.values()))


def run(out, name):
    import logging
    import torch
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    images, _ = data(name)
    for exporter in ("torchscript", "dynamo"):
        path = os.path.join(out, "%s.%s.onnx" % (name, exporter))
        if os.path.exists(path) or (name.endswith("_64") and exporter == "torchscript"):
            continue
        start = time.time()
        export(name, images, exporter, path + ".part")
        os.replace(path + ".part", path)
        print("%s: %s export, %.0f s" % (name, exporter, time.time() - start), flush=True)
    path = os.path.join(out, name + ".safetensors")
    if not os.path.exists(path):
        start = time.time()
        seed, text = record(name, path + ".part")
        if name in OTHER:
            other = os.path.join(out, name + ".other.safetensors")
            text += "; the other: " + record(name, other + ".part", seed + 1)[1]
            os.replace(other + ".part", other)
        os.replace(path + ".part", path)
        print("%s: %s, %.0f s" % (name, text, time.time() - start), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(NETS))
    elif len(sys.argv) == 4 and sys.argv[3] == "--here":
        run(sys.argv[1], sys.argv[2])
    elif len(sys.argv) > 1 and set(sys.argv[2:]) <= set(NETS):
        import subprocess
        os.makedirs(sys.argv[1], exist_ok=True)
        failed = [n for n in sys.argv[2:] or NETS  # a process each, so that memory is given back
                  if subprocess.call([sys.executable, os.path.abspath(__file__), sys.argv[1], n, "--here"])]
        sys.exit("failed: " + " ".join(failed) if failed else 0)
    else:
        sys.exit(__doc__)
