#!/usr/bin/env python3
"""Export networks by both of PyTorch's exporters and record their gradients and five training steps in PyTorch.

usage: gen.py OUT [LIBRARY[/NAME] ...]     fill the folder OUT with all networks, those of a library, or those named;
                                           a last argument --torchscript leaves the other, slower exporter out
       gen.py --list                       print LIBRARY/NAME of each

LIBRARY is torchvision, timm, modules or segmentation; nets_LIBRARY.py lists its networks. Needs torch, torchvision, timm, onnx, onnxscript.
OUT/LIBRARY gets, for each network, NAME.EXPORTER.onnx and NAME.safetensors; where PyTorch cannot export it, NAME.EXPORTER.failed
with the reason; what is there already is not made again. A process for each network gives the memory back.
EXPORTER is "torchscript" (dynamo=False, opset 17, or 20 where that is too old) and "dynamo" (the default exporter).
Weights, images and labels come from a seed; dropout and stochastic depth have probability 0, so that both sides compute the same.
Everything is in training mode unless the network's list says otherwise: normalisation uses the statistics of the batch.

The default exporter folds batch normalisation into convolutions even in training mode unless optimize=False is given.

NAME.safetensors holds
  images float32 [N,3,S,S], labels int64 [N], or uint8 [N,S,S] of a network that gives a class to each pixel
  grad/P float32            gradient of the mean cross-entropy by parameter P that is trained, computed in float64
  loss float64 [5]          losses of five steps of SGD (momentum 0.9, rate LR) on that batch, each before its update, in float32
and as metadata
  frozen (JSON)             parameters with requires_grad=False, and the statistics of layers in evaluation mode inside a network
                            in training mode, which an ONNX file cannot say: the test asks to freeze them
  told (JSON)               buffers that nothing in a file of the TorchScript exporter tells from parameters: likewise, of that file
  asked (JSON)              parameters that nothing in such a file tells from constants: the test asks to train them
  alias (JSON)              other names of parameters that several layers share, with the first: a file may have any of them
  none (JSON)               parameters that PyTorch gives no gradient: nothing that the loss depends on reads them
  drift (JSON)              by parameter, how far rounding alone moves the gradient, relative by norm: the worst of three
                            float32 runs against float64: a plain one, one in channels-last order, which sums in another
                            order, and one whose weights differ by a few units in the last place
  loss_drift                how far the second moves the five losses of the first

A ReLU, a clipped activation or the maximum of a window whose operands lie within rounding of the edge takes one branch in one
run and the other in the next, and then moves the gradients of n values by about 1/sqrt(n): no two float32 programs agree.
So the scale and shift of batch normalisations are drawn such that few activations lie near an edge, and
the first of TRIES image seeds (TRIES_LARGE for images of 200 or more) is taken whose drift is at most STEADY in every parameter
and loss, or the steadiest of them. A program that adds up in yet another order can still meet an edge that PyTorch's variants
miss: the networks of OTHER have a second record, NAME.other.safetensors, of the next such seed, by which they are judged then.
"""
import importlib, json, os, sys, time, warnings
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "export", "testdata")]

STEPS, MOMENTUM, LR, STEADY = 5, 0.9, 0.001, 2e-4
LIMIT = 900  # seconds an export may take
LIBRARIES = ("torchvision", "modules", "timm", "segmentation")


def library(name):
    return importlib.import_module("nets_" + name)


def steady_norms(model):
    """Scale and shift of batch normalisations such that few activations lie near an edge."""
    import torch
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d) and m.affine:
            torch.nn.init.uniform_(m.weight, 0.2, 0.3)
            with torch.no_grad():
                m.bias.uniform_(0.5, 1.5).mul_(torch.randint(0, 2, m.bias.shape) * 2 - 1)


def data(lib, name, seed=1):
    _, size, n = lib.NETS[name]
    images = np.random.RandomState(seed).standard_normal((n, *(size if isinstance(size, tuple) else (3, size, size)))).astype(np.float32)
    if hasattr(lib, "labels"):
        return images, lib.labels(name, seed)
    return images, (np.arange(n) * 3 % lib.CLASSES).astype(np.int64)


