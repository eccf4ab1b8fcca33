"""Initial values for parameters, written in place; every function returns the tensor it filled.

Weights have the shape ``(out, in, ...)``: the fan-in is the number of inputs of one output, the
fan-out the number of outputs of one input, both times the size of the kernel.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from lucid._core.tape import note_write
from lucid._core.tensor import Tensor
from lucid.ops.random import _source

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _write(tensor: Tensor, values: Any, caller: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{caller}: tensor must be a Tensor; got {type(tensor).__name__}")
    note_write(tensor)
    tensor._data[...] = values
    return tensor


def _normal(tensor: Tensor, mean: float, std: float, generator: Any, caller: str) -> Tensor:
    values = _source(generator, caller).standard_normal(tensor.shape, _drawn(tensor))
    return _write(tensor, values * std + mean, caller)


def _uniform(tensor: Tensor, low: float, high: float, generator: Any, caller: str) -> Tensor:
    values = _source(generator, caller).random(tensor.shape, _drawn(tensor))
    return _write(tensor, values * (high - low) + low, caller)


def _drawn(tensor: Tensor) -> Any:
    return np.float32 if tensor.dtype.itemsize <= 4 else np.float64


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ``[a, b)``."""
    if not a <= b:
        raise ValueError(f"uniform_: a must not be greater than b; got {a} and {b}")
    return _uniform(tensor, a, b, generator, "uniform_")


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    if not std >= 0:
        raise ValueError(f"normal_: std must not be negative; got {std}")
    return _normal(tensor, mean, std, generator, "normal_")


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, drawn again where it falls outside ``[a, b]``."""
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be less than b; got {a} and {b}")
    if not std > 0:
        raise ValueError(f"trunc_normal_: std must be positive; got {std}")
    source = _source(generator, "trunc_normal_")
    low, high = (a - mean) / std, (b - mean) / std
    values = _truncated(source, tensor.numel(), low, high) * std + mean
    return _write(tensor, np.clip(values, a, b).reshape(tensor.shape), "trunc_normal_")


def _truncated(source: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Standard normal numbers within [low, high], by rejection."""
    values = np.empty(count)
    left = np.arange(count)
    # From a uniform proposal if the interval is narrow or far out, else from the normal itself.
    narrow = high - low < 1 or low > 1 or high < -1
    peak = min(max(0.0, low), high)
    high = min(high, peak + 40)
    low = max(low, peak - 40)
    while left.size:
        if narrow:
            drawn = source.uniform(low, high, left.size)
            good = source.random(left.size) <= np.exp((peak * peak - drawn * drawn) / 2)
        else:
            drawn = source.standard_normal(left.size)
            good = (drawn >= low) & (drawn <= high)
        values[left[good]] = drawn[good]
        left = left[~good]
    return values


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    return _write(tensor, val, "constant_")


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return _write(tensor, 1, "ones_")


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return _write(tensor, 0, "zeros_")


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Raises:
        ValueError: the tensor has not two dimensions.
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: tensor must have 2 dimensions; got shape {tensor.shape}")
    return _write(tensor, np.eye(tensor.shape[0], tensor.shape[1]), "eye_")


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution kernel that passes its input on, channel by channel.

    Args:
        tensor: shape ``(out, in, ...)`` with one to three kernel dimensions.
        groups: of channels; each passes on its own.

    Raises:
        ValueError: the shape does not fit.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"dirac_: tensor must have 3, 4 or 5 dimensions; got shape {tensor.shape}")
    if groups < 1 or tensor.shape[0] % groups:
        raise ValueError(f"dirac_: groups must divide {tensor.shape[0]}; got {groups}")
    values = np.zeros(tensor.shape)
    outputs = tensor.shape[0] // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for i in range(min(outputs, tensor.shape[1])):
            values[(group * outputs + i, i, *middle)] = 1
    return _write(tensor, values, "dirac_")


