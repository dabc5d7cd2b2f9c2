"""Writes labels.json: what cleanlab and scikit-learn say of made-up labels.

python labels.py >labels.json    (with cleanlab 2.9, scikit-learn and numpy)
"""

import json

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score


def case(seed, n, classes, sharpness, missing):
    rng = np.random.default_rng(seed)
    true = rng.integers(classes, size=n)
    given = np.where(rng.random(n) < 0.25, rng.integers(classes, size=n), true)
    if missing:  # a class that no label has
        given[given == classes - 1] = 0
    logits = rng.normal(size=(n, classes)) + sharpness * np.eye(classes)[true]
    # Few digits, so that probabilities are equal now and then, and rows that sum to 1.
    p = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True) * 64) / 64
    p[np.arange(n), p.argmax(1)] += 1 - p.sum(1)
    wrong = given != true
    quality = get_label_quality_scores(given, p, method="self_confidence")
    issues = find_label_issues(given, p, filter_by="confident_learning", n_jobs=1)
    return {
        "classes": classes,
        "given": given.tolist(),
        "wrong": wrong.tolist(),
        "probabilities": p.tolist(),
        "label_quality": quality.tolist(),
        "is_label_issue": issues.tolist(),
        "roc_auc": roc_auc_score(wrong, 1 - quality),
        "average_precision": average_precision_score(wrong, 1 - quality),
        "precision": precision_score(wrong, issues),
        "recall": recall_score(wrong, issues),
    }


print(json.dumps([case(1, 120, 4, 2.0, False), case(2, 90, 3, 1.0, False), case(3, 100, 5, 1.5, True)]))
