"""Small exported transformers, for the tests of shape inference and folding.

    python gen_exported.py          (torch, torchvision)
    python gen_exported.py shapes   (onnx, onnxruntime)

The first writes swin.onnx.gz and vit.onnx.gz, exported in training mode with a
dynamic batch by the TorchScript exporter; the second adds NAME.shapes.json.gz,
the shape of every value for two batch sizes, as ONNX Runtime computes it.
The files here come from torch 1.13, torchvision 0.14.1 and ONNX Runtime 1.31.
"""
import gzip
import io
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES = [2, 5]


def export():
    import torch
    from torchvision.models.swin_transformer import SwinTransformer
    from torchvision.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    models = {
        # Windows of 3 do not divide the 8x8 and 4x4 maps: padding, shifts and masks appear.
        "swin": SwinTransformer(patch_size=[4, 4], embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=[3, 3], mlp_ratio=2,
                                num_classes=5, dropout=0.1, stochastic_depth_prob=0.0),
        "vit": VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5),
    }
    for name, model in models.items():
        out = io.BytesIO()
        torch.onnx.export(model.train(), torch.randn(2, 3, 32, 32), out, opset_version=17, training=torch.onnx.TrainingMode.PRESERVE,
                          do_constant_folding=False, input_names=["images"], output_names=["logits"],
                          dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}})
        save(name + ".onnx.gz", out.getvalue())


def shapes():
    import numpy as np
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for name in ["swin", "vit"]:
        model = onnx.load_from_string(gzip.open(os.path.join(HERE, name + ".onnx.gz")).read())
        have = {o.name for o in model.graph.output}
        for node in model.graph.node:
            for o in node.output:
                if o and o not in have:
                    model.graph.output.append(onnx.ValueInfoProto(name=o))
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        want = {}
        for batch in BATCHES:
            got = session.run(None, {"images": np.zeros((batch, 3, 32, 32), np.float32)})
            for o, v in zip(session.get_outputs(), got):
                want.setdefault(o.name, []).append(list(np.shape(v)))
        save(name + ".shapes.json.gz", json.dumps({"batches": BATCHES, "shapes": want}, sort_keys=True).encode())


def save(name, data):
    with open(os.path.join(HERE, name), "wb") as f:
        with gzip.GzipFile(fileobj=f, mode="wb", mtime=0) as z:
            z.write(data)


if __name__ == "__main__":
    shapes() if sys.argv[1:] == ["shapes"] else export()
