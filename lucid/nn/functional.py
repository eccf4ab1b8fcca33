"""Neural-network functions without state: activations, losses, normalisation, similarities.

Names, argument order and defaults are PyTorch's. Losses take ``reduction``: "mean", "sum" or
"none"; PyTorch's long-deprecated ``size_average`` and ``reduce`` are accepted in their places and
must be None.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from lucid._core.op import TENSORS as T
from lucid._core.tape import note_write, wrap
from lucid._core.tensor import Tensor
from lucid.errors import ShapeError
from lucid.nn import (
    functional_activation,
    functional_conv,
    functional_pool,
    functional_resample,
)
from lucid.nn.functional_activation import *
from lucid.nn.functional_conv import *
from lucid.nn.functional_pool import *
from lucid.nn.functional_resample import *
from lucid.ops import embedding as embedding_ops
from lucid.ops import neural
from lucid.ops._checks import check_floating
from lucid.ops.activation import log_sigmoid
from lucid.ops.attention import scaled_dot_product_attention
from lucid.ops.creation import one_hot
from lucid.ops.join import pad
from lucid.ops.matrix import linear
from lucid.ops.neural import local_response_norm, log_softmax
from lucid.ops.pointwise import clamp_min
from lucid.ops.shape import tensor_of

__all__ = [
    *functional_activation.__all__,
    *functional_conv.__all__,
    *functional_pool.__all__,
    *functional_resample.__all__,
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "embedding",
    "embedding_bag",
    "gaussian_nll_loss",
    "group_norm",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "linear",
    "local_response_norm",
    "log_softmax",
    "margin_ranking_loss",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "poisson_nll_loss",
    "rms_norm",
    "scaled_dot_product_attention",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]


# -------------------------------------------------------------------- linear maps


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Bilinear map :math:`y_k = x_1^\top W_k x_2 + b_k`.

    Shapes: ``(..., in1)``, ``(..., in2)``, ``(out, in1, in2)``, ``(out,) -> (..., out)``.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    if weight.ndim != 3 or weight.shape[1:] != (input1.shape[-1], input2.shape[-1]):
        raise ShapeError(
            f"bilinear: weight must have shape (out, {input1.shape[-1]}, {input2.shape[-1]}), "
            f"the inputs' last dimensions; got {weight.shape}"
        )
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear: the inputs must agree in all but the last dimension; "
            f"got {input1.shape} and {input2.shape}"
        )
    count, size1, size2 = weight.shape
    # (..., in1) @ (in1, out * in2), then a weighted sum over in2.
    flat = T.reshape(T.permute(weight, (1, 0, 2)), (size1, count * size2))
    half = T.reshape(T.matmul(input1, flat), (*input1.shape[:-1], count, size2))
    column = T.reshape(input2, (*input2.shape, 1))
    out = T.reshape(T.matmul(half, column), (*input1.shape[:-1], count))
    return out if bias is None else T.add(out, bias)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` at the indices ``input``.

    Shapes: ``input (...)``, ``weight (entries, size) -> (..., size)``.

    Args:
        input: integers.
        weight: a row for each entry.
        padding_idx: an entry whose row gets no gradient; may be negative.
        max_norm: first scale the rows used, in place, down to this norm.
        norm_type: the order of that norm.
        scale_grad_by_freq: divide each row's gradient by how often the entry occurs.
        sparse: not available.

    Raises:
        TypeError: ``input`` is not of an integer dtype.
        IndexError: there is no such row.
    """
    _check_table(input, weight, sparse, "embedding")
    rows, index = weight.shape[0], input._data
    padding_idx = padding_row(padding_idx, rows, "embedding")
    index = index.astype(np.int64)  # a copy: the gradient needs the indices of now
    if max_norm is not None or scale_grad_by_freq:
        embedding_ops.check_rows(index, rows, "embedding")
    if max_norm is not None:
        _limit_rows(weight, index, max_norm, norm_type)
    share = _share(index, weight) if scale_grad_by_freq else None
    return embedding_ops.embedding(weight, index, padding_idx, share)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of ``weight``, the rows themselves never stored.

    Shapes: ``input (bags, n)``, or ``input (k,)`` with ``offsets (bags,)``;
    ``weight (entries, size) -> (bags, size)``.

    A bag without rows gives zeros. Of several largest elements the first gets the gradient of a
    maximum; a NaN counts as the largest.

    Args:
        input: integers: the entries of each bag in a row, or those of all bags one after another.
        weight: a row for each entry.
        offsets: where in a 1-d ``input`` each bag starts; the first one at 0.
        max_norm: first scale the rows used, in place, down to this norm.
        norm_type: the order of that norm.
        scale_grad_by_freq: divide each row's gradient by how often the entry occurs; not for "max".
        mode: "sum", "mean" or "max".
        sparse: not available.
        per_sample_weights: of the shape of ``input``, a factor for each row; only for "sum".
        include_last_offset: ``offsets`` has one more element, where the last bag ends.
        padding_idx: an entry whose row counts for nothing and gets no gradient; may be negative.

    Raises:
        TypeError: ``input`` or ``offsets`` is not of an integer dtype, ``weight`` is not floating
            point, or ``per_sample_weights`` is not of its dtype.
        ShapeError: the shapes do not fit together.
        ValueError: ``offsets`` does not start with 0, decreases or exceeds the length of ``input``.
        IndexError: there is no such row.

    Example:
        >>> weight = lucid.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> entries, offsets = lucid.tensor([0, 2, 1]), lucid.tensor([0, 2])
        >>> lucid.nn.functional.embedding_bag(entries, weight, offsets)
        tensor([[3., 4.],
                [3., 4.]])
    """
    _check_table(input, weight, sparse, "embedding_bag")
    _check_bag_options(input, weight, mode, scale_grad_by_freq, per_sample_weights)
    padding_idx = padding_row(padding_idx, weight.shape[0], "embedding_bag")
    padding = -1 if padding_idx is None else padding_idx
    bounds = _bounds(input, offsets, include_last_offset)
    index = input._data.astype(np.int64).reshape(-1)  # a copy: the gradient needs those of now
    if max_norm is not None or scale_grad_by_freq:
        embedding_ops.check_bags(index, bounds, weight.shape[0])
    if max_norm is not None:
        _limit_rows(weight, index, max_norm, norm_type)
    if mode == "max":
        return embedding_ops.embedding_bag_maxima(weight, index, bounds, padding)
    share = _share(index, weight) if scale_grad_by_freq else None
    if per_sample_weights is not None and per_sample_weights.ndim == 2:
        per_sample_weights = T.reshape(per_sample_weights, (-1,))
    return embedding_ops.embedding_bag(
        weight, per_sample_weights, index, bounds, mode == "mean", padding, share
    )


def _check_table(input: Tensor, weight: Tensor, sparse: bool, caller: str) -> None:
    if sparse:
        raise NotImplementedError(f"{caller}: sparse gradients are not available; use sparse=False")
    if input.dtype.kind not in "iu":
        raise TypeError(f"{caller}: input must be of an integer dtype; got {input.dtype}")
    if weight.ndim != 2:
        raise ShapeError(f"{caller}: weight must have 2 dimensions; got shape {weight.shape}")


def check_bag_mode(mode: str, scale_grad_by_freq: bool, caller: str) -> None:
    """Whether there is such a mode of bags, and the frequencies have a meaning in it."""
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{caller}: mode must be 'sum', 'mean' or 'max'; got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(f"{caller}: scale_grad_by_freq must be False for mode 'max'")


def _check_bag_options(
    input: Tensor, weight: Tensor, mode: str, scale_grad_by_freq: bool, factor: Tensor | None
) -> None:
    check_floating(weight, "embedding_bag", "weight")
    check_bag_mode(mode, scale_grad_by_freq, "embedding_bag")
    if factor is None:
        return
    if mode != "sum":
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights must be None for any mode but 'sum'; got {mode!r}"
        )
    if factor.shape != input.shape:
        raise ShapeError(
            f"embedding_bag: per_sample_weights must have the shape {input.shape} of the input; "
            f"got {factor.shape}"
        )
    if factor.dtype != weight.dtype:
        raise TypeError(
            f"embedding_bag: per_sample_weights must be of the dtype {weight.dtype} of weight; "
            f"got {factor.dtype}"
        )


def _bounds(input: Tensor, offsets: Tensor | None, include_last_offset: bool) -> np.ndarray:
    """Where each bag starts, and where the last one ends."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: offsets must be None for an input of 2 dimensions")
        bags, size = input.shape
        return np.arange(bags + 1) * size
    if input.ndim != 1:
        raise ShapeError(
            f"embedding_bag: input must have 1 or 2 dimensions; got shape {input.shape}"
        )
    if offsets is None:
        raise ValueError("embedding_bag: offsets must be given for an input of 1 dimension")
    starts = offsets._data
    if starts.dtype.kind not in "iu":
        raise TypeError(f"embedding_bag: offsets must be of an integer dtype; got {starts.dtype}")
    if starts.ndim != 1 or include_last_offset and not starts.size:
        least = " and an element with include_last_offset" if include_last_offset else ""
        raise ShapeError(
            f"embedding_bag: offsets must have 1 dimension{least}; got shape {starts.shape}"
        )
    if include_last_offset:
        return starts.astype(np.int64)
    bounds = np.zeros(starts.size + 1, np.int64)
    bounds[:-1] = starts
    bounds[-1] = input.shape[0] if starts.size else 0
    return bounds


