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


def images(seed, *shape):
    r = np.random.default_rng(seed)
    return r.standard_normal((4,) + (shape or (3, 6, 6))).astype(np.float32), r.integers(0, 4, 4)


# name -> module, exporters with their opset, shape of an image
MODULES = {
    "lstm": (lambda: Recurrent(nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True), "all"), {DYNAMO: 18, TS: 17}, ()),
    "lstmcells": (lambda: Recurrent(nn.LSTM(6, 5, batch_first=True, bias=False), "cells"), {DYNAMO: 23, TS: 13}, ()),
    "gru": (lambda: Recurrent(nn.GRU(6, 5, bidirectional=True, batch_first=True), "all"), {DYNAMO: 18, TS: 17}, ()),
    "grulast": (lambda: Recurrent(nn.GRU(6, 5, batch_first=True), "last"), {DYNAMO: 20, TS: 11}, ()),
    "rnn": (lambda: Recurrent(nn.RNN(6, 5, num_layers=2, batch_first=True), "last"), {DYNAMO: 18, TS: 17}, ()),
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
            m = export(module, exporter, opset, torch.from_numpy(x))
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