def _fans(tensor: Tensor, caller: str) -> tuple[int, int]:
    """Fan-in and fan-out."""
    if tensor.ndim < 2:
        raise ValueError(f"{caller}: tensor must have at least 2 dimensions; got {tensor.shape}")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights before a nonlinearity are scaled to keep the variance.

    Args:
        nonlinearity: "linear", "conv1d" and the like, "sigmoid", "tanh", "relu", "leaky_relu" or
            "selu".
        param: the negative slope of "leaky_relu", 0.01 by default.

    Example:
        >>> lucid.nn.init.calculate_gain("relu") == 2**0.5
        True
    """
    gains = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 3 / 4}
    if nonlinearity in gains:
        return gains[nonlinearity]
    if nonlinearity == "linear" or nonlinearity in _CONVOLUTIONS:
        return 1.0
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"calculate_gain: param must be a number; got {param!r}")
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    raise ValueError(
        f"calculate_gain: nonlinearity must be 'linear', 'sigmoid', 'tanh', 'relu', 'leaky_relu', "
        f"'selu' or a convolution; got {nonlinearity!r}"
    )


_CONVOLUTIONS = {f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)}


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    r"""Uniform within :math:`\pm\text{gain}\sqrt{6 / (\text{fan\_in} + \text{fan\_out})}`.

    Source: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks".
    """
    fan_in, fan_out = _fans(tensor, "xavier_uniform_")
    bound = gain * math.sqrt(6 / (fan_in + fan_out)) if fan_in + fan_out else 0.0
    return _uniform(tensor, -bound, bound, generator, "xavier_uniform_")


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    r"""Normal with :math:`\text{gain}\sqrt{2 / (\text{fan\_in} + \text{fan\_out})}`."""
    fan_in, fan_out = _fans(tensor, "xavier_normal_")
    std = gain * math.sqrt(2 / (fan_in + fan_out)) if fan_in + fan_out else 0.0
    return _normal(tensor, 0.0, std, generator, "xavier_normal_")


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, caller: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor, caller), strict=True))
    if mode not in fans:
        raise ValueError(f"{caller}: mode must be 'fan_in' or 'fan_out'; got {mode!r}")
    gain = calculate_gain(nonlinearity, a)
    return gain / math.sqrt(fans[mode]) if fans[mode] else 0.0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    r"""Uniform within :math:`\pm\text{gain}\sqrt{3 / \text{fan}}`.

    Args:
        tensor: shape ``(out, in, ...)``.
        a: the negative slope of the leaky ReLU that follows.
        mode: which fan: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: what follows: see :func:`calculate_gain`.
        generator: where the numbers come from.

    Source: He et al. 2015, "Delving deep into rectifiers".
    """
    if 0 in tensor.shape:
        return _nothing_to_do(tensor, "kaiming_uniform_")
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return _uniform(tensor, -bound, bound, generator, "kaiming_uniform_")


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    r"""Normal with :math:`\text{gain} / \sqrt{\text{fan}}`; as :func:`kaiming_uniform_`."""
    if 0 in tensor.shape:
        return _nothing_to_do(tensor, "kaiming_normal_")
    std = _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_")
    return _normal(tensor, 0.0, std, generator, "kaiming_normal_")


def _nothing_to_do(tensor: Tensor, caller: str) -> Tensor:
    warnings.warn(f"{caller}: the tensor has no elements; nothing was done", stacklevel=3)
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Orthonormal rows or columns (whichever are fewer) of the matrix ``(out, rest)``.

    Source: Saxe, McClelland & Ganguli 2013, "Exact solutions to the nonlinear dynamics of learning
    in deep linear neural networks".
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: tensor must have at least 2 dimensions; got {tensor.shape}")
    if 0 in tensor.shape:
        return tensor
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    values = _source(generator, "orthogonal_").standard_normal(
        (max(rows, columns), min(rows, columns))
    )
    q, r = np.linalg.qr(values)
    q *= np.sign(np.diagonal(r))  # makes the distribution uniform
    q = q.T if rows < columns else q
    return _write(tensor, (gain * q).reshape(tensor.shape), "orthogonal_")


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with a share of each column set to 0.

    Args:
        tensor: a matrix.
        sparsity: the share of zeros in each column.
        std: of the other elements.
        generator: where the numbers come from.

    Source: Martens 2010, "Deep learning via Hessian-free optimization".
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: tensor must have 2 dimensions; got shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity must be in [0, 1]; got {sparsity}")
    rows, columns = tensor.shape
    source = _source(generator, "sparse_")
    values = source.standard_normal((rows, columns)) * std
    zeros = math.ceil(sparsity * rows)
    order = np.argsort(source.random((rows, columns)), axis=0)
    np.put_along_axis(values, order[:zeros], 0.0, axis=0)
    return _write(tensor, values, "sparse_")
