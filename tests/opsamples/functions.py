"""Rows of element-wise functions."""

import math

import numpy as np

from tests.opsamples import Sample, positive, real

erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def function(name, low, high, numpy=None, dtypes="fc", **options):
    shape = real((3, 4), low, high)
    return Sample(name, (shape,), numpy=numpy or getattr(np, name), torch=name, dtypes=dtypes,
                  **options)  # fmt: skip


SAMPLES = [
    function("exp", -2, 2),
    function("exp2", -2, 2),
    function("expm1", -2, 2),
    function("log", 0.5, 3),
    function("log2", 0.5, 3),
    function("log10", 0.5, 3),
    function("log1p", -0.5, 3),
    function("sqrt", 0.5, 3),
    function("rsqrt", 0.5, 3, lambda x: 1 / np.sqrt(x)),
    function("sin", -3, 3),
    function("cos", -3, 3),
    function("tan", -1, 1),
    function("asin", -0.9, 0.9, np.arcsin),
    function("acos", -0.9, 0.9, np.arccos),
    function("atan", -0.6, 0.6, np.arctan),
    function("sinh", -2, 2),
    function("cosh", -2, 2),
    function("tanh", -2, 2),
    function("asinh", -0.6, 0.6, np.arcsinh),
    function("acosh", 1.1, 3, np.arccosh),
    function("atanh", -0.6, 0.6, np.arctanh),
    function("sinc", -2, 2, dtypes="f"),
    function("deg2rad", -200, 200, dtypes="f"),
    function("rad2deg", -4, 4, dtypes="f"),
    function("erf", -3, 3, erf, dtypes="f"),
    function("erfc", -3, 3, erfc, dtypes="f"),
    Sample("erfinv", (real((3, 4), -0.9, 0.9),), torch="erfinv"),
    function("sigmoid", -4, 4, sigmoid, dtypes="f"),
    function("logit", 0.1, 0.9, lambda x: np.log(x / (1 - x)), dtypes="f"),
    # Integers become the default dtype.
    *(
        Sample(name, (real((3, 4), 1, 9),), torch=name, dtypes="iu")
        for name in ("exp", "log", "sqrt", "sin", "atan", "sinh", "erf", "sigmoid", "deg2rad")
    ),
    Sample(
        "logit",
        (real((3, 4), 0, 1),),
        {"eps": 0.2},
        torch="logit",
        numpy=lambda x, eps: np.log(np.clip(x, eps, 1 - eps) / (1 - np.clip(x, eps, 1 - eps))),
    ),
    Sample(
        "softplus", ((3, 4),), numpy=lambda x: np.log1p(np.exp(x)), torch="nn.functional.softplus"
    ),
    Sample(
        "softplus",
        ((3, 4),),
        {"beta": 2.0, "threshold": 1.0},
        numpy=lambda x, beta, threshold: np.where(
            x * beta > threshold, x, np.log1p(np.exp(beta * x)) / beta
        ),
        torch="nn.functional.softplus",
    ),
    Sample("atan2", ((3, 4), (4,)), numpy=np.arctan2, torch="atan2", dtypes="f"),
    Sample("atan2", ((3, 4), (4,)), torch="atan2", dtypes="i"),
    Sample("hypot", ((3, 4), (4,)), numpy=np.hypot, torch="hypot"),
    Sample("logaddexp", ((3, 4), (4,)), numpy=np.logaddexp, torch="logaddexp"),
    Sample("logaddexp2", ((3, 4), (4,)), numpy=np.logaddexp2, torch="logaddexp2"),
    Sample("xlogy", ((3, 4), positive((4,))), numpy=lambda x, y: x * np.log(y), torch="xlogy"),
    Sample("xlogy", (real((3, 4), 0, 3), real((4,), 1, 4)), torch="xlogy", dtypes="iu"),
    Sample("sigmoid", ((),), numpy=sigmoid, torch="sigmoid"),
    Sample("tanh", ((0, 3),), numpy=np.tanh, torch="tanh"),
    Sample("tanh", ((2, 3),), numpy=np.tanh, torch="tanh", dtypes="c"),
]
