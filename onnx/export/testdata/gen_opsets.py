#!/usr/bin/env python3
"""Record what every operator with a gradient, and every one that is rewritten on reading, computes by each of its
definitions since opset 7: opsets.safetensors.gz beside this script holds CASE/model, CASE/in/NAME and CASE/out/K,
where CASE is OPERATOR-OPSET-VARIANT. The values are ONNX Runtime's, or onnx.reference's where that has no kernel;
GlobalLpPool's follow from its formula.
"""
import json, os, sys
import numpy as np, onnx, onnx.defs
from onnx import TensorProto as T, helper, numpy_helper
from fixture import write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
NEWEST = 26
CASES = {}
WITHDRAWN = {"Upsample", "Scatter"}  # with opsets 10 and 11
r = np.random.default_rng(11)


def f(*shape):
    return r.standard_normal(shape).astype(np.float32)


def i64(*v):
    return np.array(v, np.int64)


def fs(*v):
    return np.array(v, np.float32)


def versions(op):
    """The opsets from 7 on at which a definition begins to hold."""
    v = sorted(s.since_version for s in onnx.defs.get_all_schemas_with_history()
               if s.name == op and s.domain == "" and s.since_version <= NEWEST and (not s.deprecated or op == "GroupNormalization"))
    if op in WITHDRAWN:
        return [max(7, x) for x in v]
    return sorted({max(7, x) for x in v if x <= 7}) + [x for x in v if x > 7]


def case(op, opset, variant, inputs, outputs=1, fixed=(), **attrs):
    """inputs: arrays, None where one is left out; those at the positions in fixed are initializers."""
    CASES[f"{op}-{opset}-{variant}"] = (op, opset, inputs, outputs, set(fixed), attrs)


def each(ops, variant, make):
    """make(v) gives inputs, and by choice a dict with outputs, fixed and attributes; None where v cannot say it."""
    for op in ops.split():
        for v in versions(op):
            got = make(v)
            if got is not None:
                inputs, more = got if isinstance(got, tuple) else (got, {})
                case(op, v, variant, inputs, **more)


def positive(*shape):
    return np.abs(f(*shape)) + 0.5


