"""Writes magnitudes.json: the values of each operation of torchvision's RandAugment
and TrivialAugmentWide by strength, for an image of 40 x 90 pixels.

    python magnitudes.py
"""

import json

from torchvision.transforms import v2

out = {}
for name, policy in [("rand", v2.RandAugment()), ("trivial", v2.TrivialAugmentWide())]:
    space = policy._AUGMENTATION_SPACE
    out[name] = {}
    for op, (fn, signed) in space.items():
        values = fn(31, 40, 90)
        values = [0.0] * 31 if values is None else [float(v) for v in values]
        if op == "Solarize":
            values = [255 * v for v in values]
        out[name][op] = {"signed": signed, "values": values}
with open("magnitudes.json", "w") as f:
    json.dump(out, f)
