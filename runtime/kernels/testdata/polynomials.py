"""Prints the coefficients of elementwise_amd64.c, lowest power first, with the greatest error of each.

A polynomial is fitted by least squares on Chebyshev's nodes in forty digits, and
Lawson's iteration (Lawson, Contributions to the Theory of Linear Least Maximum
Approximation, 1961) weighs the nodes until the greatest error is least.
Needs mpmath.
"""

import mpmath as mp

mp.mp.dps = 40


def fit(name, f, lo, hi, degree, weight, nodes=121, rounds=25):
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    xs = [(lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * nodes)) for i in range(nodes)]
    ys = [f(x) for x in xs]
    scale = [mp.mpf(weight(x, y)) for x, y in zip(xs, ys)]
    share = [mp.mpf(1)] * nodes
    for _ in range(rounds):
        a, b = mp.matrix(nodes, degree + 1), mp.matrix(nodes, 1)
        for i, x in enumerate(xs):
            s = mp.sqrt(share[i]) * scale[i]
            for j in range(degree + 1):
                a[i, j] = s * x**j
            b[i] = s * ys[i]
        c = mp.lu_solve(a.T * a, a.T * b)
        errors = [abs(sum(c[j] * x**j for j in range(degree + 1)) - y) * s for x, y, s in zip(xs, ys, scale)]
        total = sum(w * e for w, e in zip(share, errors))
        share = [w * e / total * nodes for w, e in zip(share, errors)]
    print(name, ["%.8g" % v for v in c], "error %.1e" % max(errors))


half = mp.log(2) / 2 * mp.mpf("1.01")
relative = lambda x, y: 1 / abs(y)
fit("exp: (e^r - 1 - r)/r^2", lambda r: (mp.e**r - 1 - r) / r**2 if r else mp.mpf(1) / 2, -half, half, 4, lambda r, y: r**2)
fit("erf: erf(x)/x in x^2", lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z), 0, 1, 6, relative)
fit("erf: -log(erfc(x))", lambda x: -mp.log(mp.erfc(x)), 1, "4.05", 6, lambda x, y: mp.erfc(x))
fit("tanh: tanh(x)/x in x^2", lambda z: mp.tanh(mp.sqrt(z)) / mp.sqrt(z), 0, mp.mpf("0.625") ** 2, 5, relative)
