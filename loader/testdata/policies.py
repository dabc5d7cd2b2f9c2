"""Writes policies.json: the subpolicies of torchvision's AutoAugment, and the
values of its operations by strength, for an image of 40 x 90 pixels.

    python policies.py
"""

import json

from torchvision.transforms import v2

out = {}
for name, policy in [("imagenet", v2.AutoAugmentPolicy.IMAGENET), ("cifar10", v2.AutoAugmentPolicy.CIFAR10)]:
    auto = v2.AutoAugment(policy)
    out[name] = [[[op, p, -1 if m is None else m] for op, p, m in pair] for pair in auto._get_policies(policy)]
space = {}
for op, (fn, signed) in v2.AutoAugment()._AUGMENTATION_SPACE.items():
    values = fn(10, 40, 90)
    values = [0.0] * 10 if values is None else [float(v) for v in values]
    if op == "Solarize":
        values = [255 * v for v in values]
    space[op] = {"signed": signed, "values": values}
out["space"] = space
with open("policies.json", "w") as f:
    json.dump(out, f)