def padding_row(padding_idx: int | None, rows: int, caller: str) -> int | None:
    """``padding_idx``, from 0 on."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(
            f"{caller}: padding_idx must be in [{-rows}, {rows - 1}]; got {padding_idx}"
        )
    return padding_idx % rows


def _share(index: np.ndarray, weight: Tensor) -> np.ndarray:
    """What scale_grad_by_freq multiplies gradients by: 1 / how often each index occurs."""
    return np.asarray((1 / np.bincount(index.reshape(-1))[index]).astype(weight.dtype))


def _limit_rows(weight: Tensor, index: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scales the rows of ``weight`` used, in place, down to a norm of ``max_norm``."""
    used = np.unique(index)
    rows = weight._data[used]
    norms = np.linalg.norm(rows.astype(np.float64), norm_type, axis=1)
    large = norms > max_norm
    if large.any():
        note_write(weight)
        factor = max_norm / (norms[large] + 1e-7)
        weight._data[used[large]] = rows[large] * factor[:, None].astype(rows.dtype)


# -------------------------------------------------------------------- normalisation


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalises the last dimensions to mean 0 and variance 1, then scales and shifts.

    :math:`y = (x - \mathrm{E}[x]) / \sqrt{\mathrm{Var}[x] + \epsilon} \cdot w + b`

    Args:
        input: shape ``(..., *normalized_shape)``.
        normalized_shape: the sizes of the dimensions to normalise.
        weight, bias: of shape ``normalized_shape``, or None.
        eps: added to the variance.

    Raises:
        ShapeError: the shapes do not fit together.

    Source: Ba, Kiros & Hinton 2016, "Layer normalization".
    """
    rows, weight, bias = _as_rows(input, normalized_shape, weight, bias, "layer_norm")
    out = neural.layer_norm_rows(rows, weight, bias, eps)
    return out if rows is input else T.reshape(out, input.shape)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    r"""Divides by the root mean square of the last dimensions, then scales.

    :math:`y = x / \sqrt{\mathrm{E}[x^2] + \epsilon} \cdot w`

    Args:
        input: shape ``(..., *normalized_shape)``.
        normalized_shape: the sizes of the dimensions to normalise.
        weight: of shape ``normalized_shape``, or None.
        eps: added to the mean square; by default the dtype's machine epsilon.

    Source: Zhang & Sennrich 2019, "Root mean square layer normalization".
    """
    rows, weight, _ = _as_rows(input, normalized_shape, weight, None, "rms_norm")
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    out = neural.rms_norm_rows(rows, weight, eps)
    return out if rows is input else T.reshape(out, input.shape)


def _as_rows(
    x: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None, caller: str
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The dimensions to normalise made into one."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{caller}: input must have a shape that ends in normalized_shape {shape}; "
            f"got {x.shape}"
        )
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != shape:
            raise ShapeError(f"{caller}: {name} must have shape {shape}; got {value.shape}")
    check_floating(x, caller, "input")
    if len(shape) == 1:
        return x, weight, bias
    return (
        T.reshape(x, (*x.shape[: -len(shape)], math.prod(shape))),
        None if weight is None else T.reshape(weight, (-1,)),
        None if bias is None else T.reshape(bias, (-1,)),
    )


def _check_channels(x: Tensor, caller: str, **values: Tensor | None) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{caller}: input must have shape (N, C, ...); got {x.shape}")
    for name, value in (("input", x), *values.items()):
        if value is not None:
            check_floating(value, caller, name)
    for name, value in values.items():
        if value is not None and value.shape != (x.shape[1],):
            raise ShapeError(
                f"{caller}: {name} must have shape ({x.shape[1]},), one value per channel of the "
                f"input {x.shape}; got {value.shape}"
            )


def _update_running(running: Tensor | None, value: np.ndarray, momentum: float) -> None:
    if running is not None:
        note_write(running)
        running._data *= 1 - momentum
        running._data += momentum * value.astype(running.dtype)


def _with_running_statistics(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    now = mean._data.astype(np.float64), var._data.astype(np.float64)  # copies: those will move
    return neural.batch_norm_channels(x, weight, bias, eps, *now)[0]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Mean 0 and variance 1 in each channel, over the batch and all positions.

    Args:
        input: ``(N, C, ...)``.
        running_mean, running_var: what normalises in evaluation; moved by ``momentum`` towards the
            batch's (unbiased) statistics in training.
        weight, bias: a scale and a shift for each channel, or None.
        training: normalise by the batch's own statistics.
        momentum: how far the running statistics move.
        eps: added to the variance.

    Raises:
        ValueError: in training, there is only one value per channel; or running statistics are
            needed and not given.

    Source: Ioffe & Szegedy 2015, "Batch normalization: accelerating deep network training by
    reducing internal covariate shift".
    """
    caller = "batch_norm"
    _check_channels(
        input, caller, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(f"{caller}: running_mean and running_var are needed in evaluation")
        return _with_running_statistics(input, running_mean, running_var, weight, bias, eps)
    count = input.numel() // max(input.shape[1], 1)
    if count == 1:
        raise ValueError(
            f"{caller}: training needs more than one value per channel; got input {input.shape}"
        )
    out, mean, var = neural.batch_norm_channels(input, weight, bias, eps)
    if count:
        _update_running(running_mean, mean, momentum)
        _update_running(running_var, var * (count / (count - 1)), momentum)
    return out


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 in each sample's groups of channels, over all positions.

    Args:
        input: ``(N, C, ...)``.
        num_groups: divides C.
        weight, bias: a scale and a shift for each channel, or None.
        eps: added to the variance.

    Source: Wu & He 2018, "Group normalization".
    """
    _check_channels(input, "group_norm", weight=weight, bias=bias)
    if num_groups < 1 or input.shape[1] % num_groups:
        raise ValueError(
            f"group_norm: num_groups must divide the {input.shape[1]} channels; got {num_groups}"
        )
    return neural.group_norm_channels(input, num_groups, weight, bias, eps)[0]


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 in each channel of each sample, over all positions.

    Args:
        input: ``(N, C, L, ...)``.
        running_mean, running_var, weight, bias, momentum, eps: as for :func:`batch_norm`.
        use_input_stats: normalise by the sample's own statistics, not by the running ones.

    Source: Ulyanov, Vedaldi & Lempitsky 2016, "Instance normalization: the missing ingredient for
    fast stylization".
    """
    caller = "instance_norm"
    _check_channels(
        input, caller, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                f"{caller}: running_mean and running_var are needed without use_input_stats"
            )
        return _with_running_statistics(input, running_mean, running_var, weight, bias, eps)
    count = math.prod(input.shape[2:])
    if count == 1:
        raise ValueError(
            f"{caller}: needs more than one value per channel and sample; got input {input.shape}"
        )
    out, mean, var = neural.group_norm_channels(input, max(input.shape[1], 1), weight, bias, eps)
    if input.numel() and (running_mean is not None or running_var is not None):
        by_sample = input.shape[:2]
        _update_running(running_mean, mean.reshape(by_sample).mean(0), momentum)
        unbiased = var.reshape(by_sample).mean(0) * (count / (count - 1))
        _update_running(running_var, unbiased, momentum)
    return out


# -------------------------------------------------------------------- similarities


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Divides by the p-norm along ``dim``, or by ``eps`` where that is larger."""
    return T.div(input, clamp_min(T.norm(input, p, dim, True, None), eps))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    r"""Cosine of the angle between vectors along ``dim``.

    :math:`x_1 \cdot x_2 / (\max(\lVert x_1 \rVert, \epsilon) \max(\lVert x_2 \rVert, \epsilon))`
    """
    a = T.div(x1, clamp_min(T.norm(x1, 2.0, dim, True, None), eps))
    b = T.div(x2, clamp_min(T.norm(x2, 2.0, dim, True, None), eps))
    return T.sum(T.mul(a, b), dim, False, None)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    r"""Distance :math:`\lVert x_1 - x_2 + \epsilon \rVert_p` along the last dimension."""
    return T.norm(T.add(T.sub(x1, x2), eps), p, -1, keepdim, None)


# -------------------------------------------------------------------- losses


def _reduced(loss: Tensor, reduction: str, caller: str) -> Tensor:
    if reduction == "mean":
        return T.mean(loss, None, False, None)
    if reduction == "sum":
        return T.sum(loss, None, False, None)
    if reduction == "none":
        return loss
    raise ValueError(f"{caller}: reduction must be 'none', 'mean' or 'sum'; got {reduction!r}")


def _pair(input: Tensor, target: Tensor, caller: str) -> None:
    if input.shape != target.shape:
        warnings.warn(
            f"{caller}: the target's shape {target.shape} differs from the input's {input.shape}; "
            "they are broadcast, which is rarely what is meant",
            stacklevel=3,
        )


def _check_deprecated(size_average: Any, reduce: Any, caller: str) -> None:
    if size_average is not None or reduce is not None:
        raise TypeError(f"{caller}: size_average and reduce are not supported; use reduction=")


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str, caller: str) -> Tensor:
    """Reduces a loss whose elements have weights; the mean is a weighted one."""
    if weight is None:
        return _reduced(loss, reduction, caller)
    total = T.mul(loss, weight)
    if reduction == "mean":
        return T.div(T.sum(total, None, False, None), T.sum(weight, None, False, None))
    return _reduced(total, reduction, caller)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    r"""Squared error :math:`(x - y)^2`; with ``weight`` a weighted one."""
    _check_deprecated(size_average, reduce, "mse_loss")
    _pair(input, target, "mse_loss")
    return _weighted(T.square(T.sub(input, target)), weight, reduction, "mse_loss")


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    r"""Absolute error :math:`|x - y|`; with ``weight`` a weighted one."""
    _check_deprecated(size_average, reduce, "l1_loss")
    _pair(input, target, "l1_loss")
    return _weighted(T.abs(T.sub(input, target)), weight, reduction, "l1_loss")


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    r""":math:`(x - y)^2 / 2\beta` where :math:`|x - y| < \beta`, else :math:`|x - y| - \beta/2`."""
    _check_deprecated(size_average, reduce, "smooth_l1_loss")
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative; got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    _pair(input, target, "smooth_l1_loss")
    loss = neural.huber(T.sub(input, target), beta, 1 / beta)
    return _reduced(loss, reduction, "smooth_l1_loss")


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    r"""Squared error near 0, absolute error beyond ``delta``.

    :math:`(x - y)^2 / 2` where :math:`|x - y| < \delta`, else :math:`\delta (|x - y| - \delta/2)`.

    Source: Huber 1964, "Robust estimation of a location parameter".
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive; got {delta}")
    _pair(input, target, "huber_loss")
    loss = neural.huber(T.sub(input, target), delta, 1.0)
    # PyTorch's mean is not a weighted one here.
    return _reduced(loss if weight is None else T.mul(loss, weight), reduction, "huber_loss")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Cross-entropy between logits and target classes: :math:`-w_t \log \mathrm{softmax}(x)_t`.

    Args:
        input: logits ``(N, C)``, ``(N, C, d1, ...)`` or, for one sample, ``(C,)``.
        target: class indices ``(N,)``, ``(N, d1, ...)`` or 0-d; or probabilities in the shape of
            ``input``.
        weight: a factor for each class, shape ``(C,)``.
        ignore_index: a target that counts for nothing (class indices only).
        reduction: "mean" (over the weights of the targets that count), "sum" or "none".
        label_smoothing: in [0, 1]; how much of the probability is spread over all classes.

    Raises:
        ShapeError: the shapes do not fit together.
        IndexError: a target is no class.
        ValueError: ``label_smoothing`` or ``reduction`` is out of range.

    Example:
        >>> x = lucid.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> loss = lucid.nn.functional.cross_entropy(x, lucid.tensor([0, 0]))
        >>> round(loss.item(), 4)
        1.1269
    """
    if size_average is not None or reduce is not None:
        _check_deprecated(size_average, reduce, "cross_entropy")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1]; got {label_smoothing}")
    try:
        if target._data.dtype.kind == "f":
            return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
        return neural.cross_entropy_loss(
            input, target, weight, ignore_index, label_smoothing, reduction
        )
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise _named(error, "cross_entropy", input, target) from None


def _named(error: Exception, caller: str, input: Any, target: Any) -> Exception:
    """An error of a kernel, which does not know for whom it works, with the name of that."""
    if isinstance(error, AttributeError):  # what has no array is no tensor
        tensor_of(input, caller, "input")
        tensor_of(target, caller, "target")
        return error
    named = str(error).startswith(f"{caller}:")
    return error if named else type(error)(f"{caller}: {error}")


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Cross-entropy with probabilities for targets."""
    if input.shape != target.shape:
        raise ShapeError(
            f"cross_entropy: target must have the input's shape {input.shape} where it holds "
            f"probabilities, or be of an integer dtype; got {target.shape} of {target.dtype}"
        )
    dim = min(1, input.ndim - 1)
    classes = input.shape[dim]
    if label_smoothing:
        target = T.add(T.mul(target, 1 - label_smoothing), label_smoothing / classes)
    loss = T.mul(log_softmax(input, dim, None), target)
    if weight is not None:
        if weight.shape != (classes,):
            raise ShapeError(
                f"cross_entropy: weight must have shape ({classes},); got {weight.shape}"
            )
        loss = T.mul(loss, T.reshape(weight, (-1, *[1] * (input.ndim - dim - 1))))
    loss = T.neg(T.sum(loss, dim, False, None))
    return _reduced(loss, reduction, "cross_entropy")


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Negative log-likelihood :math:`-w_t x_t` of log-probabilities; see :func:`cross_entropy`."""
    _check_deprecated(size_average, reduce, "nll_loss")
    try:
        return neural.nll_loss_of(input, target, weight, ignore_index, reduction)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise _named(error, "nll_loss", input, target) from None


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Cross-entropy of probabilities, :math:`-w (y \log x + (1 - y) \log(1 - x))`.

    Each logarithm counts for at least -100.

    Raises:
        ValueError: the shapes differ, or an element of ``input`` is outside [0, 1].
    """
    _check_deprecated(size_average, reduce, "binary_cross_entropy")
    _same_shape(input, target, "binary_cross_entropy")
    loss = neural.binary_cross_entropy(input, target)
    loss = loss if weight is None else T.mul(loss, weight)
    return _reduced(loss, reduction, "binary_cross_entropy")


def _same_shape(input: Tensor, target: Tensor, caller: str) -> None:
    if input.shape != target.shape:
        raise ShapeError(
            f"{caller}: target must have the input's shape {input.shape}; got {target.shape}"
        )


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of the probabilities :math:`\sigma(x)`, without overflow.

    :math:`-w (p \, y \log \sigma(x) + (1 - y) \log(1 - \sigma(x)))` with ``pos_weight`` p.
    """
    caller = "binary_cross_entropy_with_logits"
    _check_deprecated(size_average, reduce, caller)
    _same_shape(input, target, caller)
    log_chance = log_sigmoid(input)
    if pos_weight is not None:
        log_chance = T.mul(log_chance, T.add(T.mul(T.sub(pos_weight, 1.0), target), 1.0))
    loss = T.sub(T.mul(T.sub(1.0, target), input), log_chance)
    loss = loss if weight is None else T.mul(loss, weight)
    return _reduced(loss, reduction, caller)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    r"""Kullback-Leibler divergence :math:`y (\log y - x)` from log-probabilities x.

    Args:
        input: log-probabilities.
        target: probabilities, or log-probabilities with ``log_target``.
        reduction: "batchmean" (the sum over the batch size: the divergence proper), "mean", "sum"
            or "none".
        log_target: what ``target`` is.
    """
    _check_deprecated(size_average, reduce, "kl_div")
    if log_target:
        loss = T.mul(T.exp(target), T.sub(target, input))
    else:
        loss = T.sub(T.xlogy(target, target), T.mul(target, input))
    if reduction == "batchmean":
        return T.div(T.sum(loss, None, False, None), input.shape[0] if input.ndim else 1)
    return _reduced(loss, reduction, "kl_div")


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    r"""Negative log-likelihood of a normal distribution: :math:`(\log v + (x - y)^2 / v) / 2`.

    Args:
        input: the expected value x.
        target: what came out, y.
        var: the variance v, of the same shape, or one for each row or for all; a number, too.
        full: add the constant :math:`\log(2 \pi) / 2`.
        eps: the least variance.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: a variance is negative, or ``eps`` is not positive.
    """
    if not eps > 0:
        raise ValueError(f"gaussian_nll_loss: eps must be positive; got {eps}")
    if not isinstance(var, Tensor):
        var = wrap(np.full(input.shape, var, input.dtype))
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = T.reshape(var, (*var.shape, 1))
        elif var.ndim != input.ndim or var.shape[:-1] != input.shape[:-1] or var.shape[-1] != 1:
            raise ShapeError(
                f"gaussian_nll_loss: var must have the input's shape {input.shape}, or one element "
                f"for each row; got {var.shape}"
            )
    if (var._data < 0).any():
        raise ValueError("gaussian_nll_loss: var must not be negative")
    low = np.maximum(var._data, var.dtype.type(eps)) - var._data
    var = T.add(var, wrap(low))  # the gradient passes as if it had not been limited
    difference = T.sub(input, target)
    loss = T.mul(T.add(T.log(var), T.div(T.mul(difference, difference), var)), 0.5)
    if full:
        loss = T.add(loss, 0.5 * math.log(2 * math.pi))
    return _reduced(loss, reduction, "gaussian_nll_loss")


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Negative log-likelihood of a Poisson distribution: :math:`e^x - y x`.

    Args:
        input: the logarithm x of the expected count, or the count itself.
        target: the counts y.
        log_input: what ``input`` is.
        full: add Stirling's approximation of :math:`\log y!` where y > 1.
        eps: added to the expected count before its logarithm is taken.
        reduction: "mean", "sum" or "none".
    """
    _check_deprecated(size_average, reduce, "poisson_nll_loss")
    if log_input:
        loss = T.sub(T.exp(input), T.mul(target, input))
    else:
        loss = T.sub(input, T.mul(target, T.log(T.add(input, eps))))
    if full:
        large = T.where(T.gt(target, 1.0), target, 1.0)
        stirling = T.add(
            T.sub(T.xlogy(large, large), large), T.mul(T.log(T.mul(large, 2 * math.pi)), 0.5)
        )
        loss = T.add(loss, T.where(T.gt(target, 1.0), stirling, 0.0))
    return _reduced(loss, reduction, "poisson_nll_loss")


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1."""
    _check_deprecated(size_average, reduce, "hinge_embedding_loss")
    near = T.where(T.ne(target, -1), input, 0.0)
    far = T.where(T.ne(target, 1), clamp_min(T.sub(margin, input), 0.0), 0.0)
    return _reduced(T.add(near, far), reduction, "hinge_embedding_loss")


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -y (x1 - x2) + margin)``: x1 is to rank higher where the target y is 1."""
    _check_deprecated(size_average, reduce, "margin_ranking_loss")
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            "margin_ranking_loss: the inputs and the target must have the same number of "
            f"dimensions; got {input1.shape}, {input2.shape} and {target.shape}"
        )
    away = T.mul(T.neg(target), T.sub(input1, input2))
    return _reduced(clamp_min(T.add(away, margin), 0.0), reduction, "margin_ranking_loss")


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    r""":math:`\log(1 + e^{-y x})` for targets y of 1 and -1."""
    _check_deprecated(size_average, reduce, "soft_margin_loss")
    _same_shape(input, target, "soft_margin_loss")
    loss = T.neg(log_sigmoid(T.mul(target, input)))
    return _reduced(loss, reduction, "soft_margin_loss")


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos(x1, x2)`` where the target is 1, ``max(0, cos(x1, x2) - margin)`` where it is -1.

    Shapes: inputs ``(N, D)`` or ``(D,)``, target ``(N,)`` or 0-d.
    """
    _check_deprecated(size_average, reduce, "cosine_embedding_loss")
    if input1.ndim not in (1, 2) or target.ndim != input1.ndim - 1 or input2.ndim != input1.ndim:
        raise ShapeError(
            "cosine_embedding_loss: the inputs must have shape (N, D) and the target (N,), or (D,) "
            f"and (); got {input1.shape}, {input2.shape} and {target.shape}"
        )
    product = T.sum(T.mul(input1, input2), -1, False, None)
    size1 = T.add(T.sum(T.mul(input1, input1), -1, False, None), 1e-12)
    size2 = T.add(T.sum(T.mul(input2, input2), -1, False, None), 1e-12)
    cosine = T.div(product, T.sqrt(T.mul(size1, size2)))
    near = T.where(T.eq(target, 1), T.sub(1.0, cosine), 0.0)
    far = T.where(T.eq(target, -1), clamp_min(T.sub(cosine, margin), 0.0), 0.0)
    return _reduced(T.add(near, far), reduction, "cosine_embedding_loss")


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Args:
        anchor, positive, negative: ``(N, D)`` or ``(D,)``.
        margin: by how much the negative is to be farther away; positive.
        p, eps: of :func:`pairwise_distance`.
        swap: take the distance from positive to negative where that is smaller.
        reduction: "mean", "sum" or "none".

    Source: Balntas et al. 2016, "Learning local feature descriptors with triplets and shallow
    convolutional neural networks".
    """
    _check_deprecated(size_average, reduce, "triplet_margin_loss")
    if not margin > 0:
        raise ValueError(f"triplet_margin_loss: margin must be positive; got {margin}")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = T.minimum(far, pairwise_distance(positive, negative, p, eps))
    loss = clamp_min(T.add(T.sub(near, far), margin), 0.0)
    return _reduced(loss, reduction, "triplet_margin_loss")
