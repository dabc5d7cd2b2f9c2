#!/usr/bin/env python3
"""Record metrics of tasks as scikit-learn has them: tasks.json beside this script.

usage: tasks.py
Scores are 37 samples of 4 outputs, rounded so that some are equal; masks are 5 images of 6x7 pixels of 3 classes, 255
left out.
"""
import json, os
import numpy as np
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, jaccard_score, mean_absolute_error, r2_score, root_mean_squared_error

r = np.random.default_rng(3)
n, k = 37, 4
scores = np.round(r.normal(size=(n, k)) * 4) / 4
there = (scores + r.normal(size=(n, k)) * 1.5 > 0.3).astype(int)
quantities = np.round(r.normal(size=(n, k)), 3)
said = np.round(quantities + r.normal(size=(n, k)) * 0.4, 3)
pixels, classes = 42, 3
maps = np.round(r.normal(size=(5, classes, pixels)), 2)
truth = np.where(r.random((5, pixels)) < 0.6, maps.argmax(1), r.integers(0, classes, (5, pixels)))
truth[r.random((5, pixels)) < 0.1] = 255
on = truth.ravel() != 255
y, p = truth.ravel()[on], maps.argmax(1).ravel()[on]
out = {
    "scores": scores.ravel().tolist(), "there": there.ravel().tolist(),
    "labels": {"mAP": average_precision_score(there, scores, average="macro"), "F1 micro": f1_score(there, scores > 0, average="micro"),
               "F1 macro": f1_score(there, scores > 0, average="macro"), "exact match": accuracy_score(there, scores > 0)},
    "ap": average_precision_score(there, scores, average=None).tolist(), "f1": f1_score(there, scores > 0, average=None).tolist(),
    "targets": quantities.ravel().tolist(), "outputs": said.ravel().tolist(),
    "quantities": {"R2": r2_score(quantities, said), "MAE": mean_absolute_error(quantities, said), "RMSE": root_mean_squared_error(quantities, said)},
    "maps": maps.ravel().tolist(), "masks": truth.ravel().tolist(),
    "pixels": {"mean IoU": jaccard_score(y, p, average="macro"), "pixel accuracy": accuracy_score(y, p)},
    "iou": jaccard_score(y, p, average=None).tolist(),
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tasks.json"), "w") as f:
    json.dump(out, f)