def table():
    x = f(2, 3, 4)
    each("Add Sub Mul Div", "spread", lambda v: [x, positive(3, 1)])
    each("Add Sub Mul Div", "scalar", lambda v: [x, np.float32(2.5)])
    each("Pow", "spread", lambda v: [positive(2, 3), f(3)])
    each("PRelu", "channel", lambda v: [x, f(3, 1)])
    each("Sum Mean Max Min", "three", lambda v: [f(2, 3), f(2, 3) if v < 8 else f(3), f(2, 3)])
    each("Where", "spread", lambda v: [np.array([[True], [False]]), f(2, 3), f(3)])
    each("Relu Sigmoid Tanh Neg Abs Exp Sin Cos Erf Softplus Softsign LeakyRelu Elu Celu Selu HardSigmoid HardSwish Mish Identity"
         " Gelu Swish", "default", lambda v: [x])
    each("LeakyRelu Elu Celu", "alpha", lambda v: ([x], {"alpha": 0.3}))
    each("HardSigmoid", "both", lambda v: ([x], {"alpha": 0.3, "beta": 0.4}))
    each("Selu", "both", lambda v: ([x], {"alpha": 1.3, "gamma": 0.9}))
    each("Gelu", "tanh", lambda v: ([x], {"approximate": "tanh"}))
    each("Swish", "alpha", lambda v: ([x], {"alpha": 0.7}))
    small = np.tanh(f(2, 3)) * 0.9
    each("Acos Asin Atan Atanh Tan Sinh Cosh Asinh ThresholdedRelu Shrink", "default", lambda v: [small])
    each("Acosh", "default", lambda v: [positive(2, 3) + 1])
    each("ThresholdedRelu", "alpha", lambda v: ([small], {"alpha": 0.2}))
    each("Shrink", "both", lambda v: ([small], {"lambd": 0.3, "bias": 0.1}))
    each("Mod", "fmod", lambda v: ([x, positive(3, 1)], {"fmod": 1}))
    each("Mod", "integers", lambda v: [i64(-7, 7, 5), i64(3, -3, 4)])
    each("ReverseSequence", "default", lambda v: [f(4, 2, 3), i64(3, 2)])
    each("ReverseSequence", "batch", lambda v: ([f(2, 4), i64(3, 1)], {"batch_axis": 0, "time_axis": 1}))
    each("MaxUnpool", "halves", lambda v: ([f(1, 1, 2, 2), np.array([[[[1, 3], [8, 15]]]], np.int64)], {"kernel_shape": [2, 2], "strides": [2, 2]}))
    each("LRN", "three", lambda v: ([f(1, 5, 2, 2)], {"size": 3, "alpha": 0.1, "beta": 0.6, "bias": 1.5}))
    each("LpPool", "strided", lambda v: ([f(1, 2, 6, 5)], {"kernel_shape": [3, 2], "strides": [2, 1], "p": 2}))
    each("GlobalLpPool", "default", lambda v: [f(1, 2, 4, 3)])
    each("LpNormalization", "axis", lambda v: ([x], {"axis": 1, "p": 1}))
    each("MeanVarianceNormalization", "default", lambda v: [f(2, 3, 4, 4)])
    each("Col2Im", "blocks", lambda v: ([f(1, 8, 6), i64(3, 4), i64(2, 2)], {"fixed": (1, 2)}))
    each("Sqrt Reciprocal Log", "positive", lambda v: [positive(2, 3)])
    each("Clip", "both", lambda v: ([x], {"min": -0.5, "max": 0.7}) if v < 11 else ([x, np.float32(-0.5), np.float32(0.7)], {"fixed": (1, 2)}))
    each("Clip", "low", lambda v: ([x], {"min": 0.1}) if v < 11 else ([x, np.float32(0.1)], {"fixed": (1,)}))
    each("Clip", "none", lambda v: [x])
    each("Cast", "down", lambda v: ([x * 3], {"to": T.INT32}))
    each("Cast", "bool", lambda v: ([np.array([True, False])], {"to": T.FLOAT}))
    for axis in (None, 0, 1, 2, -1):
        each("Softmax LogSoftmax Hardmax", f"axis{axis}", lambda v: None if axis == -1 and v < 11 else ([x], {} if axis is None else {"axis": axis}))
    reductions = "ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp ReduceProd ReduceLogSum"
    for op in reductions.split():
        from_input = 13 if op == "ReduceSum" else 18
        y = positive(2, 3, 4)
        each(op, "axes", lambda v: ([y], {"axes": [0, 2]}) if v < from_input else ([y, i64(0, 2)], {"fixed": (1,)}))
        each(op, "all", lambda v: ([y], {"keepdims": 0}))
        each(op, "noop", lambda v: ([y], {"noop_with_empty_axes": 1}) if v >= from_input else None)
        each(op, "negative", lambda v: None if v < 11 else ([y], {"axes": [-1], "keepdims": 0}) if v < from_input else ([y, i64(-1)], {"fixed": (1,), "keepdims": 0}))
    for a in ({}, {"reverse": 1}, {"exclusive": 1}):
        each("CumSum", "-".join(a) or "plain", lambda v: ([x, np.int64(1)], {"fixed": (1,), **a}))
    each("Gemm", "vector", lambda v: ([f(3, 4), f(5, 4), f(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}))
    each("Gemm", "column", lambda v: ([f(4, 3), f(4, 5), f(3, 1)], {"transA": 1}))
    each("MatMul", "spread", lambda v: [f(2, 3, 4), f(4, 5)])
    each("Einsum", "dots", lambda v: ([f(2, 3, 4), f(4, 5)], {"equation": "...i,ij->...j"}))
    each("Einsum", "implicit", lambda v: ([f(4, 2), f(2, 3)], {"equation": "kb,bj"}))
    each("Einsum", "diagonal", lambda v: ([f(2, 3, 3)], {"equation": "cii->c"}))
    image = f(2, 4, 6, 5)
    each("Conv", "strided", lambda v: ([image, f(6, 2, 3, 3), f(6)], {"strides": [2, 1], "pads": [1, 0, 1, 2], "group": 2, "dilations": [1, 2]}))
    each("Conv", "same", lambda v: ([image, f(3, 4, 3, 2)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}))
    each("ConvTranspose", "strided", lambda v: ([image, f(4, 3, 3, 3), f(3)], {"strides": [2, 2], "pads": [1, 1, 0, 1], "output_padding": [1, 0]}))
    each("ConvTranspose", "grouped", lambda v: ([image, f(4, 3, 2, 3)], {"group": 2, "dilations": [2, 1]}))
    each("MaxPool", "strided", lambda v: ([image], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}))
    each("MaxPool", "ceil", lambda v: None if v < 10 else ([image], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1, "dilations": [1, 2]}))
    each("AveragePool", "strided", lambda v: ([image], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}))
    each("AveragePool", "padding", lambda v: ([image], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}))
    each("AveragePool", "ceil", lambda v: None if v < 10 else ([image], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}))
    each("GlobalAveragePool GlobalMaxPool", "image", lambda v: [image])
    norm = [image, f(4), f(4)]
    each("BatchNormalization", "default", lambda v: [*norm, f(4), positive(4)])
    each("BatchNormalization", "epsilon", lambda v: ([*norm, f(4), positive(4)], {"epsilon": 0.1, "momentum": 0.8}))
    each("InstanceNormalization", "epsilon", lambda v: (norm, {"epsilon": 0.1}))
    each("LayerNormalization", "last", lambda v: [x, f(4), f(4)])
    each("LayerNormalization", "two", lambda v: ([x, f(3, 4)], {"axis": 1, "epsilon": 0.1}))
    each("GroupNormalization", "two", lambda v: ([image, f(2 if v < 21 else 4), f(2 if v < 21 else 4)], {"num_groups": 2, "fixed": (1, 2), "epsilon": 0.01}))
    each("RMSNormalization", "last", lambda v: [x, f(4)])
    each("RMSNormalization", "two", lambda v: ([x, f(3, 4)], {"axis": 1, "epsilon": 0.1}))
    each("Flatten", "default", lambda v: [x])
    each("Flatten", "axis", lambda v: ([x], {"axis": 0 if v < 11 else -1}))
    each("Reshape", "copy", lambda v: ([x, i64(0, -1)], {"fixed": (1,)}))
    each("Squeeze", "axes", lambda v: ([f(1, 3, 1)], {"axes": [2]}) if v < 13 else ([f(1, 3, 1), i64(2)], {"fixed": (1,)}))
    each("Squeeze", "all", lambda v: [f(1, 3, 1)])
    each("Unsqueeze", "axes", lambda v: ([f(2, 3)], {"axes": [0, 2]}) if v < 13 else ([f(2, 3), i64(0, -2)], {"fixed": (1,)}))
    each("Transpose", "default", lambda v: [x])
    each("Transpose", "perm", lambda v: ([x], {"perm": [1, 0, 2]}))
    each("Concat", "axis", lambda v: ([x, f(2, 1, 4)], {"axis": 1 if v < 11 else -2}))
    each("Expand", "rows", lambda v: ([f(3, 1), i64(2, 1, 4)], {"fixed": (1,)}))
    each("Split", "sizes", lambda v: ([x], {"axis": 2, "split": [1, 3], "outputs": 2}) if v < 13 else ([x, i64(1, 3)], {"axis": 2, "fixed": (1,), "outputs": 2}))
    each("Split", "equal", lambda v: ([x], {"axis": 1, "outputs": 3, **({"num_outputs": 3} if v >= 18 else {})}))
    each("Slice", "axes", lambda v: ([x], {"starts": [1, -3], "ends": [3, 100], "axes": [1, 2]}) if v < 10 else ([x, i64(1, -3), i64(3, 100), i64(1, 2)], {"fixed": (1, 2, 3)}))
    each("Slice", "first", lambda v: ([x], {"starts": [1], "ends": [2]}) if v < 10 else ([x, i64(1), i64(2)], {"fixed": (1, 2)}))
    each("Slice", "steps", lambda v: None if v < 10 else ([x, i64(-1), i64(-100), i64(2), i64(-2)], {"fixed": (1, 2, 3, 4)}))
    pads = [0, 1, 2, 0, 0, 1]
    for mode in ("constant", "edge", "reflect", "wrap"):
        each("Pad", mode, lambda v: None if mode == "wrap" and v < 19 else ([x], {"pads": pads, "mode": mode}) if v < 11 else ([x, i64(*pads)], {"mode": mode, "fixed": (1,)}))
    each("Pad", "value", lambda v: ([x], {"pads": pads, "value": 1.5}) if v < 11 else ([x, i64(*pads), np.float32(1.5)], {"fixed": (1, 2)}))
    each("Pad", "axes", lambda v: None if v < 18 else ([x, i64(1, 2), None, i64(-1)], {"fixed": (1, 3)}))
    each("Tile", "some", lambda v: ([x, i64(2, 1, 3)], {"fixed": (1,)}))
    each("Trilu", "lower", lambda v: ([x, np.int64(1)], {"upper": 0, "fixed": (1,)}))
    each("DepthToSpace", "default", lambda v: ([f(1, 8, 2, 3)], {"blocksize": 2}))
    each("DepthToSpace", "crd", lambda v: None if v < 11 else ([f(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}))
    each("SpaceToDepth", "default", lambda v: ([f(1, 2, 4, 6)], {"blocksize": 2}))
    each("Gather", "axis", lambda v: ([x, np.array([[0, 2], [1, 1]], np.int64)], {"axis": 1, "fixed": (1,)}))
    each("Gather", "negative", lambda v: None if v < 11 else ([x, i64(-1)], {"axis": -1, "fixed": (1,)}))
    at = np.array([[0, 2], [1, 0]], np.int64)
    each("GatherElements", "axis", lambda v: ([f(2, 3), at], {"axis": 1, "fixed": (1,)}))
    each("GatherND", "pairs", lambda v: ([x, np.array([[0, 2], [1, 0]], np.int64)], {"fixed": (1,)}))
    each("GatherND", "batch", lambda v: None if v < 12 else ([x, np.array([[0], [2]], np.int64)], {"batch_dims": 1, "fixed": (1,)}))
    each("Scatter ScatterElements", "axis", lambda v: ([f(2, 3), at, f(2, 2)], {"axis": 1, "fixed": (1,)}))
    each("ScatterElements", "add", lambda v: None if v < 16 else ([f(2, 3), at * 0, f(2, 2)], {"axis": 1, "reduction": "add", "fixed": (1,)}))
    each("ScatterND", "rows", lambda v: ([x, np.array([[1], [0]], np.int64), f(2, 3, 4)], {"fixed": (1,)}))
    each("ScatterND", "add", lambda v: None if v < 16 else ([x, np.array([[1], [1]], np.int64), f(2, 3, 4)], {"reduction": "add", "fixed": (1,)}))
    each("TopK", "default", lambda v: ([x], {"k": 2, "outputs": 2}) if v < 10 else ([x, i64(2)], {"fixed": (1,), "outputs": 2}))
    each("TopK", "axis", lambda v: ([x], {"k": 2, "axis": 1, "outputs": 2}) if v < 10 else ([x, i64(2)], {"fixed": (1,), "axis": 1, "outputs": 2}))
    each("TopK", "smallest", lambda v: None if v < 11 else ([x, i64(2)], {"fixed": (1,), "largest": 0, "outputs": 2}))
    each("Constant", "value", lambda v: ([], {"value": numpy_helper.from_array(f(2, 2))}))
    each("ConstantOfShape", "value", lambda v: ([i64(2, 3)], {"value": numpy_helper.from_array(fs(1.5)), "fixed": (0,)}))
    each("Shape", "default", lambda v: [x])
    each("Size", "default", lambda v: [x])
    each("CastLike", "down", lambda v: [x, np.array([1], np.int32)])
    each("Dropout", "inference", lambda v: ([x], {"ratio": 0.3}) if v < 12 else [x])
    resampling()
    recurrent()
    attention()
    quantised()


def resampling():
    image = f(1, 2, 4, 5)
    scales = fs(1, 1, 2, 1.6)
    for mode in ("nearest", "linear"):
        each("Upsample", mode, lambda v: ([image], {"mode": mode, "scales": [1.0, 1.0, 2.0, 2.0]}) if v < 9 else ([image, fs(1, 1, 2, 2)], {"mode": mode, "fixed": (1,)}))
        each("Resize", mode, lambda v: ([image, scales], {"mode": mode, "fixed": (1,)}) if v < 11 else ([image, fs() if v < 13 else None, scales], {"mode": mode, "fixed": (1, 2)}))
        each("Resize", mode + "-sizes", lambda v: None if v < 11 else
             ([image, fs() if v < 13 else None, fs() if v < 13 else None, i64(1, 2, 7, 3)], {"mode": mode, "fixed": (1, 2, 3), "coordinate_transformation_mode": "align_corners"}))
    each("Resize", "cubic", lambda v: None if v < 11 else
         ([image, fs() if v < 13 else None, scales], {"mode": "cubic", "fixed": (1, 2), "coordinate_transformation_mode": "pytorch_half_pixel"}))
    grid = r.uniform(-1.3, 1.3, (1, 3, 2, 2)).astype(np.float32)
    for old, new in (("bilinear", "linear"), ("nearest", "nearest"), ("bicubic", "cubic")):
        for padding in ("zeros", "border", "reflection"):
            each("GridSample", f"{new}-{padding}", lambda v: ([image, grid], {"mode": old if v < 20 else new, "padding_mode": padding, "align_corners": int(padding == "border")}))
    each("GridSample", "default", lambda v: [image, grid])
    for aligned in (0, 1):
        each("AffineGrid", f"aligned{aligned}", lambda v: ([f(2, 2, 3), i64(2, 3, 4, 5)], {"align_corners": aligned, "fixed": (1,)}))


def recurrent():
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        weights = lambda d: [f(d, gates * 3, 4) / 2, f(d, gates * 3, 3) / 2, f(d, gates * 6) / 2]
        states = lambda *s: [f(*s)] * (2 if op == "LSTM" else 1)
        all_outputs = {"hidden_size": 3, "outputs": 3 if op == "LSTM" else 2}
        each(op, "both", lambda v: ([f(5, 2, 4), *weights(2), None, *states(2, 2, 3)], {"direction": "bidirectional", **all_outputs}))
        each(op, "lengths", lambda v: ([f(5, 2, 4), *weights(1), np.array([5, 5], np.int32)], {"fixed": (4,), **all_outputs}))
        each(op, "layout", lambda v: None if v < 14 else ([f(2, 5, 4), *weights(1), None, *states(2, 1, 3)], {"layout": 1, **all_outputs}))


def attention():
    heads = lambda n, length=5: f(2, n, length, 6)
    mask = np.arange(25).reshape(5, 5) % 3 != 1
    each("Attention", "plain", lambda v: [heads(4), heads(4), heads(4)])
    each("Attention", "causal", lambda v: ([heads(4), heads(4), heads(4)], {"is_causal": 1}))
    each("Attention", "mask", lambda v: [heads(4), heads(4), heads(4), f(5, 5)])
    each("Attention", "allowed", lambda v: [heads(4), heads(4), heads(4), mask])
    each("Attention", "allowed-causal", lambda v: ([heads(4), heads(4), heads(4), mask], {"is_causal": 1}))
    each("Attention", "groups", lambda v: ([heads(4), heads(2), heads(2)], {"scale": 0.3}))
    each("Attention", "one-key", lambda v: [heads(4), heads(1), heads(1)])
    each("Attention", "cross", lambda v: [heads(4), heads(4, 7), heads(4, 7)])
    each("Attention", "softcap", lambda v: ([heads(4), heads(4), heads(4), f(5, 5)], {"softcap": 1.5}))
    each("Attention", "flat", lambda v: ([f(2, 5, 24), f(2, 5, 12), f(2, 5, 12)], {"q_num_heads": 4, "kv_num_heads": 2}))
    cos, sin = f(8, 3), f(8, 3)
    ids = np.array([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]], np.int64)
    each("RotaryEmbedding", "heads", lambda v: [heads(4), cos, sin, ids])
    each("RotaryEmbedding", "tables", lambda v: [heads(4), f(2, 5, 3), f(2, 5, 3)])
    each("RotaryEmbedding", "interleaved", lambda v: ([heads(4), cos, sin, ids], {"interleaved": 1}))
    each("RotaryEmbedding", "partial", lambda v: ([heads(4), cos[:, :2], sin[:, :2], ids], {"rotary_embedding_dim": 4}))
    each("RotaryEmbedding", "flat", lambda v: ([f(2, 5, 24), cos, sin, ids], {"num_heads": 4}))


