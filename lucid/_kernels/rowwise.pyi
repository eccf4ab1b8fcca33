"""Row-wise kernels; see the head of rowwise.pyx for what runs where."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Statistic = NDArray[np.float64]
Axis = int | tuple[int, ...] | None
Reduction = Literal["none", "mean", "sum"]

def sum(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes; accumulated in float64."""

def mean(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes."""

def amax(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest value over axes; NaN where there is one."""

def amin(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest value over axes; NaN where there is one."""

def argmax(x: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the first largest value, or of the first NaN (int64)."""

def argmin(x: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Array:
    """Index of the first smallest value, or of the first NaN (int64)."""

def var_mean(
    x: ArrayLike, axis: Axis = None, keepdims: bool = False, correction: float = 1.0
) -> tuple[Array, Array]:
    """Variance, with count - correction degrees of freedom, and mean."""

def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """e^x / sum(e^x) over an axis."""

def log_softmax(x: ArrayLike, axis: int = -1) -> Array:
    """x - log(sum(e^x)) over an axis."""

def softmax_backward(g: ArrayLike, out: ArrayLike, axis: int = -1) -> Array:
    """out (g - sum(g out))"""

def log_softmax_backward(g: ArrayLike, out: ArrayLike, axis: int = -1) -> Array:
    """g - e^out sum(g)"""

def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> tuple[Array, Array, float]:
    """Loss of logits (N, C, ...) or (C,) against a class for each position (N, ...).

    Returns the loss and, for `cross_entropy_backward`, two statistics of each position and the sum
    of the weights of the targets that are not ignored. IndexError: a target is out of range.
    """

def cross_entropy_backward(
    g: ArrayLike,
    logits: ArrayLike,
    target: ArrayLike,
    kept: Array,
    total_weight: float,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Array:
    """Gradient with respect to the logits; `g` has the shape of the loss."""

def nll_loss(
    logs: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> tuple[Array, float]:
    """Loss of log-probabilities, shaped as in `cross_entropy`; also the sum of the weights."""

def nll_loss_backward(
    g: ArrayLike,
    shape: tuple[int, ...],
    target: ArrayLike,
    total_weight: float,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Array:
    """Gradient with respect to log-probabilities of that shape, in the dtype of `g`."""

def layer_norm(
    x: ArrayLike, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Statistic, Statistic]:
    """(x - mean) / sqrt(var + eps) weight + bias over the last axis; also mean and var per row."""

def layer_norm_backward(
    g: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike,
    weight: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to x, weight and bias."""

def group_norm(
    x: ArrayLike,
    groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Statistic, Statistic]:
    """The same over `groups` groups of channels of each sample of x (N, C, ...).

    Weight and bias are one per channel; mean and var one per sample and group.
    """

def group_norm_backward(
    g: ArrayLike,
    x: ArrayLike,
    groups: int,
    mean: ArrayLike,
    var: ArrayLike,
    weight: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to x, weight and bias."""

def batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    mean: ArrayLike | None = None,
    var: ArrayLike | None = None,
) -> tuple[Array, Statistic, Statistic]:
    """The same for each channel of x (N, C, ...) over all samples.

    Without `mean` and `var`, they are those of the channels of x.
    """

def batch_norm_backward(
    g: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike,
    weight: ArrayLike | None,
    eps: float,
    own: bool,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to x, weight and bias; `own`: the statistics are those of x."""

def rms_norm(
    x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6
) -> tuple[Array, Statistic]:
    """x / sqrt(square + eps) weight, square = mean(x^2), over the last axis; also square."""

def rms_norm_backward(
    g: ArrayLike,
    x: ArrayLike,
    square: ArrayLike,
    weight: ArrayLike | None = None,
    eps: float = 1e-6,
) -> tuple[Array, Array]:
    """Gradients with respect to x and weight."""

def prelu_backward(g: ArrayLike, x: Array, weight: ArrayLike) -> tuple[Array, Array]:
    """The gradients of x and of the weights, one or one for each channel of (N, C, ...)."""
