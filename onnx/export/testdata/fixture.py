"""Write named NumPy arrays as a safetensors file, gzipped if its name ends in .gz, the same bytes for the same content."""
import gzip, json, struct
import numpy as np

CODES = {"float64": "F64", "float32": "F32", "int64": "I64", "uint8": "U8"}


def write_gzip(path, data):
    with open(path, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(data)


def write_tensors(path, tensors, meta):
    """8 bytes of header length, the JSON header, then the arrays, widest elements first."""
    header, blocks, at = {"__metadata__": {k: str(v) for k, v in meta.items()}}, [], 0
    arrays = {k: np.asarray(v, order="C") for k, v in tensors.items()}
    for name in sorted(arrays, key=lambda k: (-arrays[k].itemsize, k)):
        a = arrays[name]
        data = a.astype(a.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": CODES[a.dtype.name], "shape": list(a.shape), "data_offsets": [at, at + len(data)]}
        blocks.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    blocks.insert(0, struct.pack("<Q", len(text)) + text)
    if path.endswith(".gz"):
        return write_gzip(path, b"".join(blocks))
    with open(path, "wb") as f:
        f.writelines(blocks)
