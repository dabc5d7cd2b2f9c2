"""Expected shapes and values for the tests of shape inference and folding.

Each case is a small model, run by ONNX Runtime for several batch sizes:

    python gen_infer.py | gzip -9n > infer.json.gz

Needs onnx, onnxruntime and numpy. The file is a list of cases:
    name      what is tried
    model     the serialized model, base64
    batches   the values of N tried
    types     per output: element type and, per batch size, its shape
    values    per output, its elements, for models without inputs; null is NaN, 1e308 infinity
    unknown   true if the shape depends on the data: then only the rank counts
    content   per output, per batch size, its elements, which inference must follow
"""
import base64
import json
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

rng = np.random.RandomState(7)
BATCHES = [1, 3, 4]
BLOCKED = "com.microsoft.nchwc"  # ONNX Runtime's blocked layout
NP = {"f": np.float32, "i": np.int64, "b": np.bool_, "u": np.uint8, "j": np.int32, "d": np.float64}
cases, skipped = [], []
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 4
options.intra_op_num_threads = 1


def case(name, nodes, inputs=None, consts=None, outputs=None, unknown=False, content=False, opset=18, maximum=3):
    """inputs: name -> (kind, shape with "N"); consts: name -> array; nodes: a list of make_node."""
    if not isinstance(nodes, list):
        nodes = [nodes]
    inputs, consts = inputs or {}, consts or {}
    outputs = outputs or [o for o in nodes[-1].output if o]
    graph = h.make_graph(
        nodes, "case",
        [h.make_tensor_value_info(k, h.np_dtype_to_tensor_dtype(np.dtype(NP[t])), s) for k, (t, s) in inputs.items()],
        [onnx.ValueInfoProto(name=o) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in consts.items()])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid(BLOCKED, 1)], ir_version=8)
    for i, n in enumerate(model.graph.node):
        n.name = f"n{i}"
    out = {"name": name, "batches": BATCHES if inputs else [1], "types": [], "unknown": unknown}
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for b in out["batches"]:
            feed = {}
            for k, (t, s) in inputs.items():
                shape = [b if d == "N" else d for d in s]
                x = rng.randn(*shape) if t in "fd" else rng.randint(0, maximum, shape)
                feed[k] = np.asarray(x, NP[t])
            got = session.run(None, feed)
            for i, v in enumerate(got):
                v = np.asarray(v)
                if len(out["types"]) <= i:
                    out["types"].append({"dtype": h.np_dtype_to_tensor_dtype(v.dtype), "shapes": []})
                out["types"][i]["shapes"].append(list(v.shape))
                if content:
                    out.setdefault("content", [[] for _ in got])[i].append([int(x) for x in v.ravel()])
            if not inputs:
                out["values"] = [[plain(x) for x in v.ravel().tolist()] for v in got]
    except Exception as e:  # the runtime refuses the combination: no expectation
        skipped.append(f"{name}: {str(e)[:150]}")
        return
    for i, o in enumerate(outputs):
        graph.output[i].CopyFrom(h.make_tensor_value_info(o, out["types"][i]["dtype"], None))
    model.graph.CopyFrom(graph)
    out["model"] = base64.b64encode(model.SerializeToString()).decode()
    cases.append(out)


def plain(x):
    """JSON has neither NaN (null here) nor infinities (1e308)."""
    return None if x != x else max(-1e308, min(1e308, float(x)))


def i64(*v):
    return np.array(v, np.int64)


def pick(*v):
    return v[rng.randint(len(v))]


def node(op, inputs, outputs=("y",), **attrs):
    return h.make_node(op, list(inputs), list(outputs), **attrs)


def f32(*shape):
    return rng.randn(*shape).astype(np.float32)


IMAGE = {"x": ("f", ["N", 4, 13, 10])}

