"""Writes the models in this folder, and opset_table.go beside it.

    python gen.py            writes everything
    python gen.py --verify   runs each model of convert/ and inline/ and the
                             golden file of its conversion, and compares

Needs onnx and, for --verify, onnxruntime. The golden files (*.want.onnx) come
from `go test ./onnx/opset -run Golden -update`.
"""

import glob
import os
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import defs, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
F = T.FLOAT
rng = np.random.default_rng(1)


def vi(name, dtype=F, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, name=None, **attrs):
    return helper.make_node(op, inputs, outputs, name=name or op.lower(), **attrs)


def const(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, inputs, outputs, opset, weights=(), functions=(), domains=(), ir=8):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    m = helper.make_model(
        graph,
        functions=list(functions),
        ir_version=ir,
        producer_name="gen",
        opset_imports=[helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains],
    )
    # The checker wants shapes of outputs; those of inner values are left out.
    for have, inferred in zip(m.graph.output, onnx.shape_inference.infer_shapes(m).graph.output):
        have.CopyFrom(inferred)
    return m


def save(path, m, check=True):
    if check:
        onnx.checker.check_model(m)
    with open(os.path.join(HERE, path), "wb") as f:
        f.write(m.SerializeToString(deterministic=True))


X234 = vi("x", F, ["N", 3, 4])
IMG = vi("x", F, ["N", 4, 6, 6])
Y = vi("y", F, None)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def unary(op, opset, x=X234, **attrs):
    return model([node(op, ["x"], ["y"], **attrs)], [x], [Y], opset)


