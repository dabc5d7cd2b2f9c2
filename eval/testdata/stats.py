"""Writes stats.json: paired t-tests and McNemar's exact tests by scipy, which
eval's must agree with.

python eval/testdata/stats.py >eval/testdata/stats.json
"""
import json

import numpy as np
from scipy import stats

rng = np.random.default_rng(7)
cases = []
for n, shift, scale in [(2, 0, 1), (3, -0.5, 0.2), (5, 0.01, 0.003), (5, -2, 1e-6), (12, 0.3, 4), (40, -0.05, 0.4)]:
    a = rng.normal(90, 1, n)
    b = a + rng.normal(shift, scale, n)
    test = stats.ttest_rel(b, a)
    low, high = test.confidence_interval(0.95)
    d = b - a
    cases.append({"differences": d.tolist(), "mean": d.mean(), "std": d.std(ddof=1),
                  "low": low, "high": high, "p": test.pvalue})
exact = [{"a": a, "b": b, "p": stats.binomtest(a, a + b, 0.5).pvalue}
         for a, b in [(0, 1), (3, 3), (2, 9), (10, 4), (120, 80), (1000, 1100)]]
print(json.dumps({"scipy": __import__("scipy").__version__, "paired": cases, "mcnemar": exact}, indent=1))
