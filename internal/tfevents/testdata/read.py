"""Reads a run's event file with TensorBoard's reader, and holds it against metrics.jsonl.

python read.py RUN    (with tensorboard 2.21)
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

run = pathlib.Path(sys.argv[1])
epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
events = EventAccumulator(str(run), size_guidance={"tensors": 0, "scalars": 0})
events.Reload()
tags = events.Tags()
read = {}
for tag in tags["scalars"]:
    read[tag] = [(e.step, e.value) for e in events.Scalars(tag)]
for tag in tags["tensors"]:
    read[tag] = [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
checked = 0
for name in epochs[0]:
    if name in ("epoch", "score_quantiles"):
        continue
    tag = "seconds/" + name.removesuffix("_seconds") if name.endswith("_seconds") else "epoch/" + name
    want = [(e["epoch"], e[name]) for e in epochs]
    got = read.get(tag, [])
    if len(got) != len(want) or any(g[0] != w[0] or abs(g[1] - w[1]) > 1e-6 * max(1, abs(w[1])) for g, w in zip(got, want)):
        sys.exit(f"{tag}: {got}, want {want}")
    checked += 1
print(f"{run}: TensorBoard reads {checked} scalars of {len(epochs)} epochs as metrics.jsonl has them")
