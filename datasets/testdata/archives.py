"""Writes the Parquet files of this folder with pyarrow; archives_test.go knows the
formulas. The images are no more than a signature and some bytes.

    python archives.py
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq

NAMES = ["ant", "bee", "cow"]


def image(i):
    return b"\x89PNG\r\n\x1a\n" + bytes((i * 7 + k) % 256 for k in range(40 + i))


def table(first, n, named=True):
    rows = [{"bytes": image(first + i), "path": None} for i in range(n)]
    t = pa.table({
        "image": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([(first + i) % 3 for i in range(n)], pa.int64()),
    })
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}}}
    return t.replace_schema_metadata({"huggingface": json.dumps(info)}) if named else t


# A group of no rows among them; images in the dictionary page, as pyarrow does.
with pq.ParquetWriter("train-00000-of-00001.parquet", table(0, 1).schema) as w:
    w.write_table(table(0, 5))
    w.write_table(table(0, 0))
    w.write_table(table(5, 8), row_group_size=3)
pq.write_table(table(100, 4), "validation-00000-of-00001.parquet", compression="zstd", use_dictionary=False)

plain = pa.table({"png": pa.array([image(i) for i in range(6)], pa.binary()), "class": pa.array(["x", "y", "x", "y", "x", "y"])})
pq.write_table(plain, "plain.parquet")
pq.write_table(plain.drop_columns(["class"]), "nolabel.parquet")
pq.write_table(pa.table({"image": pa.array([[image(0)], [image(1), image(2)]], pa.list_(pa.binary())), "label": pa.array([0, 1])}), "lists.parquet")
pq.write_table(pa.table({"image": pa.array([image(0), None, image(2)], pa.binary()), "label": pa.array([0, 1, 2])}), "nulls.parquet")
pq.write_table(pa.table({"image": pa.array([1, 2]), "label": pa.array([0, 1])}), "numbers.parquet")
pq.write_table(table(0, 12, named=False), "unnamed.parquet")