# Elementwise, symbolic and constant.
for op in ["Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Neg", "Abs", "Sign", "Reciprocal", "Erf", "Floor", "Ceil",
           "Round", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Mish",
           "Identity", "Sin", "Cos", "Tan", "Atan", "Softmax", "LogSoftmax"]:
    case(op, node(op, ["x"]), IMAGE)
    if op not in ("HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Mish", "Softmax", "LogSoftmax"):
        case(op + " const", node(op, ["c"]), consts={"c": np.array([[0.5, -0.5, 2.5], [1.5, 0, -3.25]], np.float32)})
for op in ["Neg", "Abs", "Sign", "Relu"]:
    case(op + " ints", node(op, ["c"]), consts={"c": np.array([-3, 0, 5], np.int64 if op != "Relu" else np.int32)})
for op in ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
    case(op, node(op, ["x", "y_"]), {"x": ("f", ["N", 4, 1, 10]), "y_": ("f", ["N", 1, 13, 10])})
    case(op + " row", node(op, ["x", "c"]), IMAGE, {"c": f32(10)})
    case(op + " lift", node(op, ["c", "x"]), {"x": ("f", [10])}, {"c": f32(3, 1)})
    case(op + " 1 against N", node(op, ["x", "y_"]), {"x": ("f", ["N", 2]), "y_": ("f", [1, 2])})
    case(op + " const", node(op, ["a", "b"]), consts={"a": np.abs(f32(3, 1, 2)), "b": f32(4, 1)})
    if op != "Pow":
        case(op + " ints", node(op, ["a", "b"]), consts={"a": i64(-7, 7, 8, 0), "b": i64(2, -2, 8, 3)})
case("Pow ints", node("Pow", ["a", "b"]), consts={"a": i64(-7, 7, 2, 0), "b": i64(2, 3, 10, 0)})
case("Pow mixed", node("Pow", ["a", "b"]), consts={"a": f32(4) ** 2, "b": i64(2, 3, 1, 0)})
for op in ["Max", "Min", "Sum", "Mean"]:
    case(op + " of three", node(op, ["x", "a", "b"]), {"x": ("f", ["N", 1, 3])}, {"a": f32(4, 1), "b": f32(3)})
for op in ["And", "Or", "Xor"]:
    case(op, node(op, ["x", "c"]), {"x": ("b", ["N", 1])}, {"c": np.array([True, False])})
    case(op + " const", node(op, ["a", "b"]), consts={"a": np.array([[True], [False]]), "b": np.array([True, False])})
case("Not", node("Not", ["x"]), {"x": ("b", ["N", 1])})
case("Not const", node("Not", ["c"]), consts={"c": np.array([True, False])})
for fmod in [0, 1]:
    case(f"Mod fmod={fmod}", node("Mod", ["a", "b"], fmod=fmod), consts={"a": i64(-7, 7, 8, -8, 0), "b": i64(3, -3, 8, 5, 2)})
case("Where", node("Where", ["k", "x", "c"]), {"k": ("b", ["N", 1]), "x": ("f", [1, 3])}, {"c": np.float32(0)})
case("Where const", node("Where", ["k", "a", "b"]), consts={"k": np.array([[True], [False]]), "a": i64(1, 2, 3), "b": i64(9)})
case("Clip", node("Clip", ["x", "a", "b"]), IMAGE, {"a": np.float32(0), "b": np.float32(6)})
case("Clip const", node("Clip", ["c", "a", ""]), consts={"c": f32(5), "a": np.float32(0)})
case("PRelu", node("PRelu", ["x", "c"]), IMAGE, {"c": f32(4, 1, 1)})
case("Dropout", node("Dropout", ["x"], ["y", "m"]), IMAGE)
for to in [T.FLOAT, T.INT64, T.INT32, T.BOOL, T.DOUBLE, T.UINT8]:
    case(f"Cast {to}", node("Cast", ["x"], to=to), IMAGE)
    case(f"Cast {to} const", node("Cast", ["c"], to=to), consts={"c": np.array([0, 0.5, 1.5, 7.9, 100], np.float32)})
    case(f"Cast {to} ints", node("Cast", ["c"], to=to), consts={"c": i64(0, 1, 200, 300)})
