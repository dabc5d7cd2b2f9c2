"""Expected shapes and contents where the batch is computed with: sums, quotients, parts and copies of it.

    python gen_batch.py | gzip -9n > batch.json.gz

The format, and what it needs, are gen_infer.py's.
"""
import numpy as np
from gen_infer import T, case, cases, i64, node, skipped, write

cases.clear(), skipped.clear()
X = {"x": ("f", ["N", 4, 6])}
N = [node("Shape", ["x"], ["n"], start=0, end=1)]
TWICE = N + [node("Concat", ["x", "x"], ["xx"], axis=0), node("Shape", ["xx"], ["m"], start=0, end=1)]
C = {f"c{k}": i64(k) for k in range(1, 6)} | {"zero": i64(0), "m1": i64(-1), "m2": i64(-2), "m9": i64(-2**31), "end": i64(2**63 - 1), "k46": i64(4, 6), "ones": i64(1, 1)}


def content(name, *nodes):
    case("content " + name, N + list(nodes), X, C, content=True)


def shape(name, *nodes, before=N, **more):
    case(name, before + list(nodes), X, C, **more)


content("plus one", node("Add", ["n", "c1"]))
content("less one", node("Sub", ["n", "c1"]))
content("one less", node("Sub", ["c1", "n"]))
content("there and back", node("Add", ["n", "c3"], ["a"]), node("Sub", ["a", "c3"]))
content("sums of sums", node("Add", ["n", "c3"], ["a"]), node("Sub", ["n", "c1"], ["b"]), node("Add", ["a", "b"]))
content("twice a sum", node("Add", ["n", "c3"], ["a"]), node("Mul", ["a", "c2"], ["b"]), node("Sub", ["b", "n"]))
content("half of twice, up", node("Mul", ["n", "c2"], ["a"]), node("Add", ["a", "c1"], ["b"]), node("Div", ["b", "c2"]))
content("half", node("Div", ["n", "c2"]))
content("half, up", node("Add", ["n", "c1"], ["a"]), node("Div", ["a", "c2"]))
content("thirds of a sum", node("Mul", ["n", "c4"], ["a"]), node("Add", ["a", "c5"], ["b"]), node("Div", ["b", "c3"]))
content("the same quotient twice", node("Div", ["n", "c3"], ["a"]), node("Mul", ["a", "c2"], ["b"]), node("Sub", ["b", "a"]))
content("compared with more", node("Add", ["n", "c1"], ["a"]), node("Less", ["n", "a"]))
content("compared with less", node("Sub", ["n", "c1"], ["a"]), node("Less", ["n", "a"]))
content("largest", node("Add", ["n", "c1"], ["a"]), node("Max", ["n", "a"]))
content("least", node("Sub", ["n", "c1"], ["a"]), node("Min", ["n", "a"]))
content("from floats", node("Mul", ["n", "c4"], ["a"]), node("Cast", ["a"], ["b"], to=T.FLOAT), node("Cast", ["c4"], ["d"], to=T.FLOAT), node("Div", ["b", "d"], ["e"]), node("Cast", ["e"], to=T.INT64))
for name, start, end in [("but the first", "c1", "end"), ("but the last", "zero", "m1"), ("the first", "zero", "c1"), ("the last", "m1", "end"),
                         ("none", "end", "end"), ("all from far back", "m9", "end"), ("to the batch", "zero", "n")]:
    shape("slice, " + name, node("Slice", ["x", start, end, "zero"]))
shape("slice of unsure length", node("Slice", ["x", "c2", "end", "zero"]), unknown=True)
shape("slice of twice, first half", node("Slice", ["xx", "zero", "n", "zero"]), before=TWICE)
shape("slice of twice, second half", node("Slice", ["xx", "n", "end", "zero"]), before=TWICE)
shape("slice of twice, to its end", node("Slice", ["xx", "n", "m", "zero"]), before=TWICE)
shape("chunks of twice", node("Add", ["m", "c1"], ["a"]), node("Div", ["a", "c2"], ["b"]), node("Mul", ["b", "c2"], ["d"]), node("Slice", ["xx", "b", "d", "zero"]), before=TWICE)
shape("rolled", node("Slice", ["x", "c1", "end", "zero"], ["a"]), node("Slice", ["x", "zero", "c1", "zero"], ["b"]), node("Concat", ["a", "b"], axis=0))
shape("joined", node("Concat", ["x", "x", "x"], axis=0))
shape("joined with one", node("Slice", ["x", "zero", "c1", "zero"], ["b"]), node("Concat", ["x", "b"], axis=0))
shape("split by the batch", node("Concat", ["n", "n"], ["s"], axis=0), node("Split", ["xx", "s"], ["a", "b"], axis=0), before=TWICE)
shape("split of one", node("Sub", ["m", "c1"], ["r"]), node("Concat", ["c1", "r"], ["s"], axis=0), node("Split", ["xx", "s"], ["a", "b"], axis=0), before=TWICE)
shape("split in two", node("Split", ["xx"], ["a", "b"], axis=0, num_outputs=2), before=TWICE)
shape("tiled by the batch", node("Slice", ["x", "zero", "c1", "zero"], ["a"]), node("Concat", ["n", "ones"], ["t"], axis=0), node("Tile", ["a", "t"]))
shape("tiled by twice the batch", node("Slice", ["x", "zero", "c1", "zero"], ["a"]), node("Concat", ["m", "ones"], ["t"], axis=0), node("Tile", ["a", "t"]), before=TWICE)
shape("tiled inside", node("Slice", ["x", "zero", "c1", "zero"], ["a"]), node("Concat", ["c1", "n", "c1"], ["t"], axis=0), node("Tile", ["a", "t"]))
shape("expanded inside", node("Concat", ["c5", "n", "k46"], ["t"], axis=0), node("Unsqueeze", ["x", "zero"], ["a"]), node("Expand", ["a", "t"]))
shape("padded", node("Pad", ["x", "p", "", "zero"]), before=N + [node("Concat", ["n", "c1"], ["p"], axis=0)])
shape("reshaped to a multiple", node("Mul", ["n", "c4"], ["a"]), node("Concat", ["a", "m1"], ["t"], axis=0), node("Reshape", ["x", "t"]))
shape("reshaped to both", node("Concat", ["c2", "n", "k46"], ["t"], axis=0), node("Reshape", ["xx", "t"]), before=TWICE)
shape("reshaped to the rest", node("Div", ["m", "n"], ["q"]), node("Concat", ["m1", "n", "k46"], ["t"], axis=0), node("Reshape", ["xx", "t"]), before=TWICE)
shape("reshaped to half", node("Div", ["m", "c2"], ["q"]), node("Concat", ["c2", "q", "k46"], ["t"], axis=0), node("Reshape", ["xx", "t"]), before=TWICE)
shape("zeros beyond the batch", node("Add", ["n", "c2"], ["a"]), node("Concat", ["a", "c4"], ["t"], axis=0), node("ConstantOfShape", ["t"]))

if __name__ == "__main__":
    write()
