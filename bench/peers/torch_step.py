#!/usr/bin/env python3
"""The peer of the step benchmark: one PyTorch training step of each benchmark model.

usage: torch_step.py time MODEL [SECONDS [WAY]]  one JSON line
       torch_step.py export DIR [MODEL ...]      DIR/MODEL.onnx with the same weights, batch normalisation kept
Needs torch, onnx to export, and torchvision or timm for the models of them. Threads: WINNOW_THREADS, default 2.
A step is forward, cross-entropy, backward and SGD (momentum 0.9, weight decay 5e-4) in float32, as a user
would write it. WAY is eager, channels_last (memory format), compile (torch.compile of the model, its
defaults) or both; one way a process, since compiled code is cached by the recompiles of one. first_ms is
from building the model, after its imports, until the first step is done: compiling is in there and
nowhere else. WINNOW_DEVICE=cuda:0 steps there, each step with its batch of bytes from the host and the
loss back to it, and TF32 unless WINNOW_TF32=0. WINNOW_BATCH is another batch size.
"""
import json, os, resource, sys, time, warnings
import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, a 1x1 projection where the shape changes (He et al. 2016)."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.project = nn.Identity()
        if stride != 1 or channels != width:
            self.project = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        body = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(body + self.project(x))


def resnet(channels, widths, blocks):
    parts = [nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    width = widths[0]
    for stage, w in enumerate(widths):
        for block in range(blocks):
            parts.append(Residual(width, w, 2 if stage and not block else 1))
            width = w
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10))


def vision(name):
    return lambda: getattr(__import__("torchvision").models, name)()


def timm(name, **kw):
    return lambda: __import__("timm").create_model(name, **kw)


MODELS = {  # name: builder, image shape, batch
    "mlp": (mlp, (1, 28, 28), 128),
    "lenet": (lenet, (1, 28, 28), 128),
    "resnet8": (lambda: resnet(1, [16, 32, 64], 1), (1, 28, 28), 128),
    "resnet20": (lambda: resnet(3, [16, 32, 64], 3), (3, 32, 32), 128),
    "resnet18": (lambda: resnet(3, [64, 128, 256, 512], 2), (3, 32, 32), 64),
    "resnet50": (vision("resnet50"), (3, 224, 224), 64),
}
for name in ("mobilenet_v2", "mnasnet1_0", "efficientnet_b0", "resnext50_32x4d", "densenet121"):
    MODELS[name] = (vision(name), (3, 64, 64), 16)
MODELS["vit_tiny"] = (timm("vit_tiny_patch16_224", img_size=64), (3, 64, 64), 16)
MODELS["convnext_atto"] = (timm("convnext_atto"), (3, 64, 64), 16)
EXPORTED = [name for name in MODELS if name not in ("resnet50", "mnasnet1_0")]


WAYS = ("eager", "channels_last", "compile", "both")


def measure(name, seconds, way):
    torch.manual_seed(0)
    build, shape, batch = MODELS[name]
    batch, device = int(os.environ.get("WINNOW_BATCH", batch)), os.environ.get("WINNOW_DEVICE")
    build()  # imports its library
    begin = time.perf_counter()
    model = build().to(device or "cpu")
    x, y = torch.rand(batch, *shape), torch.randint(0, 10, (batch,))
    if way in ("channels_last", "both"):
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    if way in ("compile", "both"):
        model = torch.compile(model)

    def step():
        sgd.zero_grad(set_to_none=True)
        if not device:
            F.cross_entropy(model(x), y).backward()
            sgd.step()
            return
        loss = F.cross_entropy(model(pixels.to(device).float().div_(255)), y.to(device))
        loss.backward()
        sgd.step()
        loss.item()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    if device:
        pixels = (x * 255).byte()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = os.environ.get("WINNOW_TF32") != "0"

    step()
    first = time.perf_counter() - begin
    for _ in range(2):
        step()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times.sort()
    print(json.dumps({
        "model": name, "batch": batch, "steps": len(times), "median_ms": 1e3 * times[len(times) // 2], "min_ms": 1e3 * times[0],
        "first_ms": 1e3 * first, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "version": "PyTorch " + torch.__version__}))


def export(folder, names):
    warnings.simplefilter("ignore")  # a line for each normalisation
    os.makedirs(folder, exist_ok=True)
    recent = tuple(int(p) for p in torch.__version__.split(".")[:2]) >= (2, 5)
    for name in names:
        torch.manual_seed(0)
        build, shape, _ = MODELS[name]
        torch.onnx.export(
            build(), torch.rand(2, *shape), os.path.join(folder, name + ".onnx"), opset_version=17,
            input_names=["images"], output_names=["logits"], dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
            training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, **({"dynamo": False} if recent else {}))


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("WINNOW_THREADS", "2")))
    if sys.argv[1:2] == ["time"] and len(sys.argv) > 2:
        way = sys.argv[4] if len(sys.argv) > 4 else WAYS[0]
        if way not in WAYS:
            sys.exit(f"torch_step.py: way {way!r} is none of {', '.join(WAYS)}")
        measure(sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 3, way)
    elif sys.argv[1:2] == ["export"] and len(sys.argv) > 2:
        export(sys.argv[2], sys.argv[3:] or EXPORTED)
    else:
        sys.exit(__doc__)