case("CastLike", node("CastLike", ["c", "x"]), {"x": ("f", ["N"])}, {"c": i64(1, 2)})
case("CumSum", node("CumSum", ["x", "a"]), {"x": ("f", ["N", 5])}, {"a": np.int64(1)})
case("CumSum const", node("CumSum", ["c", "a"]), consts={"c": f32(3, 4), "a": np.int64(-2)})
for upper in [0, 1]:
    for k in [-1, 0, 2]:
        case(f"Trilu {upper} {k}", node("Trilu", ["x", "k"], upper=upper), {"x": ("f", ["N", 3, 4])}, {"k": np.int64(k)})
        case(f"Trilu {upper} {k} const", node("Trilu", ["c", "k"], upper=upper), consts={"c": f32(2, 3, 4), "k": np.int64(k)})
case("EyeLike", node("EyeLike", ["x"], dtype=T.FLOAT, k=1), {"x": ("i", ["N", 4])})
case("EyeLike const", node("EyeLike", ["c"], dtype=T.FLOAT, k=-1), consts={"c": i64(*range(12)).reshape(3, 4)})

# Normalisation.
stats = {"s": f32(4), "b": f32(4), "m": f32(4), "v": np.abs(f32(4))}
case("BatchNormalization", node("BatchNormalization", ["x", "s", "b", "m", "v"]), IMAGE, stats)
case("BatchNormalization training", node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y", "rm", "rv"], training_mode=1), IMAGE, stats)
case("BatchNormalization rank 2", node("BatchNormalization", ["x", "s", "b", "m", "v"]), {"x": ("f", ["N", 4])}, stats)
case("LayerNormalization", node("LayerNormalization", ["x", "s"], ["y", "mean", "inv"], axis=-1), {"x": ("f", ["N", 7, 4])}, {"s": f32(4)})
case("LayerNormalization axis 1", node("LayerNormalization", ["x", "s", "b"], axis=1), {"x": ("f", ["N", 7, 4])}, {"s": f32(7, 4), "b": f32(7, 4)})
case("InstanceNormalization", node("InstanceNormalization", ["x", "s", "b"]), IMAGE, {"s": f32(4), "b": f32(4)})
case("LRN", node("LRN", ["x"], size=3), IMAGE)

# Windows.
for i in range(60):
    g = pick(1, 2, 4)
    k, s, d = [int(rng.randint(1, 4)) for _ in range(2)], [int(rng.randint(1, 4)) for _ in range(2)], [int(rng.randint(1, 3)) for _ in range(2)]
    attrs = dict(strides=s, dilations=d, group=g)
    auto = pick("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if auto == "NOTSET":
        attrs["pads"] = [int(rng.randint(0, 3)) for _ in range(4)]
    else:
        attrs["auto_pad"] = auto
    if pick(0, 1):
        attrs["kernel_shape"] = k
    w = f32(8, 4 // g, *k)
    case(f"Conv {i} {attrs}", node("Conv", ["x", "w", "b"], **attrs), IMAGE, {"w": w, "b": f32(8)})
    attrs.pop("kernel_shape", None)
    if auto == "NOTSET" and max(s) > 1:
        attrs["output_padding"] = [min(1, a - 1) for a in s]
    case(f"ConvTranspose {i} {attrs}", node("ConvTranspose", ["x", "w"], **attrs), IMAGE, {"w": f32(4, 6, *k)})
case("Conv 1d", node("Conv", ["x", "w"], pads=[1, 1]), {"x": ("f", ["N", 3, 20])}, {"w": f32(5, 3, 3)})
case("Conv 3d", node("Conv", ["x", "w"]), {"x": ("f", ["N", 3, 6, 7, 8])}, {"w": f32(5, 3, 3, 2, 1)})
case("Conv weight gradient", node("Conv", ["a", "b"], pads=[1, 1, 1, 1]), {"a": ("f", [3, "N", 8, 8]), "b": ("f", [5, "N", 8, 8])})
case("ConvTranspose output_shape", node("ConvTranspose", ["x", "w"], output_shape=[27, 20], strides=[2, 2]), IMAGE, {"w": f32(4, 6, 3, 3)})
for i in range(90):
    op = pick("MaxPool", "AveragePool", "LpPool")
    k = [int(rng.randint(1, 5)) for _ in range(2)]
    attrs = dict(kernel_shape=k, strides=[int(rng.randint(1, 4)) for _ in range(2)])
    auto = pick("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if auto == "NOTSET":
        attrs["pads"] = [int(rng.randint(0, a)) for a in k + k]
        if op != "LpPool":
            attrs["ceil_mode"] = int(pick(0, 1))
    else:
        attrs["auto_pad"] = auto
    if op == "MaxPool" and pick(0, 1):
        attrs["dilations"] = [int(rng.randint(1, 3)) for _ in range(2)]
    outs = ["y", "idx"] if op == "MaxPool" and pick(0, 1) else ["y"]
    case(f"{op} {i} {attrs}", node(op, ["x"], outs, **attrs), IMAGE)
for op in ["GlobalAveragePool", "GlobalMaxPool"]:
    case(op, node(op, ["x"]), IMAGE)

blocked = [node("ReorderInput", ["x"], ["a"], domain=BLOCKED),
           node("Conv", ["a", "w"], ["b"], domain=BLOCKED, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
           node("MaxPool", ["b"], ["c"], domain=BLOCKED, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
           node("AveragePool", ["c"], ["d"], domain=BLOCKED, kernel_shape=[2, 2]),
           node("ReorderOutput", ["d"], ["e"], domain=BLOCKED, channels=32)]
case("blocked layout", blocked, {"x": ("f", ["N", 16, 9, 9])}, {"w": f32(32, 16, 3, 3)}, outputs=["a", "b", "c", "d", "e"])
case("blocked pooling", [blocked[0], node("GlobalAveragePool", ["a"], ["b"], domain=BLOCKED), node("ReorderOutput", ["b"], domain=BLOCKED, channels=16)], {"x": ("f", ["N", 16, 9, 9])})
case("blocked, channels last", [node("ReorderInput", ["x"], ["a"], domain=BLOCKED, channels_last=1), node("ReorderOutput", ["a"], domain=BLOCKED, channels=32, channels_last=1)],
     {"x": ("f", ["N", 9, 7, 32])}, outputs=["a", "y"])

# Products.
case("MatMul", node("MatMul", ["x", "w"]), {"x": ("f", ["N", 7, 5])}, {"w": f32(5, 3)})
case("MatMul batch", node("MatMul", ["x", "z"]), {"x": ("f", ["N", 1, 7, 5]), "z": ("f", [4, 5, "N"])})
case("MatMul vector", node("MatMul", ["x", "w"]), {"x": ("f", ["N", 7, 5])}, {"w": f32(5)})
case("MatMul row vector", node("MatMul", ["w", "x"]), {"x": ("f", ["N", 5, 3])}, {"w": f32(5)})
case("MatMul vectors", node("MatMul", ["x", "w"]), {"x": ("f", [5])}, {"w": f32(5)})
for a in [0, 1]:
    for b in [0, 1]:
        case(f"Gemm {a}{b}", node("Gemm", ["x", "w", "c"], transA=a, transB=b), {"x": ("f", [5, "N"] if a else ["N", 5])},
             {"w": f32(*([3, 5] if b else [5, 3])), "c": f32(3)})
for eq, shapes in [("ij,jk->ik", [["N", 3], [3, 4]]), ("bij,bjk->bik", [["N", 3, 4], ["N", 4, 5]]), ("...ij,...jk->...ik", [["N", 2, 3, 4], ["N", 2, 4, 5]]),
                   ("bhid,bhjd->bhij", [["N", 2, 3, 4], ["N", 2, 6, 4]]), ("ij->ji", [["N", 3]]), ("ii->i", [[3, 3]]), ("ij,jk", [["N", 3], [3, 4]]),
                   ("i,j->ij", [["N"], [3]]), ("bi->", [["N", 3]])]:
    case("Einsum " + eq, node("Einsum", [f"x{i}" for i in range(len(shapes))], equation=eq), {f"x{i}": ("f", s) for i, s in enumerate(shapes)})

# Reductions.
for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp"]:
    for keep in [0, 1]:
        for axes in [None, [0], [-1], [0, 2, 3], [1, -2], []]:
            consts = {} if axes is None else {"a": np.array(axes, np.int64)}
            case(f"{op} {axes} {keep}", node(op, ["x", "a"] if axes is not None else ["x"], keepdims=keep), IMAGE, consts)
    case(op + " noop", node(op, ["x"], noop_with_empty_axes=1), IMAGE)
    if op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"]:
        case(op + " const", node(op, ["c", "a"], keepdims=0), consts={"c": f32(2, 3, 4), "a": i64(0, -1)})
        case(op + " const all", node(op, ["c"]), consts={"c": f32(2, 3, 4)})
for op in ["ArgMax", "ArgMin"]:
    for keep in [0, 1]:
        case(f"{op} {keep}", node(op, ["x"], axis=-1, keepdims=keep), IMAGE)
case("TopK", node("TopK", ["x", "k"], ["v", "i"], axis=1), IMAGE, {"k": i64(2)})

# Moving elements: with the batch, and constant.
for name, start, end, axes, steps in [("all", [0], [2**63 - 1], [1], None), ("tail", [1], [2**63 - 1], [0], None), ("neg", [-3], [-1], [2], None),
                                      ("flip", [-1], [-2**63], [2], [-1]), ("flip N", [-1], [-2**63], [0], [-1]), ("step", [1, 0], [100, 9], [2, 3], [2, 3]),
                                      ("empty", [5], [3], [2], None), ("back", [9], [1], [3], [-4]), ("defaults", [0, 1], [5, 3], None, None)]:
    ins, consts = ["x", "s", "e"], {"s": i64(*start), "e": i64(*end)}
    if axes is not None:
        consts["a"] = i64(*axes)
    if steps is not None:
        consts["t"] = i64(*steps)
    ins = ["x", "s", "e"] + (["a"] if axes is not None else [""] if steps else []) + (["t"] if steps else [])
    exact = not (name in ("tail", "defaults"))
    case("Slice " + name, node("Slice", ins), IMAGE, consts, unknown=not exact)
    case("Slice const " + name, node("Slice", ["c"] + ins[1:]), consts=dict(consts, c=f32(3, 4, 7, 10)))
for axis in [0, 1, -1]:
    case(f"Gather {axis}", node("Gather", ["x", "i"], axis=axis), IMAGE, {"i": np.array([[0], [-1]], np.int64)})
    case(f"Gather const {axis}", node("Gather", ["c", "i"], axis=axis), consts={"c": f32(3, 4, 5), "i": np.array([[0], [-1]], np.int64)})
case("Gather scalar", node("Gather", ["x", "i"], axis=1), IMAGE, {"i": np.int64(2)})
case("Gather by N", node("Gather", ["c", "i"]), {"i": ("i", ["N"])}, {"c": f32(3, 4)})
case("GatherElements", node("GatherElements", ["c", "i"], axis=1), {"i": ("i", ["N", 1])}, {"c": f32(10, 3)})
case("GatherElements const", node("GatherElements", ["c", "i"], axis=0), consts={"c": f32(3, 3), "i": i64(0, -1, 1).reshape(1, 3)})
case("GatherND", node("GatherND", ["c", "i"]), {"i": ("i", ["N", 2])}, {"c": f32(3, 4, 5)})
case("GatherND batch", node("GatherND", ["c", "i"], batch_dims=1), {"c": ("f", ["N", 4, 5]), "i": ("i", ["N", 1])})
case("GatherND const", node("GatherND", ["c", "i"]), consts={"c": f32(3, 4, 5), "i": i64(0, 1, -1, 3).reshape(2, 2)})
case("ScatterElements", node("ScatterElements", ["x", "i", "u"], axis=1, reduction="add"), {"x": ("f", ["N", 3]), "i": ("i", ["N", 2]), "u": ("f", ["N", 2])})
case("ScatterElements const", node("ScatterElements", ["c", "i", "u"], axis=1), consts={"c": f32(2, 3), "i": i64(2, -3).reshape(2, 1), "u": f32(2, 1)})
case("ScatterND", node("ScatterND", ["x", "i", "u"]), {"x": ("f", [5, "N"]), "u": ("f", [2, "N"])}, {"i": i64(0, 3).reshape(2, 1)})
case("ScatterND const", node("ScatterND", ["c", "i", "u"]), consts={"c": f32(3, 4), "i": i64(0, 2).reshape(2, 1), "u": f32(2, 4)})
case("OneHot", node("OneHot", ["i", "d", "v"], axis=-1), {"i": ("i", ["N"])}, {"d": np.int64(5), "v": np.array([0, 1], np.float32)})
for axis in [0, 1, -1]:
    case(f"OneHot const {axis}", node("OneHot", ["i", "d", "v"], axis=axis), consts={"i": i64(0, 3, -1, 9).reshape(2, 2), "d": np.int64(4), "v": f32(2)})
case("Concat N", node("Concat", ["x", "z"], axis=0), {"x": ("f", ["N", 3]), "z": ("f", ["N", 3])})
case("Concat", node("Concat", ["x", "c"], axis=-1), {"x": ("f", [4, 3])}, {"c": f32(4, 2)})
for axis in [0, 1, 2]:
    d = [2, 3, 4]
    e = list(d)
    e[axis] = 5
    case(f"Concat const {axis}", node("Concat", ["a", "b"], axis=axis), consts={"a": f32(*d), "b": f32(*e)})
case("Split", node("Split", ["x", "s"], ["a", "b"], axis=1), IMAGE, {"s": i64(1, 3)})
case("Split even", node("Split", ["x"], ["a", "b", "c"], axis=2, num_outputs=3), IMAGE)
case("Split const", node("Split", ["c", "s"], ["a", "b"], axis=-1), consts={"c": f32(3, 5), "s": i64(2, 3)})
case("Transpose", node("Transpose", ["x"], perm=[0, 2, 3, 1]), IMAGE)
case("Transpose reverse", node("Transpose", ["x"]), IMAGE)
case("Transpose const", node("Transpose", ["c"], perm=[2, 0, 1]), consts={"c": f32(2, 3, 4)})
case("Squeeze", node("Squeeze", ["x", "a"]), {"x": ("f", ["N", 1, 3, 1])}, {"a": i64(1, -1)})
case("Squeeze all", node("Squeeze", ["x"]), {"x": ("f", [1, 3, 1])})
case("Unsqueeze", node("Unsqueeze", ["x", "a"]), {"x": ("f", ["N", 3])}, {"a": i64(0, -1)})
for axis in [0, 1, 2, -1, 4]:
    case(f"Flatten {axis}", node("Flatten", ["x"], axis=axis), IMAGE)
for t in [[-1, 520], [0, -1], [0, 4, 130], [-1, 10], [0, 0, -1], [0, 2, 2, -1], [-1], [1, -1, 13, 10]]:
    case(f"Reshape {t}", node("Reshape", ["x", "t"]), IMAGE, {"t": i64(*t)})
case("Reshape allowzero", node("Reshape", ["x", "t"], allowzero=1), {"x": ("f", ["N", 0])}, {"t": i64(0, 5)})
case("Reshape const", node("Reshape", ["c", "t"]), consts={"c": f32(4, 6), "t": i64(0, 2, -1)})
case("Expand", node("Expand", ["x", "t"]), {"x": ("f", ["N", 1])}, {"t": i64(2, 1, 5)})
case("Expand const", node("Expand", ["c", "t"]), consts={"c": f32(3, 1), "t": i64(2, 1, 4)})
case("Tile", node("Tile", ["x", "t"]), {"x": ("f", ["N", 3])}, {"t": i64(2, 3)})
case("Tile const", node("Tile", ["c", "t"]), consts={"c": f32(2, 3), "t": i64(2, 3)})
case("Pad", node("Pad", ["x", "p"]), IMAGE, {"p": i64(0, 0, 1, 2, 0, 0, 3, -1)})
case("Pad axes", node("Pad", ["x", "p", "v", "a"]), IMAGE, {"p": i64(1, 2), "v": np.float32(1), "a": i64(-1)})
case("Pad reflect", node("Pad", ["x", "p"], mode="reflect"), IMAGE, {"p": i64(0, 0, 1, 2, 0, 0, 3, 1)})
case("Pad const", node("Pad", ["c", "p", "v"]), consts={"c": f32(2, 3), "p": i64(1, 0, 0, 2), "v": np.float32(9)})
case("DepthToSpace", node("DepthToSpace", ["x"], blocksize=2), IMAGE)
case("SpaceToDepth", node("SpaceToDepth", ["x"], blocksize=2), {"x": ("f", ["N", 3, 8, 6])})
case("ConstantOfShape", node("ConstantOfShape", ["t"], value=numpy_helper.from_array(np.array([3], np.int64))), consts={"t": i64(2, 3)})
case("Range", node("Range", ["a", "b", "c"]), consts={"a": np.int64(3), "b": np.int64(-8), "c": np.int64(-3)})
case("Range floats", node("Range", ["a", "b", "c"]), consts={"a": np.float32(0), "b": np.float32(1), "c": np.float32(0.3)})
case("NonZero const", node("NonZero", ["c"]), consts={"c": np.array([[0, 1, 0], [2, 0, 3]], np.float32)})
case("NonZero", node("NonZero", ["x"]), {"x": ("f", ["N", 4])}, unknown=True)
case("Resize scales", node("Resize", ["x", "", "s"], mode="nearest"), IMAGE, {"s": np.array([1, 1, 2, 1.7], np.float32)})
case("Resize sizes", node("Resize", ["x", "", "", "s"], mode="linear"), {"x": ("f", [2, 4, 13, 10])}, {"s": i64(2, 4, 20, 5)})
case("Resize axes", node("Resize", ["x", "", "", "s"], mode="linear", axes=[2, 3]), IMAGE, {"s": i64(20, 5)})
case("Size const", node("Size", ["c"]), consts={"c": f32(2, 3)})
for start, end in [(0, None), (1, None), (-2, None), (0, 1), (1, -1), (3, 1)]:
    attrs = {"start": start} if end is None else {"start": start, "end": end}
    case(f"Shape {attrs}", node("Shape", ["x"], **attrs), IMAGE, content=True)

# Shape arithmetic: contents that follow N.
SHAPE = [node("Shape", ["x"], ["s"])]
G = SHAPE + [node("Gather", ["s", "zero"], ["n"]), node("Gather", ["s", "two"], ["hh"])]
C = {"zero": np.int64(0), "two": np.int64(2), "ax": i64(0), "m1": i64(-1), "k7": np.int64(7), "k4": i64(4)}
case("content size", [node("Size", ["x"])], IMAGE, content=True)
case("content concat", G + [node("Unsqueeze", ["n", "ax"], ["n1"]), node("Concat", ["n1", "m1", "k4"], axis=0)], IMAGE, C, content=True)
case("content mul", G + [node("Mul", ["n", "k7"])], IMAGE, C, content=True)
case("content mul div", G + [node("Mul", ["n", "hh"], ["q"]), node("Div", ["q", "hh"])], IMAGE, C, content=True)
case("content sub", G + [node("Mul", ["n", "k7"], ["q"]), node("Sub", ["q", "n"])], IMAGE, C, content=True)
case("content mod", G + [node("Mul", ["n", "k7"], ["q"]), node("Mod", ["q", "k7"])], IMAGE, C, content=True)
case("content slice", SHAPE + [node("Slice", ["s", "a", "b"])], IMAGE, {"a": i64(0), "b": i64(-1)}, content=True)
case("content cast", G + [node("Cast", ["n"], ["f"], to=T.FLOAT), node("Mul", ["f", "h"], ["g"]), node("Floor", ["g"], ["o"]), node("Cast", ["o"], to=T.INT64)],
     IMAGE, dict(C, h=np.float32(64)), content=True)
case("content float div", G + [node("Mul", ["n", "k7"], ["q"]), node("Cast", ["q"], ["f"], to=T.FLOAT), node("Div", ["f", "h"], ["g"]), node("Cast", ["g"], to=T.INT64)],
     IMAGE, dict(C, h=np.float32(7)), content=True)
case("content equal", G + [node("Equal", ["n", "m"])], IMAGE, dict(C, m=np.int64(-1)), content=True)
case("content prod", SHAPE + [node("ReduceProd", ["s"], keepdims=0)], IMAGE, content=True)
case("content sum", SHAPE + [node("Gather", ["s", "i"], ["q"]), node("ReduceSum", ["q"], keepdims=0)], IMAGE, {"i": i64(0, 0, 0)}, content=True)
case("content where", [node("Shape", ["x"], ["s"]), node("Equal", ["t", "m1"], ["e"]), node("Where", ["e", "s", "t"])], IMAGE,
     {"t": i64(-1, 3, -1, 2), "m1": i64(-1)}, content=True)
case("content scatter", SHAPE + [node("ScatterND", ["s", "i", "u"])], IMAGE, {"i": i64(1).reshape(1, 1), "u": i64(99)}, content=True)
case("content split", SHAPE + [node("Split", ["s", "p"], ["a", "b"], axis=0)], IMAGE, {"p": i64(1, 3)}, content=True)
case("content max", G + [node("Max", ["n", "o"])], IMAGE, dict(C, o=np.int64(1)), content=True)
case("expand by shape", G + [node("Unsqueeze", ["n", "ax"], ["n1"]), node("Concat", ["n1", "k4", "k4"], ["t"], axis=0), node("Expand", ["c", "t"])], IMAGE,
     dict(C, c=f32(1, 1, 4)))
case("reshape by product", G + [node("Mul", ["n", "k7"], ["q"]), node("Unsqueeze", ["q", "ax"], ["q1"]), node("Concat", ["q1", "m1"], ["t"], axis=0), node("Reshape", ["x", "t"])],
     {"x": ("f", ["N", 4, 14, 10])}, C)
case("reshape by unknown", [node("Cast", ["z"], ["q"], to=T.INT64), node("Concat", ["q", "k"], ["t"], axis=0), node("Reshape", ["x", "t"])],
     {"x": ("f", ["N", 4])}, {"z": np.array([-1], np.float32), "k": i64(4)})
case("range of N", G + [node("Range", ["zero", "n", "one"])], IMAGE, dict(C, one=np.int64(1)))
case("constant of N", G + [node("Unsqueeze", ["n", "ax"], ["n1"]), node("Concat", ["n1", "k4"], ["t"], axis=0), node("ConstantOfShape", ["t"])], IMAGE, C)
case("slice to N", G + [node("Unsqueeze", ["n", "ax"], ["n1"]), node("Slice", ["w", "ax", "n1", "ax"])], {"x": ("f", ["N", 4, 6, 6]), "w": ("f", ["N", 3])}, C)


def write():
    if skipped:
        print("\n".join(skipped), file=sys.stderr)
    print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")


if __name__ == "__main__":
    write()