def train(model, images, labels, dtype, steps=1, last=False, jitter=0):
    """Losses, and gradients of the first step."""
    import copy, torch
    model, x = copy.deepcopy(model).to(dtype), torch.from_numpy(images).to(dtype)
    if last and all(p.dim() < 5 for p in model.parameters()):  # PyTorch refuses it beside filters of three axes
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(jitter)
    with torch.no_grad():
        for p in model.parameters() if jitter else ():
            p.mul_(1 + 2e-7 * torch.randn_like(p))
    opt = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=LR, momentum=MOMENTUM)
    losses, grads = [], {}
    for k in range(steps):
        scores = model(x)
        scores = next(iter(scores.values())) if isinstance(scores, dict) else scores[0] if isinstance(scores, (tuple, list)) else scores
        loss = getattr(model, "loss", torch.nn.functional.cross_entropy)(scores, torch.from_numpy(labels))
        opt.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if not k:
            for p, t in model.named_parameters():
                if t.requires_grad and t.grad is not None:
                    grads[p] = t.grad.detach().clone().contiguous().numpy()
        if steps > 1:
            opt.step()
    return np.float64(losses), grads


VARIANTS = (dict(last=True), dict(), dict(jitter=1))


def attempt(lib, model, name, seed, best):
    """The worst drift, seed, gradients in float64, their drift, losses and theirs; given up as soon as the worst is over best."""
    import torch
    images, labels = data(lib, name, seed)
    _, exact = train(model, images, labels, torch.float64)
    big, drift = max(np.linalg.norm(g) for g in exact.values()), {}
    variants = VARIANTS if images.ndim == 4 else VARIANTS[1:]
    for variant in variants:
        _, grads = train(model, images, labels, torch.float32, **variant)
        for p, g in exact.items():
            if np.linalg.norm(g) > 1e-12 * big:
                drift[p] = max(drift.get(p, 0), distance(grads[p], g))
        if not max(drift.values()) <= best:
            return max(drift.values()), seed, exact, drift, None, None
    loss, other = (train(model, images, labels, torch.float32, STEPS, **v)[0] for v in (dict(), variants[0] if images.ndim == 4 else dict(jitter=1)))
    moved = np.max(np.abs(other / loss - 1))
    return max(moved, *drift.values()), seed, exact, drift, loss, moved


def export(lib, name, images, exporter, path):
    import torch
    model, x = lib.build(name), torch.from_numpy(images)
    names = dict(input_names=["images"], output_names=["logits", "other"][:getattr(model, "outputs", 1)])
    if exporter == "dynamo":
        torch.onnx.export(model, (x,), path, dynamic_shapes=({0: torch.export.Dim("N")},), optimize=False,
                          external_data=False, verbose=False, **names)
        return
    for opset in (17, 20):
        try:
            torch.onnx.export(model, (x,), path, dynamo=False, opset_version=opset, do_constant_folding=False,
                              training=torch.onnx.TrainingMode.PRESERVE,
                              dynamic_axes={n: {0: "N"} for n in ["images"] + names["output_names"]}, **names)
            return
        except torch.onnx.errors.UnsupportedOperatorError:
            if opset == 20:
                raise
            model = lib.build(name)


def distance(got, want):
    return float(np.linalg.norm(got.ravel().astype(np.float64) - want.ravel()) / max(np.linalg.norm(want), 1e-300))


def record(lib, name, path, first=1):
    """Record the steadiest of the seeds from the first on; return the seed and a text."""
    import torch
    from fixture import write_tensors
    model = lib.build(name)
    best = attempt(lib, model, name, first, 1e300)
    large = data(lib, name)[0].shape[-1] >= 200
    for seed in range(first + 1, first + (lib.TRIES_LARGE if large else lib.TRIES)):
        if best[0] <= STEADY:
            break
        best = min(best, attempt(lib, model, name, seed, best[0]), key=lambda b: b[0])
    _, seed, exact, drift, loss, moved = best
    images, labels = data(lib, name, seed)
    tensors = {"grad/" + p: g.astype(np.float32) for p, g in exact.items()}
    tensors.update(images=images, labels=labels, loss=loss)
    frozen = [p for p, t in model.named_parameters() if not t.requires_grad]
    for layer, m in model.named_modules():
        if model.training and not m.training and hasattr(m, "running_mean"):
            frozen += [layer + ".running_mean", layer + ".running_var"]
    none = [p for p, t in model.named_parameters() if t.requires_grad and p not in exact]
    first_name = {id(t): p for p, t in model.named_parameters()}
    alias = {p: first_name[id(t)] for p, t in model.named_parameters(remove_duplicate=False) if p != first_name[id(t)]}
    meta = dict(lr=LR, momentum=MOMENTUM, seed=seed, drift=json.dumps({p: float("%.2g" % d) for p, d in drift.items()}),
                loss_drift="%.2g" % moved, torch=torch.__version__.split("+")[0], frozen=json.dumps(frozen), none=json.dumps(none), alias=json.dumps(alias),
                asked=json.dumps(getattr(lib, "ASKED", {}).get(name, [])), told=json.dumps(getattr(lib, "TOLD", {}).get(name, [])))
    write_tensors(path, tensors, meta)
    return seed, "image seed %d, losses %s, drift of losses %.1e, of gradients %.1e" % (seed, np.round(loss, 4), moved, max(drift.values()))


