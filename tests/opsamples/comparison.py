"""Rows of comparisons, logic, bits and tests of numbers."""

import numpy as np

from tests.opsamples import Sample, real

ORDER = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
         "gt": np.greater, "ge": np.greater_equal}  # fmt: skip
coarse = real((4, 5), -2, 2)
shifts = real((5,), 0, 4)


def row(name, inputs, numpy, dtypes):
    return Sample(name, inputs, numpy=numpy, torch=name, dtypes=dtypes, grad=False)


SAMPLES = [
    *(row(name, (coarse, real((5,), -2, 2)), f, "iub") for name, f in ORDER.items()),
    *(row(name, ((4, 5), (5,)), f, "f") for name, f in ORDER.items()),
    *(row(name, ((4, 5), (5,)), ORDER[name], "c") for name in ("eq", "ne")),
    *(
        row(f"logical_{name}", (coarse, real((5,), -2, 2)), getattr(np, f"logical_{name}"), "fiub")
        for name in ("and", "or", "xor")
    ),
    row("logical_not", (coarse,), np.logical_not, "fiub"),
    *(
        row(f"bitwise_{name}", (coarse, real((5,), -9, 9)), getattr(np, f"bitwise_{name}"), "iub")
        for name in ("and", "or", "xor")
    ),
    row("bitwise_not", (coarse,), np.invert, "iub"),
    row("bitwise_left_shift", (coarse, shifts), np.left_shift, "iu"),
    row("bitwise_right_shift", (real((4, 5), -99, 99), shifts), np.right_shift, "iu"),
    *(row(name, (coarse,), getattr(np, name), "fiubc") for name in ("isnan", "isinf", "isfinite")),
    *(row(name, (coarse,), getattr(np, name), "fiu") for name in ("isposinf", "isneginf")),
    row("isreal", (coarse,), np.isreal, "fic"),
    row("isclose", ((4, 5), (5,)), np.isclose, "f"),
    Sample("isclose", (real((4, 5), 0, 3), real((5,), 0, 3)), {"rtol": 0.5, "atol": 0.5},
           numpy=np.isclose, torch="isclose", dtypes="fi", grad=False),
]  # fmt: skip
