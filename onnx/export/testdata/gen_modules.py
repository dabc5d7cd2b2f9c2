#!/usr/bin/env python3
"""Export small modules by PyTorch's exporters and record their first gradients in float64.

For each module: modules/NAME.EXPORTER.onnx.gz, and modules/NAME.safetensors.gz with images x [4, C, H, W], labels,
the mean cross-entropy loss and grad/PARAMETER. Arguments: names of modules to make again; none makes all.
"""
import gzip, os, sys, tempfile
import numpy as np, onnx, torch
import torch.nn as nn, torch.nn.functional as F
from fixture import write_gzip, write_tensors

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules")
DYNAMO, TS = "dynamo", "ts"


class Recurrent(nn.Module):
    """The rows of the image's mean over colours as a sequence; what is read of it is all states, the last, or the cells."""

    def __init__(self, rnn, read):
        super().__init__()
        self.rnn, self.read = rnn, read
        width = rnn.hidden_size * (2 if rnn.bidirectional else 1)
        self.head = nn.Linear(width * (6 if read == "all" else 1), 4)

    def forward(self, x):
        y, last = self.rnn(x.mean(1))
        if self.read == "all":
            return self.head(y.flatten(1))
        if self.read == "cells":
            return self.head(last[1][-1])
        return self.head(last[-1] if isinstance(last, torch.Tensor) else last[0][-1])


class Sampled(nn.Module):
    """The image at places that a linear layer makes of it."""

    def __init__(self, **options):
        super().__init__()
        self.options, self.places, self.head = options, nn.Linear(3 * 36, 5 * 4 * 2), nn.Linear(3 * 20, 4)

    def forward(self, x):
        grid = self.places(x.flatten(1)).view(-1, 5, 4, 2)
        return self.head(F.grid_sample(torch.tanh(x), grid, **self.options).flatten(1))


class Transformed(nn.Module):
    """A spatial transformer: the image at an affine grid that a linear layer makes of it."""

    def __init__(self, aligned):
        super().__init__()
        self.aligned, self.theta, self.head = aligned, nn.Linear(3 * 36, 6), nn.Linear(3 * 36, 4)

    def forward(self, x):
        grid = F.affine_grid(self.theta(x.flatten(1)).view(-1, 2, 3), x.size(), align_corners=self.aligned)
        return self.head(F.grid_sample(x, grid, align_corners=self.aligned).flatten(1))


class Attentive(nn.Module):
    """Self-attention over 6 tokens, with fewer heads of keys than of queries where kv says so."""

    def __init__(self, causal=False, mask=None, kv=4, scale=None):
        super().__init__()
        self.causal, self.scale, self.kv = causal, scale, kv
        self.norm = nn.RMSNorm(18)
        self.q, self.k, self.v, self.head = nn.Linear(18, 24), nn.Linear(18, 6 * kv, bias=False), nn.Linear(18, 6 * kv), nn.Linear(24, 4)
        if mask is not None:
            self.register_buffer("mask", mask, persistent=False)
        else:
            self.mask = None

    def forward(self, x):
        x = self.norm(x.transpose(1, 2).flatten(2))
        q, k, v = (m(x).unflatten(2, (h, 6)).transpose(1, 2) for m, h in ((self.q, 4), (self.k, self.kv), (self.v, self.kv)))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=self.causal, scale=self.scale, enable_gqa=self.kv != 4)
        return self.head(F.silu(F.gelu(y.transpose(1, 2).flatten(2).mean(1))))


class Normed(nn.Module):
    """weight_norm, in its two forms, on a convolution, a transposed one and a linear layer."""

    def __init__(self, norm):
        super().__init__()
        self.down, self.up = norm(nn.Conv2d(3, 8, 3, padding=1)), norm(nn.ConvTranspose2d(8, 4, 2, stride=2))
        self.head = norm(nn.Linear(4 * 144, 4))

    def forward(self, x):
        return self.head(self.up(F.relu(self.down(x))).flatten(1))