def quantised():
    x, tenth, scales = 9 * f(2, 3, 4), np.float32(0.1), fs(0.1, 0.2, 0.05)
    bytes_ = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 11
    for zero in (np.uint8(100), np.int8(-3)):
        each("QuantizeLinear", zero.dtype.name, lambda v: ([x, tenth, zero], {"fixed": (1, 2)}))
    each("QuantizeLinear", "plain", lambda v: ([np.abs(x), tenth], {"fixed": (1,)}))
    each("QuantizeLinear", "channels", lambda v: None if v < 13 else ([x, scales, np.array([1, -2, 3], np.int8)], {"fixed": (1, 2), "axis": 1}))
    each("QuantizeLinear", "typed", lambda v: None if v < 21 else ([x, tenth], {"fixed": (1,), "output_dtype": 3}))
    each("DequantizeLinear", "uint8", lambda v: ([bytes_, tenth, np.uint8(100)], {"fixed": (1, 2)}))
    each("DequantizeLinear", "plain", lambda v: ([bytes_, tenth], {"fixed": (1,)}))
    each("DequantizeLinear", "channels", lambda v: None if v < 13 else ([bytes_, scales, np.array([1, 2, 3], np.uint8)], {"fixed": (1, 2), "axis": -2}))


def model(op, opset, inputs, outputs, fixed, attrs):
    names = ["" if a is None else f"x{i}" for i, a in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{k}" for k in range(outputs)], name="n", **attrs)
    values, weights = [], []
    for i, a in enumerate(inputs):
        if a is not None and i in fixed:
            weights.append(numpy_helper.from_array(np.asarray(a), names[i]))
        elif a is not None:
            values.append(helper.make_tensor_value_info(names[i], helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype), np.asarray(a).shape))
    out = [helper.make_empty_tensor_value_info(f"y{k}") for k in range(outputs)]
    g = helper.make_graph([node], "g", values, out, weights)
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 21 else 10)
    feeds = {names[i]: np.asarray(a) for i, a in enumerate(inputs) if a is not None and i not in fixed}
    return m, feeds


