"""Rows of the activations and dropout; tests/nn compares their public faces with PyTorch."""

import numpy as np

import lucid
from lucid.ops import activation
from tests.opsamples import Sample

WEIGHT = np.array([0.25, -0.5, 1.5])


def kinked(shape):
    """No element within 0.1 of a place where an activation may have a kink."""

    def make(rng, dtype):
        x = rng.uniform(-4, 4, shape)
        for kink in (-3, -2, -1, -0.5, 0, 0.5, 1, 2.5, 3):
            x = np.where(np.abs(x - kink) < 0.1, kink + 0.2, x)
        return x.astype(dtype)

    return make


def functional(name):
    return lambda *args, **kwargs: getattr(lucid.nn.functional, name)(*args, **kwargs)


def slopes(x):
    """The slopes that rrelu draws for an array like x, wherever they apply."""
    return (
        activation.rrelu(lucid.full(x.shape, -1.0, dtype=lucid.float64), 0.1, 0.3, 7).numpy() * -1
    )


def kept(x, group=1):
    """1 where dropout leaves an element of an array like x, else 0."""
    ones = lucid.ones(x.shape, dtype=lucid.float64)
    return activation.dropout(ones, 0.4, 11, group).numpy()


def rrelu(g, x):
    return (g * np.where(x > 0, 1, slopes(x))).astype(g.dtype)


SAMPLES = [
    *(
        Sample(name, (shape,), kwargs, torch=f"nn.functional.{public or name}",
               call=functional(public or name))
        for name, public, kwargs in (
            ("leaky_relu", "", {"negative_slope": 0.2}),
            ("threshold", "", {"threshold": 1.0, "value": -2.0}),
            ("hardtanh", "", {"min_val": -2.0, "max_val": 2.5}), ("hardtanh", "relu6", {}),
            ("hardswish", "", {}), ("hardshrink", "", {"lambd": 1.0}),
            ("softshrink", "", {"lambd": 1.0}), ("softsign", "", {}), ("tanhshrink", "", {}),
            ("elu", "", {}), ("elu", "", {"alpha": 0.7}), ("elu", "selu", {}),
            ("silu", "", {}), ("mish", "", {}), ("gelu", "", {}),
            ("gelu", "", {"approximate": "tanh"}), ("log_sigmoid", "logsigmoid", {}),
        )
        for shape in (kinked((3, 5)), (), (0, 2))
    ),
    # PyTorch's are exact to float32 alone.
    Sample("hardsigmoid", (kinked((3, 5)),), call=activation.hardsigmoid,
           numpy=lambda x: np.clip(x / 6 + 0.5, 0, 1).astype(x.dtype)),
    Sample("elu", (kinked((3, 5)),), {"alpha": 0.7}, call=functional("celu"),
           numpy=lambda x, alpha: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7)).astype(x.dtype)),
    *(
        Sample("glu", (shape,), {"dim": dim}, torch="nn.functional.glu", call=functional("glu"))
        for shape, dim in (((4,), 0), ((3, 6), -1), ((2, 4, 3), 1), ((2, 0), 1), ((0, 2), 1))
    ),
    *(
        Sample("prelu", (kinked(shape), (weights,)), torch="nn.functional.prelu",
               call=functional("prelu"))
        for shape, weights in (((4, 3), 3), ((2, 3, 4), 3), ((2, 3, 9), 1), ((5,), 1), ((0, 3), 3))
    ),
    Sample("prelu", ((), ()), torch="nn.functional.prelu", call=functional("prelu")),
    Sample("rrelu", (kinked((3, 5)),), numpy=lambda x: rrelu(x, x),
           call=lambda x: activation.rrelu(x, 0.1, 0.3, 7)),
    Sample("rrelu_backward", ((3, 5), kinked((3, 5))), numpy=rrelu,
           call=lambda g, x: activation.rrelu_backward(g, x, 0.1, 0.3, 7)),
    Sample("dropout", ((3, 5),), numpy=lambda x: (x * kept(x) * 2).astype(x.dtype),
           call=lambda x: activation.dropout(x, 0.4, 11, 1, 2.0), dtypes="fc"),
    Sample("dropout", ((3, 5, 2),),
           numpy=lambda x: np.where(kept(x, 2), x * 2 + 0.5, -1).astype(x.dtype),
           call=lambda x: activation.dropout(x, 0.4, 11, 2, 2.0, 0.5, -1.0)),
]  # fmt: skip