class Contracted(nn.Module):
    """Products written as einsum: with dots, a diagonal, a trace, a summed and a repeated letter."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(6, 5) * 0.5), nn.Parameter(torch.randn(3, 6, 6) * 0.5)
        self.c, self.head = nn.Parameter(torch.randn(5, 4)), nn.Linear(5, 4)

    def forward(self, x):
        y = torch.einsum("...w,wk->...k", x, self.a)
        z = torch.einsum("chh,nchk->nk", self.b, y)
        return torch.einsum("bk,kj", y.mean((1, 2)), self.c) + self.head(z) + torch.einsum("cii->c", self.b).sum()


class Folded(nn.Module):
    """Patches of the image, mixed by a linear layer, and added up again where they overlap."""

    def __init__(self, **options):
        super().__init__()
        self.options, self.mix, self.head = options, nn.Linear(27, 27), nn.Linear(3 * 36, 4)

    def forward(self, x):
        y = F.unfold(x, 3, **self.options)
        y = F.fold(self.mix(y.transpose(1, 2)).transpose(1, 2).tanh(), 6, 3, **self.options)
        return self.head(y.flatten(1))


class Pooled(nn.Module):
    """Poolings of every kind, and transposed convolutions between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding="same", dilation=2), nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.lrn, self.head = nn.LocalResponseNorm(2, alpha=0.1), nn.Linear(6 * 3 * 3, 4)

    def forward(self, x):
        y = self.lrn(self.second(F.silu(self.first(x))))
        y = F.max_pool2d(y, 3, stride=1, padding=1, dilation=2) + 0.5 * F.lp_pool2d(torch.tanh(y) + 2, 2, 3, stride=1)
        y = F.avg_pool2d(y, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False) + F.avg_pool2d(y, 3, stride=2, padding=1, ceil_mode=True)
        return self.head(F.max_pool2d(y, 2, stride=2, ceil_mode=True).flatten(1))


class Lines(nn.Module):
    """Convolutions and poolings of sequences and of volumes."""

    def __init__(self):
        super().__init__()
        self.line, self.up, self.volume = nn.Conv1d(3, 4, 5, stride=2, padding=2), nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1), nn.Conv3d(1, 2, 3, padding=1)
        self.back, self.head = nn.ConvTranspose3d(2, 2, 2), nn.Linear(32, 4)

    def forward(self, x):
        y = self.up(torch.tanh(F.avg_pool1d(self.line(x.flatten(2)), 3, stride=1, padding=1)))
        y = F.max_pool1d(y, 3, stride=1, padding=1).view(-1, 1, 3, 6, 6)
        y = F.avg_pool3d(torch.tanh(self.volume(y)), (2, 2, 2), stride=(1, 2, 2), padding=(0, 0, 0))
        return self.head(F.max_pool3d(self.back(y), (2, 1, 1)).flatten(1))


class Rare(nn.Module):
    """Elementwise functions and reductions that few networks use."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(36, 36), nn.Linear(36, 4)

    def forward(self, x):
        x = self.body(x.mean(1).flatten(1))
        y = torch.atan(x) + torch.tan(0.3 * torch.tanh(x)) + torch.asin(0.5 * torch.sin(x)) + torch.acos(0.5 * torch.cos(x))
        y = y + torch.sinh(0.2 * x) + torch.cosh(0.2 * x) + torch.asinh(x) + torch.acosh(x.abs() + 1.5) + torch.atanh(0.5 * torch.tanh(x))
        y = y + F.softshrink(x, 0.2) + F.hardshrink(x, 0.2) + F.threshold(x, 0.1, 0.0) + torch.fmod(x, 0.7) + F.celu(x) + F.logsigmoid(x)
        y = y * (1.5 + 0.1 * torch.tanh(x).view(-1, 6, 6)).prod(2).repeat(1, 6).view(-1, 36)
        return self.head(F.normalize(y, p=1.0, dim=1) + torch.log(x.exp().sum(1, keepdim=True)) + torch.cumsum(y, 1).flip(1) / 36)


class Resized(nn.Module):
    """A convolution's image, shrunk with and without a filter that is stretched, and enlarged."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3), nn.Linear(3 * 25, 4)

    def forward(self, x):
        y = torch.tanh(self.conv(x))
        y = F.interpolate(y, (4, 3), mode="bilinear", antialias=True) + F.interpolate(y, (4, 3), mode="bicubic", antialias=True) + F.interpolate(y, (4, 3))
        return self.head(F.interpolate(y, (5, 5), mode="bicubic").flatten(1))