def reason(err):
    """The first cause of an exporter's error, in one short line."""
    while err.__cause__ is not None:
        err = err.__cause__
    lines = [l.strip() for l in str(err).splitlines() if l.strip()]
    return ("%s: %s" % (type(err).__name__, lines[0] if lines else ""))[:200]


def run(out, lib_name, name, only=None):
    import logging, signal
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    lib, title = library(lib_name), lib_name + "/" + name
    base = os.path.join(out, lib_name, name)
    images, _ = data(lib, name)
    exported = False
    for exporter in getattr(lib, "exporters", lambda _: ("torchscript", "dynamo"))(name):
        if only not in (None, exporter):
            continue
        path = "%s.%s.onnx" % (base, exporter)
        failed = "%s.%s.failed" % (base, exporter)
        if not os.path.exists(path) and not os.path.exists(failed):
            start = time.time()
            try:
                def late(*_):
                    raise TimeoutError("no export within %d s" % LIMIT)
                signal.signal(signal.SIGALRM, late)
                signal.alarm(LIMIT)
                export(lib, name, images, exporter, path + ".part")
                signal.alarm(0)
                os.replace(path + ".part", path)
                print("%s: %s export, %.0f s" % (title, exporter, time.time() - start), flush=True)
            except Exception as err:
                signal.alarm(0)
                with open(failed, "w") as f:
                    f.write(reason(err) + "\n")
                print("%s: %s cannot export: %s" % (title, exporter, reason(err)), flush=True)
        exported = exported or os.path.exists(path)
    path = base + ".safetensors"
    if exported and not os.path.exists(path):
        start = time.time()
        seed, text = record(lib, name, path + ".part")
        if name in lib.OTHER:
            text += "; the other: " + record(lib, name, base + ".other.safetensors.part", seed + 1)[1]
            os.replace(base + ".other.safetensors.part", base + ".other.safetensors")
        os.replace(path + ".part", path)
        print("%s: %s, %.0f s" % (title, text, time.time() - start), flush=True)


def warm():
    """What the exporter builds at its first call, the children then have."""
    import io, logging, torch
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.onnx.export(torch.nn.Conv2d(3, 2, 1), (torch.zeros(2, 3, 4, 4),), io.BytesIO(), dynamic_shapes=({0: torch.export.Dim("N")},),
                      optimize=False, verbose=False)


def main(out, wanted, only=None):
    """A process for each network, forked once the libraries are imported."""
    import torch, torchvision, timm, torch.onnx, onnxscript  # noqa: F401
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    if not only:
        warm()
    failed = []
    for lib, name in wanted:
        os.makedirs(os.path.join(out, lib), exist_ok=True)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(out, lib, name, only)
                code = 0
            except BaseException as err:
                print("%s/%s: %s" % (lib, name, reason(err)), file=sys.stderr, flush=True)
            os._exit(code)
        if os.waitpid(pid, 0)[1]:
            failed.append(lib + "/" + name)
    return failed


if __name__ == "__main__":
    sys.modules["gen"] = sys.modules["__main__"]
    every = [(lib, name) for lib in LIBRARIES for name in library(lib).NETS]
    known = {lib for lib, _ in every} | {"/".join(e) for e in every}
    only = "torchscript" if sys.argv[-1] == "--torchscript" else None
    if only:
        sys.argv.pop()
    if sys.argv[1:] == ["--list"]:
        print("\n".join("/".join(e) for e in every))
    elif len(sys.argv) > 1 and set(sys.argv[2:]) <= known:
        asked = sys.argv[2:] or LIBRARIES
        failed = main(sys.argv[1], [e for a in asked for e in every if a in (e[0], "/".join(e))], only)
        sys.exit("failed: " + " ".join(failed) if failed else 0)
    else:
        sys.exit(__doc__)
