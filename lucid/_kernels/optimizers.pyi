"""Optimizer steps: one call updates a whole list of parameters in place.

Every list has one entry for each parameter. `params`, `grads` and the state lists hold arrays of
the parameter's shape, real (float16, float32, float64) or complex like it; float32 and float64
contiguous arrays of one dtype are updated in one pass without a copy. `steps` and other scalars
are writable 0-d float32 or float64 arrays; `steps` counts the updates done so far and is advanced.
A list may be `None` where an option does without it. `grad_scale` multiplies the gradients inside
the update, `maximize` flips their sign; gradients are never written.

An entry that cannot be updated raises `TypeError` or `ValueError` with its position before
anything is modified.
"""

from typing import Any

from numpy.typing import NDArray

_Arrays = list[NDArray[Any]]

def sgd(
    params: _Arrays,
    grads: _Arrays,
    momentum_buffers: list[NDArray[Any] | None] | None,
    lr: float,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """SGD; a `None` in `momentum_buffers` is replaced by a buffer that starts as the gradient."""

def adam(
    params: _Arrays,
    grads: _Arrays,
    exp_avgs: _Arrays,
    exp_avg_sqs: _Arrays,
    max_exp_avg_sqs: _Arrays | None,
    steps: _Arrays,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled: bool = False,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Adam, or AdamW if `decoupled`; AMSGrad if there is a list `max_exp_avg_sqs`."""

def adamax(
    params: _Arrays,
    grads: _Arrays,
    exp_avgs: _Arrays,
    exp_infs: _Arrays,
    steps: _Arrays,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Adamax: Adam in the infinity norm."""

def nadam(
    params: _Arrays,
    grads: _Arrays,
    exp_avgs: _Arrays,
    exp_avg_sqs: _Arrays,
    mu_products: _Arrays,
    steps: _Arrays,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum_decay: float = 4e-3,
    decoupled: bool = False,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """NAdam: Adam with Nesterov momentum."""

def radam(
    params: _Arrays,
    grads: _Arrays,
    exp_avgs: _Arrays,
    exp_avg_sqs: _Arrays,
    steps: _Arrays,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled: bool = False,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """RAdam: Adam with a rectified variance."""

def rmsprop(
    params: _Arrays,
    grads: _Arrays,
    square_avgs: _Arrays,
    grad_avgs: _Arrays | None,
    momentum_buffers: _Arrays | None,
    steps: _Arrays,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """RMSprop; centered if there is a list `grad_avgs`, with momentum if `momentum_buffers`."""

def adagrad(
    params: _Arrays,
    grads: _Arrays,
    sums: _Arrays,
    steps: _Arrays,
    lr: float,
    lr_decay: float = 0,
    eps: float = 1e-10,
    weight_decay: float = 0,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Adagrad."""

def adadelta(
    params: _Arrays,
    grads: _Arrays,
    square_avgs: _Arrays,
    acc_deltas: _Arrays,
    steps: _Arrays,
    lr: float = 1,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Adadelta."""

def asgd(
    params: _Arrays,
    grads: _Arrays,
    axs: _Arrays,
    etas: _Arrays,
    mus: _Arrays,
    steps: _Arrays,
    lr: float,
    lambd: float = 1e-4,
    alpha: float = 0.75,
    t0: float = 1e6,
    weight_decay: float = 0,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Averaged SGD; the averages are `axs`."""

def rprop(
    params: _Arrays,
    grads: _Arrays,
    prevs: _Arrays,
    step_sizes: _Arrays,
    steps: _Arrays,
    etaminus: float = 0.5,
    etaplus: float = 1.2,
    step_size_min: float = 1e-6,
    step_size_max: float = 50,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Resilient backpropagation."""

def lion(
    params: _Arrays,
    grads: _Arrays,
    exp_avgs: _Arrays,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0,
    maximize: bool = False,
    grad_scale: float = 1,
) -> None:
    """Lion: the sign of an interpolated momentum."""