class Quantised(nn.Module):
    """Fake quantisation as in training for int8: activations by one scale, weights by one a channel, some of both clipped."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(64, 4)
        self.scales, self.zeros = torch.tensor([0.001, 0.002, 0.003, 0.004]), torch.tensor([0, 0, 0, 0], dtype=torch.int32)

    def forward(self, x):
        x = torch.fake_quantize_per_tensor_affine(x, 0.01, 3, -128, 127)
        w = torch.fake_quantize_per_channel_affine(self.conv.weight, self.scales, self.zeros, 0, -128, 127)
        y = torch.fake_quantize_per_tensor_affine(F.relu(F.conv2d(x, w, self.conv.bias)), 0.004, 0, 0, 255)
        return self.head(y.flatten(1))


MASK = torch.arange(36).view(6, 6) % 5 != 1


def images(seed, *shape):
    r = np.random.default_rng(seed)
    return r.standard_normal((4,) + (shape or (3, 6, 6))).astype(np.float32), r.integers(0, 4, 4)


# name -> module, exporters with their opset, shape of an image
MODULES = {
    "lstm": (lambda: Recurrent(nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True), "all"), {DYNAMO: 18, TS: 17}, ()),
    "lstmcells": (lambda: Recurrent(nn.LSTM(6, 5, batch_first=True, bias=False), "cells"), {DYNAMO: 23, TS: 13}, ()),
    "gru": (lambda: Recurrent(nn.GRU(6, 5, bidirectional=True, batch_first=True), "all"), {DYNAMO: 18, TS: 17}, ()),
    "grulast": (lambda: Recurrent(nn.GRU(6, 5, batch_first=True), "last"), {DYNAMO: 20, TS: 9}, ()),
    "rnn": (lambda: Recurrent(nn.RNN(6, 5, num_layers=2, batch_first=True), "last"), {DYNAMO: 18, TS: 17}, ()),
    "gridbilinear": (lambda: Sampled(mode="bilinear", padding_mode="reflection", align_corners=False), {DYNAMO: 20, TS: 16}, ()),
    "gridbicubic": (lambda: Sampled(mode="bicubic", padding_mode="border", align_corners=True), {DYNAMO: 22, TS: 20}, ()),
    "gridnearest": (lambda: Sampled(mode="nearest", align_corners=False), {DYNAMO: 18, TS: 17}, ()),
    "affine": (lambda: Transformed(False), {DYNAMO: 20, TS: 20}, ()),
    "affinealigned": (lambda: Transformed(True), {TS: 20}, ()),
    "attention": (lambda: Attentive(), {DYNAMO: 23}, ()),
    "attentioncausal": (lambda: Attentive(causal=True, scale=0.3), {DYNAMO: 24}, ()),
    "attentionmask": (lambda: Attentive(mask=MASK), {DYNAMO: 23}, ()),
    "attentiongroups": (lambda: Attentive(mask=torch.randn(6, 6), kv=2), {DYNAMO: 23}, ()),
    "weightnorm": (lambda: Normed(nn.utils.parametrizations.weight_norm), {DYNAMO: 18, TS: 17}, ()),
    "weightnormhooks": (lambda: Normed(nn.utils.weight_norm), {DYNAMO: 20, TS: 13}, ()),
    "einsum": (Contracted, {DYNAMO: 18, TS: 12}, ()),
    "fold": (lambda: Folded(padding=1), {DYNAMO: 18, TS: 18}, ()),
    "foldstride": (lambda: Folded(padding=1, stride=2), {DYNAMO: 20, TS: 18}, ()),
    "folddilated": (lambda: Folded(padding=2, dilation=2), {DYNAMO: 18, TS: 18}, ()),
    "pools": (Pooled, {DYNAMO: 20, TS: 17}, ()),
    "lines": (Lines, {DYNAMO: 18, TS: 17}, ()),
    "rare": (Rare, {DYNAMO: 18}, ()),
    "quantised": (Quantised, {TS: 17}, ()),
    "smoothresize": (Resized, {DYNAMO: 18}, (3, 9, 9)),
    "rnnrelu": (lambda: Recurrent(nn.RNN(6, 5, bidirectional=True, batch_first=True, nonlinearity="relu"), "all"), {DYNAMO: 18, TS: 14}, ()),
}


def export(module, exporter, opset, x):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.onnx")
        if exporter == DYNAMO:
            torch.onnx.export(module, (x,), path, dynamo=True, opset_version=opset, dynamic_shapes=({0: torch.export.Dim("N")},),
                              external_data=False, optimize=False, verbose=False, input_names=["x"], output_names=["scores"])
        else:
            torch.onnx.export(module, (x,), path, dynamo=False, opset_version=opset, dynamic_axes={"x": {0: "N"}, "scores": {0: "N"}},
                              input_names=["x"], output_names=["scores"], training=torch.onnx.TrainingMode.PRESERVE,
                              do_constant_folding=False)
        m = onnx.load(path)
    for graph in [m.graph] + list(m.functions):  # drop stack traces, which hold paths
        for n in graph.node:
            del n.metadata_props[:]
            n.doc_string = ""
    return m


def main():
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    for name in sys.argv[1:] or MODULES:
        make, exporters, shape = MODULES[name]
        torch.manual_seed(7)
        module = make().train()
        x, labels = images(len(name), *shape)
        for exporter, opset in exporters.items():
            m = export(module, exporter, opset, torch.from_numpy(np.concatenate([x, x])[:7]))
            write_gzip(os.path.join(HERE, f"{name}.{exporter}.onnx.gz"), m.SerializeToString(deterministic=True))
        exact = module.double()
        loss = F.cross_entropy(exact(torch.from_numpy(x).double()), torch.from_numpy(labels))
        loss.backward()
        tensors = {"x": x, "labels": labels, "loss": np.float64(loss.item())}
        tensors.update({"grad/" + k: p.grad.numpy() for k, p in exact.named_parameters()})
        write_tensors(os.path.join(HERE, f"{name}.safetensors.gz"), tensors, {"torch": torch.__version__})
        print(name, len(tensors) - 3, "gradients")


if __name__ == "__main__":
    main()
