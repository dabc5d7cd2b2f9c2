"""Writes the models in this folder, for the tests of reading.

    python gen.py

Needs onnx and numpy.
"""

import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
F = T.FLOAT


def vi(name, dtype=F, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, name=None, **attrs):
    return helper.make_node(op, inputs, outputs, name=name or op.lower(), **attrs)


def const(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, inputs, outputs, opset, weights=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    m = helper.make_model(graph, ir_version=8, producer_name="gen", opset_imports=[helper.make_opsetid("", opset)])
    # The checker wants shapes of outputs; those of inner values are left out.
    for have, inferred in zip(m.graph.output, onnx.shape_inference.infer_shapes(m).graph.output):
        have.CopyFrom(inferred)
    return m


def save(path, m, check=True):
    if check:
        onnx.checker.check_model(m)
    with open(os.path.join(HERE, path), "wb") as f:
        f.write(m.SerializeToString(deterministic=True))


Y = vi("y", F, None)


def types():
    """Every element type, in its list and as raw bytes; element k is k % 3 (signed: k % 3 - 1)."""
    signed = np.arange(6).reshape(2, 3) % 3 - 1
    unsigned = np.arange(6).reshape(2, 3) % 3
    weights = []
    for dtype in (T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16, T.INT8, T.INT16, T.INT32, T.INT64,
                  T.UINT8, T.UINT16, T.UINT32, T.UINT64, T.BOOL):
        name = T.DataType.Name(dtype).lower()
        values = unsigned if name.startswith("u") else signed % 2 if name == "bool" else signed
        array = values.astype(helper.tensor_dtype_to_np_dtype(dtype))
        weights.append(numpy_helper.from_array(array, name + "_raw"))
        typed = T(name=name + "_list", data_type=dtype, dims=[2, 3])
        flat = array.flatten()
        if dtype == T.FLOAT:
            typed.float_data.extend(flat.tolist())
        elif dtype == T.DOUBLE:
            typed.double_data.extend(flat.tolist())
        elif dtype == T.INT64:
            typed.int64_data.extend(flat.tolist())
        elif dtype in (T.UINT32, T.UINT64):
            typed.uint64_data.extend(flat.tolist())
        elif dtype in (T.FLOAT16, T.BFLOAT16):
            typed.int32_data.extend(flat.view(np.uint16).tolist())
        else:
            typed.int32_data.extend(int(v) for v in flat)
        weights.append(typed)
    half = np.array([0, 1, 0x3ff, 0x400, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x8001, 0xbc01], np.uint16)
    weights.append(numpy_helper.from_array(half.view(np.float16), "half_bits"))
    weights.append(numpy_helper.from_array(half.view(np.float16).astype(np.float32), "half_as_float"))
    weights.append(const("strings", np.array(["a", "bc"], dtype=object)))
    weights.append(const("scalar", np.float32(2.5)))
    weights.append(const("none", np.zeros((0, 3), np.float32)))
    return model([node("Relu", ["x"], ["y"])], [vi("x", F, ["batch", None, 3])], [Y], 18, weights)


def external():
    w = [const("w", np.arange(12, dtype=np.float32).reshape(3, 4)), const("b", np.arange(4, dtype=np.float32))]
    m = model([node("Gemm", ["x", "w", "b"], ["y"])], [vi("x", F, ["N", 3])], [Y], 18, w)
    for name in ("model.onnx", "weights.bin"):  # onnx appends to weights that are there
        path = os.path.join(HERE, "external", name)
        if os.path.exists(path):
            os.remove(path)
    onnx.save_model(m, os.path.join(HERE, "external/model.onnx"), save_as_external_data=True,
                    location="weights.bin", size_threshold=0, convert_attribute=True)


def refused():
    seq = helper.make_tensor_sequence_value_info("s", F, None)
    save("refused/sequence.onnx", model([node("SequenceAt", ["s", "i"], ["y"])], [seq], [vi("y", F, [2])], 18, [const("i", np.int64(0))]))
    sparse = helper.make_sparse_tensor(const("w", np.float32([1])), const("", np.int64([2])), [4])
    m = model([node("Add", ["x", "w"], ["y"])], [vi("x", F, [4])], [vi("y", F, [4])], 18)
    m.graph.sparse_initializer.append(sparse)
    save("refused/sparse.onnx", m)
    m = model([node("Relu", ["x"], ["y"])], [vi("x", F, [4])], [Y], 18, [const("w", np.zeros(2, np.float32))])
    m.graph.initializer[0].data_type = T.FLOAT8E5M2
    save("refused/float8.onnx", m, check=False)


if __name__ == "__main__":
    for folder in ("external", "types", "refused"):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    save("types/types.onnx", types(), check=False)
    external()
    refused()