def run(m, feeds):
    import onnxruntime as ort
    from onnx.reference import ReferenceEvaluator
    ort.set_default_logger_severity(4)
    if m.graph.node[0].op_type == "GlobalLpPool":  # neither has the one of opset 22; p is 2
        return "its formula", [np.sqrt((feeds["x0"].astype(np.float64) ** 2).sum((2, 3), keepdims=True))]
    try:
        return "onnxruntime", ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    except Exception:
        return "onnx.reference", ReferenceEvaluator(m).run(None, feeds)


def main():
    table()
    tensors, missing, by = {}, [], {}
    for name, (op, opset, inputs, outputs, fixed, attrs) in CASES.items():
        m, feeds = model(op, opset, inputs, outputs, fixed, attrs)
        try:
            who, out = run(m, feeds)
        except Exception as e:
            missing.append(f"{name}: {type(e).__name__} {str(e)[:150]!r}")
            continue
        by.setdefault(who, []).append(name)
        tensors[name + "/model"] = np.frombuffer(m.SerializeToString(deterministic=True), np.uint8)
        tensors.update({f"{name}/in/{k}": v.astype(np.uint8) if v.dtype == bool else v for k, v in feeds.items()})
        tensors.update({f"{name}/out/{k}": np.asarray(v).astype(np.float32) for k, v in enumerate(out)})
    for line in missing:
        print("no values:", line)
    print({k: len(v) for k, v in by.items()}, "onnx.reference:", by.get("onnx.reference"))
    kinds = sorted({c[0] for c in CASES.values()})
    meta = {"versions": json.dumps({op: versions(op) for op in kinds}), "onnx": onnx.__version__}
    tensors = {k: v if str(v.dtype) != "int32" else v.astype(np.int64) for k, v in tensors.items()}
    write_tensors(os.path.join(HERE, "opsets.safetensors.gz"), tensors, meta)


if __name__ == "__main__":
    main()