def conversions():
    """name -> model, each of an opset whose operators differ from opset 18's."""
    m = {}
    m["softmax11"] = unary("Softmax", 11)
    m["softmax12_last"] = unary("Softmax", 12, axis=2)
    m["softmax12_negative"] = unary("Softmax", 12, axis=-2)
    m["logsoftmax11"] = unary("LogSoftmax", 11, axis=1)
    m["hardmax11"] = unary("Hardmax", 11, axis=0)
    m["squeeze_unsqueeze11"] = model(
        [node("Unsqueeze", ["x"], ["u"], axes=[0, 2]), node("Squeeze", ["u"], ["y"], axes=[2])], [X234], [Y], 11)
    m["squeeze_all12"] = model(
        [node("Unsqueeze", ["x"], ["u"], axes=[0, 2]), node("Squeeze", ["u"], ["y"])], [vi("x", F, [2, 3])], [Y], 12)
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
               "ReduceSumSquare", "ReduceLogSumExp"):
        m[op.lower() + "11"] = unary(op, 11, axes=[-1], keepdims=0)
    m["reducemean17"] = unary("ReduceMean", 17, axes=[1, 2])
    m["reducemean13_all"] = unary("ReduceMean", 13)
    m["reducemax20"] = model([node("ReduceMax", ["x", "axes"], ["y"])], [X234], [Y], 20, [const("axes", [1])])
    three = [vi(f"y{i}", F, None) for i in range(3)]
    m["split11"] = model([node("Split", ["x"], ["y0", "y1", "y2"], axis=1)], [X234], three, 11)
    m["split11_sizes"] = model([node("Split", ["x"], ["y0", "y1", "y2"], axis=2, split=[1, 2, 1])], [X234], three, 11)
    m["split13"] = model([node("Split", ["x"], ["y0", "y1", "y2"], axis=1)], [X234], three, 13)
    m["split13_sizes"] = model([node("Split", ["x", "s"], ["y0", "y1", "y2"], axis=2)], [X234], three, 13,
                               [const("s", [2, 1, 1])])
    bn = [const("scale", f32(4)), const("bias", f32(4)), const("mean", f32(4)), const("var", np.abs(f32(4)) + 1)]
    bn_in = ["x", "scale", "bias", "mean", "var"]
    m["batchnorm11"] = model([node("BatchNormalization", bn_in, ["y"], epsilon=1e-3)], [IMG], [Y], 11, bn)
    m["batchnorm15_training"] = model(
        [node("BatchNormalization", bn_in, ["y", "m", "v"], training_mode=1)],
        [IMG], [Y, vi("m", F, [4]), vi("v", F, [4])], 15, bn)
    m["dropout11"] = unary("Dropout", 11, ratio=0.25)
    m["dropout13"] = model([node("Dropout", ["x", "r", "t"], ["y"])], [X234], [Y], 13,
                           [const("r", np.float32(0.5)), const("t", np.bool_(False))])
    m["averagepool19"] = unary("AveragePool", 19, IMG, kernel_shape=[2, 2], dilations=[1, 1], ceil_mode=1)
    m["maxpool22"] = unary("MaxPool", 22, IMG, kernel_shape=[3, 3], strides=[2, 2])
    m["conv22"] = model([node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], [IMG], [Y], 22, [const("w", f32(2, 4, 3, 3))])
    m["pad21_axes"] = model([node("Pad", ["x", "p", "", "a"], ["y"], mode="edge")], [X234], [Y], 21,
                            [const("p", [1, 2]), const("a", [-1])])
    m["pad11"] = model([node("Pad", ["x", "p", "v"], ["y"])], [X234], [Y], 11,
                       [const("p", [0, 1, 0, 0, 0, 2]), const("v", np.float32(3))])
    m["clip12"] = model([node("Clip", ["x", "", "hi"], ["y"])], [X234], [Y], 12, [const("hi", np.float32(0.5))])
    m["resize11_sizes"] = model([node("Resize", ["x", "roi", "none", "s"], ["y"], mode="linear")],
                                [vi("x", F, [2, 4, 6, 6])], [Y], 11,
                                [const("roi", f32(0)), const("none", f32(0)), const("s", [2, 4, 9, 9])])
    m["resize11_scales"] = model([node("Resize", ["x", "roi", "s"], ["y"], mode="nearest",
                                       coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
                                 [IMG], [Y], 11, [const("roi", f32(0)), const("s", np.float32([1, 1, 2, 2]))])
    m["resize19"] = model([node("Resize", ["x", "", "s"], ["y"], mode="linear")], [IMG], [Y], 19,
                          [const("s", np.float32([1, 1, 2, 2]))])
    m["gelu20"] = unary("Gelu", 20)
    m["gelu20_tanh"] = unary("Gelu", 20, approximate="tanh")
    m["swish24"] = unary("Swish", 24, alpha=1.5)
    m["swish24_plain"] = unary("Swish", 24)
    gn = [const("scale", f32(4)), const("bias", f32(4))]
    m["groupnorm21"] = model([node("GroupNormalization", ["x", "scale", "bias"], ["y"], num_groups=2, epsilon=1e-3)],
                             [IMG], [vi("y", F, ["N", 4, 6, 6])], 21, gn)
    m["cast19"] = model([node("Cast", ["x"], ["i"], "down", to=T.INT32, saturate=1), node("Cast", ["i"], ["y"], "up", to=F)],
                        [X234], [Y], 19)
    m["roialign11"] = model([node("RoiAlign", ["x", "rois", "b"], ["y"], output_height=2, output_width=2)],
                            [vi("x", F, [1, 1, 6, 6])], [Y], 11,
                            [const("rois", np.float32([[0.5, 1, 4, 5]])), const("b", np.int64([0]))])
    m["hardswish22"] = unary("HardSwish", 22)
    m["mish22"] = unary("Mish", 22)
    m["flatten21"] = unary("Flatten", 21)
    m["shape15"] = model([node("Shape", ["x"], ["s"], start=1), node("Reshape", ["w", "s"], ["t"]),
                          node("Add", ["x", "t"], ["y"])], [X234], [Y], 15, [const("w", f32(12))])
    m["reshape23"] = model([node("Reshape", ["x", "s"], ["y"], allowzero=0)], [X234], [Y], 23, [const("s", [0, -1])])
    m["topk24"] = model([node("TopK", ["x", "k"], ["y", "i"])], [X234], [Y, vi("i", T.INT64)], 24, [const("k", [2])])
    m["constant12"] = model([node("Constant", [], ["c"], value_floats=[1.0, 2.0, 3.0, 4.0]),
                             node("Mul", ["x", "c"], ["y"])], [X234], [Y], 12)
    then = helper.make_graph([node("Unsqueeze", ["x"], ["a"], "inner", axes=[0])], "then", [], [vi("a")])
    other = helper.make_graph([node("Softmax", ["x"], ["s"], "soft"), node("Unsqueeze", ["s"], ["b"], "inner2", axes=[0])],
                              "else", [], [vi("b")])
    m["if11"] = model([node("ReduceSum", ["x"], ["t"], "sum", keepdims=0), node("Less", ["t", "zero"], ["c"]),
                       node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
                      [X234], [Y], 11, [const("zero", np.float32(0))])
    return m


def inlines():
    """name -> model with local functions."""
    m = {}
    d = "local"
    scale = helper.make_function(d, "Scale", ["a", "b"], ["c"], [
        node("Mul", ["a", "b"], ["t"]), node("LeakyRelu", ["t"], ["c"])], [helper.make_opsetid("", 18)])
    scale.node[1].attribute.append(helper.make_attribute_ref("alpha", onnx.AttributeProto.FLOAT))
    scale.node[1].attribute[-1].ref_attr_name = "slope"
    scale.attribute.append("slope")
    twice = helper.make_function(
        d, "Twice", ["a"], ["d"],
        [node("Scale", ["a", "a"], ["m"], "first", domain=d, slope=0.3),
         node("Scale", ["m", "a"], ["d"], "second", domain=d)],
        [helper.make_opsetid("", 18), helper.make_opsetid(d, 1)])
    m["nested"] = model(
        [node("Twice", ["x"], ["t"], "one", domain=d), node("Twice", ["t"], ["u"], "two", domain=d),
         node("Scale", ["u", "x"], ["y"], "three", domain=d, slope=0.1)],
        [X234], [vi("y", F, ["N", 3, 4])], 18, functions=[scale, twice], domains=[d])
    both = helper.make_function(d, "Both", ["a"], ["c", "a"], [node("Elu", ["a"], ["c"])], [helper.make_opsetid("", 18)])
    m["passthrough"] = model([node("Both", ["x"], ["y", "z"], "one", domain=d)], [X234],
                             [vi("y", F, ["N", 3, 4]), vi("z", F, ["N", 3, 4])], 18, functions=[both], domains=[d])
    lift = helper.make_function(d, "Lift", ["a"], ["c"], [node("Elu", ["a"], ["c"])], [helper.make_opsetid("", 18)])
    lift.node[0].attribute.append(helper.make_attribute_ref("alpha", onnx.AttributeProto.FLOAT))
    lift.node[0].attribute[-1].ref_attr_name = "alpha"
    lift.attribute_proto.append(helper.make_attribute("alpha", 0.75))
    m["default"] = model([node("Lift", ["x"], ["t"], "one", domain=d), node("Lift", ["t"], ["y"], "two", domain=d, alpha=2.0)],
                         [X234], [Y], 18, functions=[lift], domains=[d], ir=9)
    then = helper.make_graph([node("Add", ["a", "k"], ["r"], "plus")], "then", [], [vi("r")],
                             [const("k", np.float32(2))])
    other = helper.make_graph([node("Sub", ["a", "h"], ["r2"], "minus")], "else", [], [vi("r2")])
    choose = helper.make_function(
        d, "Choose", ["a"], ["c"],
        [node("ReduceSum", ["a"], ["s"], keepdims=0), node("Constant", [], ["h"], value_float=0.0),
         node("Less", ["s", "h"], ["b"]), node("If", ["b"], ["c"], then_branch=then, else_branch=other)],
        [helper.make_opsetid("", 18)])
    m["subgraph"] = model([node("Choose", ["x"], ["t"], "one", domain=d), node("Choose", ["t"], ["y"], "two", domain=d)],
                          [X234], [Y], 18, functions=[choose], domains=[d])
    return m


def refused():
    img = [IMG]
    nodes = [
        node("Pad", ["x", "p"], ["a"], "wrapped", mode="wrap"),
        node("AveragePool", ["a"], ["b"], "dilated", kernel_shape=[2, 2], dilations=[2, 2]),
        node("RMSNormalization", ["b", "s"], ["c"], "rms"),
        node("Resize", ["c", "", "r"], ["d"], "symmetric", coordinate_transformation_mode="half_pixel_symmetric"),
        node("GridSample", ["d", "g"], ["e"], "grid"),
        node("Cast", ["e"], ["f"], "tiny", to=T.FLOAT8E4M3FN),
        node("Cast", ["f"], ["y"], "fine", to=F),
    ]
    save("refused/newer.onnx", model(nodes, img + [vi("g", F, ["N", 2, 2, 2])], [Y], 23, [
        const("p", [0, 0, 1, 1, 0, 0, 1, 1]), const("s", np.float32([1])), const("r", np.float32([1, 1, 2, 2]))], ir=10))


def table():
    """The opsets at which each operator changed."""
    newest = 26
    history = {}
    for s in defs.get_all_schemas_with_history():
        if s.domain == "" and s.since_version <= newest:
            history.setdefault(s.name, {})[s.since_version] = s.deprecated
    lines = []
    for name in sorted(history):
        # GroupNormalization 18 is marked deprecated for its meaning, but is an operator of opsets 18 to 20.
        versions = [-v if d and name != "GroupNormalization" else v for v, d in sorted(history[name].items())]
        lines.append(f'\t"{name}": {{{", ".join(map(str, versions))}}},')
    path = os.path.join(HERE, "../opset_table.go")
    with open(path, "w") as f:
        f.write(
            "package opset\n\n"
            "// opVersions lists, for every operator of the standard domain, the opsets in\n"
            "// which its definition changed, as the specification's changelog has them; a\n"
            "// negative number is the opset that withdrew it. Generated by testdata/gen.py.\n"
            "var opVersions = map[string][]int64{\n" + "\n".join(lines) + "\n}\n")
    subprocess.run(["gofmt", "-w", path], check=True)


def run(path, feeds):
    import onnxruntime as ort
    if os.path.basename(path) == "passthrough.onnx":  # a function that ONNX Runtime refuses
        from onnx.reference import ReferenceEvaluator
        return ReferenceEvaluator(path).run(None, feeds)
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def verify():
    bad = 0
    for folder in ("convert", "inline"):
        for path in sorted(glob.glob(os.path.join(HERE, folder, "*.onnx"))):
            if path.endswith(".want.onnx"):
                continue
            want = path[:-len(".onnx")] + ".want.onnx"
            name = os.path.relpath(path, HERE)
            try:
                m = onnx.load(want)
                onnx.checker.check_model(m, full_check=True)
                assert [o.version for o in m.opset_import if o.domain == ""] == [18], "opset"
                shape = [2 if d.dim_param else d.dim_value for d in m.graph.input[0].type.tensor_type.shape.dim]
                for seed in range(3):
                    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
                    for a, b in zip(run(path, {"x": x}), run(want, {"x": x}), strict=True):
                        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
                print("same", name)
            except Exception as e:  # every model is reported, whatever goes wrong with it
                bad += 1
                print("DIFFERENT", name, type(e).__name__, str(e)[:300].replace("\n", " "))
    sys.exit(bad > 0)


if __name__ == "__main__":
    if "--verify" in sys.argv:
        verify()
    for folder in ("convert", "inline", "refused"):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    for name, m in conversions().items():
        save(f"convert/{name}.onnx", m)
    for name, m in inlines().items():
        save(f"inline/{name}.onnx", m)
    refused()
    table()
