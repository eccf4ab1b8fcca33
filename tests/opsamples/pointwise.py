"""Rows of element-wise arithmetic, rounding, limits and selection."""

import numpy as np

import lucid
from tests.opsamples import Sample, bools, distinct, positive, real

SAMPLES = [
    Sample("add", ((2, 3), (3,)), numpy=np.add, torch="add", dtypes="fiubc"),
    Sample("add", ((2, 0, 3), (3,)), numpy=np.add, torch="add"),
    Sample("add", ((), (2,)), numpy=np.add, torch="add"),
    Sample(
        "add", ((2, 3), (2, 3)), {"alpha": 2}, numpy=lambda x, y, alpha: x + alpha * y,
        torch="add", dtypes="fic",
    ),
    Sample("sub", ((2, 3), (3,)), numpy=np.subtract, torch="sub", dtypes="fiuc"),
    Sample(
        "sub", ((2, 3), (2, 3)), {"alpha": 2}, numpy=lambda x, y, alpha: x - alpha * y,
        torch="sub", dtypes="fic",
    ),
    Sample("mul", ((2, 3), (2, 1)), numpy=np.multiply, torch="mul", dtypes="fiubc"),
    Sample("div", ((2, 3), positive((3,))), numpy=np.true_divide, torch="div", dtypes="fc"),
    Sample("div", ((2, 3), real((3,), 1, 9)), torch="div", dtypes="iu"),
    Sample("div", (real((2, 3), -9, 9), real((3,), 1, 4)), {"rounding_mode": "floor"},
           torch="div", dtypes="fiu"),
    Sample("trunc_divide", (real((2, 3), -9, 9), real((3,), 1, 4)), {"rounding_mode": "trunc"},
           torch="div", dtypes="fiu", call=lucid.div),
    Sample("floor_divide", (real((2, 3), -9, 9), real((3,), 1, 4)), torch="floor_divide",
           numpy=np.floor_divide, dtypes="iu"),
    # PyTorch's floor_divide has no gradient.
    Sample("floor_divide", (real((2, 3), -9, 9), real((3,), 1, 4)), numpy=np.floor_divide),
    Sample("remainder", (real((2, 3), -9, 9), real((3,), -4, -1)), numpy=np.remainder,
           torch="remainder", dtypes="f"),
    Sample("remainder", (real((2, 3), -9, 9), real((3,), 1, 4)), numpy=np.remainder,
           torch="remainder", dtypes="iu"),
    Sample("fmod", (real((2, 3), -9, 9), real((3,), -4, -1)), numpy=np.fmod, torch="fmod"),
    Sample("fmod", (real((2, 3), -9, 9), real((3,), 1, 4)), numpy=np.fmod, torch="fmod",
           dtypes="iu"),
    Sample("pow", (positive((2, 3)), (3,)), numpy=np.power, torch="pow", dtypes="fc"),
    Sample("pow", (real((2, 3), -4, 4), real((3,), 0, 4)), numpy=np.power, torch="pow",
           dtypes="iu", grad=False),
    *(
        Sample(
            "pow", ((2, 3),), numpy=lambda x, p=p: np.power(x, p),
            torch=lambda x, p=p: x**p, call=lambda x, p=p: x**p, dtypes="fic",
        )
        for p in (0, 1, 2, 3, 4)
    ),
    *(
        Sample(
            "pow", (positive((2, 3)),), numpy=lambda x, p=p: np.power(x, p),
            torch=lambda x, p=p: x**p, call=lambda x, p=p: x**p,
        )
        for p in (-2, -1, -0.5, 0.5, 1.5)
    ),
    Sample("pow", ((2, 3),), numpy=lambda x: 2.0**x, torch=lambda x: 2.0**x,
           call=lambda x: 2.0**x, dtypes="fc"),
    Sample("neg", ((2, 3),), numpy=np.negative, torch="neg", dtypes="fiuc"),
    Sample("abs", ((2, 3),), numpy=np.abs, torch="abs", dtypes="fiuc"),
    Sample("abs", ((2, 3),), numpy=np.abs, torch="abs", dtypes="c"),
    Sample("sign", ((2, 3),), numpy=np.sign, torch="sign", dtypes="fiu"),
    Sample("sign", ((2, 3),), torch="sign", dtypes="b", grad=False),
    Sample("sign", ((2, 3),), numpy=np.sign, torch="sgn", dtypes="c"),
    Sample("square", ((2, 3),), numpy=np.square, torch="square", dtypes="fiubc"),
    Sample("reciprocal", (positive((2, 3)),), numpy=np.reciprocal, torch="reciprocal",
           dtypes="fc"),
    Sample("reciprocal", (real((2, 3), 1, 9),), torch="reciprocal", dtypes="iu"),
    Sample("addcmul", ((2, 3), (3,), (2, 1)), {"value": 2}, torch="addcmul", dtypes="fic",
           numpy=lambda x, a, b, value: x + value * a * b),
    Sample("addcdiv", ((2, 3), (3,), positive((2, 1))), {"value": 2}, torch="addcdiv",
           numpy=lambda x, a, b, value: x + value * a / b, dtypes="fc"),
    Sample("lerp", ((2, 3), (3,), (2, 1)), torch="lerp", numpy=lambda x, y, w: x + w * (y - x),
           dtypes="fc"),
    Sample("lerp", ((2, 3), (3,)), {"weight": 0.25}, torch="lerp",
           numpy=lambda x, y, weight: x + weight * (y - x)),
    *(
        Sample(name, (real((2, 3), -3, 3),), numpy=getattr(np, name), torch=name, dtypes="fiu")
        for name in ("floor", "ceil", "trunc")
    ),
    Sample("round", (real((2, 3), -30, 30),), numpy=np.round, torch="round", dtypes="fi"),
    Sample("round", (real((2, 3), -3, 3),), {"decimals": 1}, numpy=np.round, torch="round"),
    Sample("frac", (real((2, 3), -3, 3),), numpy=lambda x: x - np.trunc(x), torch="frac"),
    Sample("clamp", ((4, 5),), {"min": -0.5, "max": 0.5}, torch="clamp", dtypes="fi",
           numpy=lambda x, min, max: np.clip(x, min, max)),
    Sample("clamp", ((4, 5),), {"max": 1}, numpy=lambda x, max: np.minimum(x, max), torch="clamp",
           dtypes="fiu"),
    Sample("clamp", ((4, 5), (5,), (4, 1)), numpy=lambda x, a, b: np.minimum(np.maximum(x, a), b),
           torch="clamp", dtypes="fi"),
    Sample("clamp", ((4, 5), (4, 5)), numpy=np.maximum, torch="clamp_min", call=lucid.clamp_min),
    Sample("clamp", ((4, 5), (4, 5)), numpy=np.minimum, torch="clamp_max", call=lucid.clamp_max),
    *(
        Sample(name, ((4, 5), (5,)), numpy=getattr(np, name), torch=name, dtypes="fiub")
        for name in ("maximum", "minimum")
    ),
    *(
        Sample(name, ((4, 5), (5,)), numpy=getattr(np, name), torch=name, dtypes="fiu")
        for name in ("fmax", "fmin")
    ),
    Sample("where", (bools((2, 3)), (3,), (2, 1)), numpy=np.where, torch="where", dtypes="fiubc"),
    Sample("where", (bools((2, 3)), (2, 3)), {"y": 0}, dtypes="fi",
           numpy=lambda c, x, y: np.where(c, x, y),
           torch=lambda c, x, y: __import__("torch").where(c, x, y)),
    Sample("masked_fill", ((2, 3), bools((3,))), {"value": 2}, torch="masked_fill", dtypes="fiuc",
           numpy=lambda x, m, value: np.where(m, np.asarray(value, x.dtype), x)),
    Sample("masked_fill", ((2, 3), bools((3,)), ()), torch="masked_fill",
           numpy=lambda x, m, value: np.where(m, value, x)),
    Sample("nan_to_num", ((2, 3),), numpy=np.nan_to_num, torch="nan_to_num", dtypes="fi"),
    Sample("heaviside", (distinct((2, 3)), (3,)), numpy=np.heaviside, dtypes="f"),
    Sample("heaviside", (real((2, 3), -2, 2), (3,)), torch="heaviside", dtypes="fi", grad=False),
    Sample("copysign", ((2, 3), (3,)), numpy=np.copysign, torch="copysign"),
    Sample("conj", ((2, 3),), numpy=np.conj, torch="conj_physical", dtypes="fc"),
    Sample("conj", ((2, 3),), numpy=np.conj, torch="conj_physical", dtypes="c"),
    Sample("real", ((2, 3),), numpy=np.real, torch="real", dtypes="fc"),
    Sample("real", ((2, 3),), numpy=np.real, torch="real", dtypes="c"),
    Sample("imag", ((2, 3),), numpy=np.imag, torch="imag", dtypes="c", layouts=False),
    Sample("angle", ((2, 3),), numpy=np.angle, torch="angle", dtypes="f"),
    Sample("angle", ((2, 3),), numpy=np.angle, torch="angle", dtypes="c"),
    Sample("clone", ((2, 3),), numpy=np.copy, torch="clone", dtypes="fiubc"),
    Sample("relu", ((2, 3),), numpy=lambda x: np.maximum(x, 0), torch="relu", dtypes="fi"),
    Sample("relu_backward", ((2, 3), (2, 3)), numpy=lambda g, out: np.where(out > 0, g, 0),
           call=lambda g, out: lucid.ops.pointwise.relu_backward(g, out)),
]  # fmt: skip
